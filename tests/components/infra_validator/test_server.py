"""Servers as processes: those that fail, hang, are killed, or lack their libraries."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from components.infra_validator import (
    INFRA_VALIDATOR,
    InfraValidatorParams,
    check,
)
from components.infra_validator import server as server_process
from components.infra_validator.server import running
from seqline.errors import UserError
from tests.components.infra_validator.support import evaluated, program, servers_on, validate
from tests.support import CHECKOUT


def test_a_model_that_the_server_cannot_load_is_refused_with_its_words(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(saved_model, other)
    (other / "saved_model" / "saved_model.pb").write_bytes(b"no SavedModel")
    _, blessing = validate(other, evaluation, tmp_path / "output", num_requests=1)
    [refusal] = blessing["refusals"]
    assert refusal.startswith("the server cannot load the model: ")
    assert "\n" not in refusal
    assert servers_on(tmp_path) == []


def test_a_server_that_does_not_start_is_refused_with_its_last_words(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    server = program(
        tmp_path / "tensorflow_model_server",
        "echo one; echo two >&2; echo three; echo unknown flag; exit 3",
    )
    _, blessing = validate(saved_model, evaluation, tmp_path / "output", server=server)
    assert blessing["refusals"] == [
        "the server ended with exit code 3 before it had the model: two | three | unknown flag"
    ]
    assert (tmp_path / "output" / "server.log").read_text() == "one\ntwo\nthree\nunknown flag\n"


def test_a_server_that_never_answers_is_ended(
    saved_model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "GRACE_SECONDS", 0.5)
    server = program(
        tmp_path / "tensorflow_model_server",
        f"trap '' TERM; echo waiting {tmp_path}; sleep 1000 & wait; wait",
    )
    _, blessing = validate(
        saved_model, evaluation, tmp_path / "output", server=server, wait_seconds=1.0
    )
    [refusal] = blessing["refusals"]
    assert re.fullmatch(
        "timed out: the server did not have the model after 1 s: it did not answer on port"
        rf" [0-9]+\. Its last lines: waiting {tmp_path}\. If the machine is slow or busy, give it"
        r" more time: --set infra_validator\.wait_seconds=2",
        refusal,
    )
    assert servers_on(tmp_path) == []


# What TensorFlow logs on a machine without a GPU, and before anything else.
NOISE = """\
2026-01-02 03:04:05.123456: I external/local_xla/xla/tsl/cuda/cudart_stub.cc:31] no cuda drivers
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1767321845.123456    1234 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1767321845.123456    1234 cuda_platform.cc:51] failed call to cuInit: UNKNOWN ERROR
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
2026-01-02 03:04:06.123456: E external/local_xla/xla/stream_executor/cuda/cuda_platform.cc:51] x
"""


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ("", "it printed nothing"),
        ("one\n", "one"),
        (
            "2026-01-02 03:04:05.123456: E tensorflow/core/saver.cc:1] NOT_FOUND: variables\n",
            "2026-01-02 03:04:05.123456: E tensorflow/core/saver.cc:1] NOT_FOUND: variables",
        ),
    ],
)
def test_tensorflows_lines_about_devices_are_not_a_servers_last_words(
    own: str, shown: str, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    log.write_text(own + NOISE)
    assert server_process.last_lines(log) == shown


def test_a_server_that_starts_too_slowly_has_timed_out_and_no_device_is_blamed(
    saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = program(tmp_path / "slow", f"cat <<'END'\n{NOISE}END\nexec sleep 1000")
    monkeypatch.setattr(server_process.sys, "executable", slow)
    # The guard needs the real Python: the server is started without it.
    monkeypatch.setattr(server_process, "_start", _start_unguarded)
    with (
        pytest.raises(server_process.ServerError) as raised,
        running("embedded", saved_model / "saved_model", tmp_path / "server.log", 0.5),
    ):
        pass
    assert str(raised.value) == (
        "timed out: the server did not have the model after 0.5 s: it had not opened its port yet."
        " Its last lines: it printed nothing. If the machine is slow or busy, give it more time:"
        " --set infra_validator.wait_seconds=1"
    )


def _start_unguarded(command: list[str], log: Path) -> subprocess.Popen:
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def test_a_request_without_an_answer_has_timed_out(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(f"busy\n{NOISE}")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        running_process = subprocess.Popen(["sleep", "1000"])
        try:
            server = server_process.Server(running_process, silent.getsockname()[1], log, 0.2)
            with pytest.raises(server_process.ServerError) as raised:
                server.ask({})
        finally:
            running_process.kill()
            running_process.wait()
    assert str(raised.value) == (
        "timed out: the server did not answer POST /v1/models/seqline:predict within 0.2 s. Its"
        " last lines: busy. If the machine is slow or busy, give it more time: --set"
        " infra_validator.wait_seconds=0.4"
    )


def test_a_program_gets_the_flags_of_tensorflow_model_server(tmp_path: Path) -> None:
    """Starts the embedded server under another name, and drops the gRPC port, which it lacks."""
    script = (
        f'printf "%s\\n" "$@" > {tmp_path}/flags; exec {sys.executable} -m serving "$1" "$2" "$3"'
    )
    server = program(tmp_path / "tensorflow_model_server", script)

    figures, blessing = validate(
        *evaluated("sequence", tmp_path), tmp_path / "output", server=server, num_requests=1
    )
    assert blessing["blessed"], blessing
    assert (blessing["server"], figures["num_rows"], figures["num_requests"]) == (server, 7, 1)

    name, port, base, grpc = (tmp_path / "flags").read_text().splitlines()
    assert (name, grpc) == ("--model_name=seqline", "--port=0")
    assert port.startswith("--rest_api_port=")
    assert base.startswith(f"--model_base_path={tmp_path}/output/")
    assert servers_on(tmp_path) == []


@pytest.mark.skipif(
    sys.platform != "linux", reason="the way back from a kill is looked up in /proc"
)
def test_the_server_dies_with_a_process_that_is_killed(saved_model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from components.infra_validator.server import"
        " running\nwith running(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 100):"
        " print('never')"
    )
    server = program(
        tmp_path / "tensorflow_model_server",
        f"echo started {tmp_path}; exec sleep 1000.{os.getpid()}",
    )
    arguments = [
        sys.executable,
        "-c",
        code,
        server,
        str(saved_model / "saved_model"),
        str(tmp_path / "server.log"),
    ]

    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    while not (tmp_path / "server.log").is_file() or not (tmp_path / "server.log").read_text():
        assert process.poll() is None
        time.sleep(0.01)

    sleeping = Path(f"1000.{os.getpid()}")
    while not servers_on(sleeping):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while servers_on(sleeping) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert servers_on(sleeping) == []


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (
            "docker:",
            (
                "infra_validator.server 'docker:' names no image, such as"
                " docker:tensorflow/serving:2.19.1."
            ),
        ),
        (
            "/no/such/server",
            (
                "infra_validator.server '/no/such/server' is not a program. Give the path of a"
                " tensorflow_model_server, 'embedded', docker:<image>, or push without asking a"
                " server: --set infra_validator.server=none."
            ),
        ),
    ],
)
def test_a_server_that_cannot_be_started_is_seen_before_the_first_stage(
    server: str, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        check(InfraValidatorParams(server=server))
    assert str(raised.value) == message


def test_without_the_servers_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(InfraValidatorParams())
    monkeypatch.setattr(
        "seqline.host.packages.find_spec",
        lambda name: None if name in ("starlette", "prometheus_client") else sys,
    )
    message = (
        r"needs starlette, prometheus-client, which are not installed: \S+ -m pip install starlette"
        r" prometheus-client, name the path"
    )
    with pytest.raises(UserError, match=message):
        check(InfraValidatorParams())
    assert INFRA_VALIDATOR.check is check


FORKING = """
import json, os, signal, sys
from pathlib import Path
from components.infra_validator.server import running
from seqline.host import plain_tensorflow

