"""Flags: TensorFlow Serving's mean the same here, or a line says what to do instead."""

from pathlib import Path

import pytest

from serving import flags
from serving.foreign_flags import FLAGS


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        flags.parse(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    return printed


def test_port_is_not_an_abbreviation(capsys: pytest.CaptureFixture[str]) -> None:
    for given in (["--port", "8500"], ["--port=8500"]):
        parsed = flags.parse(given)
        assert (parsed.port, parsed.port_file) == (8500, None)
    assert flags.parse([]).port == 0
    assert "has no flag --port_fil. Did you mean --port_file?" in error(capsys, "--port_fil=a")
    assert "invalid int value: 'a'" in error(capsys, "--port=a")


@pytest.mark.parametrize("name", FLAGS)
def test_another_flag_of_tensorflow_serving_is_a_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in ([f"--{name}=odd"], [f"--{name}", "odd"]):
        if given[-1] == "odd" and "true" in FLAGS[name].same:
            continue  # `--flag odd` is the flag and a word that is none.
        printed = error(capsys, *given)
        assert printed == (
            f"error: seqline serve does not take --{name} of TensorFlow Serving:"
            f" {FLAGS[name].way_out}\n"
        )
    for value in FLAGS[name].same:
        assert flags.parse([f"--{name}={value}"]).rest_api_port == 8501


def test_true_and_false_in_all_forms() -> None:
    for given, value in (
        (["--enable_batching"], True),
        (["--enable_batching=false"], False),
        (["--enable_batching", "False"], False),
        (["--enable_batching=1"], True),
        (["--enable_batching", "--port=1"], True),
    ):
        assert flags.parse(given).enable_batching is value


def test_batching_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "batching"
    given = f"--batching_parameters_file={file}"
    file.write_text(
        "max_batch_size { value: 128 } batch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 3 } num_batch_threads { value: 8 }\n"
        "thread_pool_name { value: 'any' } pad_variable_length_inputs: true  # As here."
    )
    parsed = flags.parse([given, "--num_batch_threads=2"])
    assert (parsed.max_batch_size, parsed.batch_timeout_micros) == (128, 0)
    assert (parsed.max_queued_requests, parsed.num_batch_threads) == (384, 2)

    for text, message in (
        ("max_batch_size: 128", f"{file} is no BatchingParameters: 1:17 : "),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; give a positive number."),
        ("num_batch_threads { value: -1 }", "num_batch_threads is -1; give a positive number."),
        ("allowed_batch_sizes: 8", "allowed_batch_sizes is not supported"),
    ):
        file.write_text(text)
        assert message in error(capsys, given)
    file.write_bytes(b"\xff\0")
    assert "is no BatchingParameters" in error(capsys, given)
    file.unlink()
    assert "No such file or directory." in error(capsys, given)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flags.parse(["--version"])
    assert ended.value.code == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "seqline",
        "tensorflow",
    ]
