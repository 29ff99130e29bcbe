"""Flags, config files and what a start imports."""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving import config, main
from serving.config import ConfigError
from tests.support.served import environment


def test_wrong_flags_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*flags: str) -> str:
        assert main.main(flags) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert printed.count("\n") == 1
        return printed

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = (
            f"error: --host 127.0.0.1 --rest_api_port {port}: Address already in use. Give a free"
            " port, or 0 for any.\n"
        )
        assert error(f"--rest_api_port={port}") == expected

        expected = (
            f"error: --host 127.0.0.1 --port {port}: Address already in use. Give a free port, or 0"
            " for no gRPC.\n"
        )
        assert error("--rest_api_port=0", f"--port={port}") == expected
        # It was an abbreviation of --port_file once.
        monkeypatch.chdir(tmp_path)
        assert error(f"--rest_api_port={port}", "--port", "8500").startswith("error: --host")
        assert list(tmp_path.iterdir()) == []

    assert "--port 70000 is not a port." in error("--rest_api_port=0", "--port=70000")
    assert "--port -1 is not a port." in error("--rest_api_port=0", "--port=-1")
    assert "--rest_api_port 70000 is not a port." in error("--rest_api_port=70000")
    assert "cannot be a model's name in a path" in error("--model_name=a/b")
    assert "No such file or directory" in error(f"--model_config_file={tmp_path / 'gone'}")

    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else sys
    )
    assert (
        error() == f"error: seqline serve needs uvicorn: {sys.executable} -m pip install uvicorn\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {", "is not a ModelServerConfig: "),
        ("custom_model_config {}", " has no model_config_list."),
        ('model_config_list { config { name: "a" } }', "the model 'a' has no base_path."),
        (
            'model_config_list { config { name: "a:b" base_path: "c" } }',
            "'a:b' cannot be a model's name in a path",
        ),
        (
            'model_config_list { config { name: "a" base_path: "c" model_platform: "other" } }',
            "only tensorflow is served.",
        ),
        (
            (
                'model_config_list { config { name: "a" base_path: "c" model_version_policy {'
                " specific {} } } }"
            ),
            "specific without versions.",
        ),
        (
            (
                'model_config_list { config { name: "a" base_path: "b" } config { name: "a"'
                ' base_path: "c" } }'
            ),
            "two models are named 'a'.",
        ),
    ],
)
def test_a_wrong_config_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        config.read(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_command_answers_help_without_tensorflow_and_serves_without_beam() -> None:
    look = (
        "print(sorted(set(sys.modules) & {'tensorflow', 'apache_beam', 'tensorflow_transform',"
        " 'pydantic', 'tensorflow_serving', 'grpc'}))"
    )
    code = (
        "import sys\nfrom serving import main\ntry: main.main(['--help'])\nexcept SystemExit:"
        f" {look}\nimport serving.app\n{look}"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.startswith("usage: seqline serve")
    assert done.stdout.splitlines()[-2:] == ["[]", "['tensorflow']"]

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "serve", "--help"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert "--max_batch_size" in done.stdout