plain_tensorflow.start_template()
template = plain_tensorflow.template()
with running("embedded", Path(sys.argv[1]), Path(sys.argv[2]), 100, may_fork=True) as server:
    assert isinstance(server.process, plain_tensorflow.Program)
    assert server.state() == ("AVAILABLE", "")
    assert server.load_seconds > template.import_seconds > 0
    assert server.peak_rss_mb() > template.import_bytes / 1e6 > 100
print(server.process.returncode)
with running("embedded", Path(sys.argv[1]), Path(sys.argv[2]), 100, may_fork=True) as server:
    print(server.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_a_server_from_a_template_answers_and_dies_with_the_process(
    saved_model: Path, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(saved_model / "saved_model"), str(log)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    code, pid = done.stdout.split()
    assert code == "0"
    assert "version 1 takes requests" in log.read_text()

    deadline = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(pid)


def _is_alive(pid: str) -> bool:
    """A process that nobody waits for stays as a zombie, which is not alive."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_is_gone_after_an_error_in_the_block(saved_model: Path, tmp_path: Path) -> None:
    with (
        suppress(KeyError),
        running("embedded", saved_model / "saved_model", tmp_path / "server.log", 100.0) as server,
    ):
        assert server.state() == ("AVAILABLE", "")
        raise KeyError
    assert server.process.poll() is not None
    assert servers_on(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.log"]
