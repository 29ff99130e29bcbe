"""Runs a server of TensorFlow Serving's REST API as a process, with one model."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.infra_validator import DOCKER, EMBEDDED
from seqline.host import plain_tensorflow
from seqline.host.plain_tensorflow import Program, Template
from seqline.host.tensorflow_template import SERVER

MODEL_NAME = "seqline"
GUARD = Path(__file__).with_name("guard.py")
HOST = "127.0.0.1"
POLL_SECONDS = 0.05
# How long a server may take to end after SIGTERM.
GRACE_SECONDS = 5.0
LOG_LINES = 3

# A line that TensorFlow logs itself, and the lines among these about devices and instructions. It
# logs them on every machine without a GPU: they are the cause of nothing.
TENSORFLOW_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] |[IWEF]\d{4} .*\]")
ABOUT_DEVICES = re.compile(
    r"cuda|cudnn|cublas|cufft|cuinit|gpu|nvidia|tensorrt|tf-trt|onednn|cpu_feature_guard"
    r"|computation_placer|mlir|port\.cc",
    re.IGNORECASE,
)
OTHER_NOISE = ("WARNING: All log messages before absl::", "To enable the following instructions")


class ServerError(Exception):
    """The server did not start, does not answer, or answers with an error. One line tells which."""


@dataclass
class Server:
    """A running server.

    Attributes:
        process: Its process, or that of `docker run`.
        port: The port of its REST API.
        log: The file with its output.
        wait_seconds: How long a request may take.
        container: The name of its Docker container, if it has one.
        template: What it was forked from, if it was (`running`).
        load_seconds: The time from the start of the process until the model was available.
    """

    process: subprocess.Popen | Program
    port: int
    log: Path
    wait_seconds: float
    container: str | None = None
    template: Template | None = None
    load_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(HOST, self.port, timeout=self.wait_seconds)

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Sends a request of the predict API. Raises ServerError for anything but an answer."""
        path = f"/v1/models/{MODEL_NAME}:predict"
        status, content = self._request("POST", path, json.dumps(body).encode())
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None

        if status != 200 or not isinstance(answer, dict):
            raise ServerError(
                f"the server answers {status}: {_line(content.decode(errors='replace'))}"
            )
        return answer

    def state(self) -> tuple[str, str]:
        """(the state of the model's version, its error message); empty while it has none."""
        status, content = self._request("GET", f"/v1/models/{MODEL_NAME}", None)
        if status != 200:
            return "", ""
        try:
            [version] = json.loads(content)["model_version_status"]
            return version.get("state", ""), version.get("status", {}).get("error_message", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            return "", ""

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            self.connection.request(method, path, body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            if self.process.poll() is not None:
                raise ServerError(
                    f"the server ended with exit code {self.process.returncode}:"
                    f" {last_lines(self.log)}"
                ) from None

            if isinstance(error, TimeoutError):
                raise ServerError(
                    f"timed out: the server did not answer {method} {path} within"
                    f" {self.wait_seconds:g} s. {log_and_way_out(self.log, self.wait_seconds)}"
                ) from None

            raise ServerError(
                f"the server does not answer ({_line(str(error) or type(error).__name__)}):"
                f" {last_lines(self.log)}"
            ) from None

    def peak_rss_mb(self) -> float | None:
        """The peak resident memory of the server's process (MB), or None if it is unknown."""
        pid = str(self.process.pid)
        if self.container:
            inspected = subprocess.run(
                ["docker", "inspect", "-f", "{{.State.Pid}}", self.container],
                capture_output=True,
                text=True,
            )
            pid = inspected.stdout.strip() or "none"

        with suppress(OSError):
            status = Path("/proc", pid, "status").read_text()
            peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
            shared = self.template.import_bytes if self.template else 0
            return (int(peak[1]) * 1024 + shared) / 1e6 if peak else None
        return None


@contextmanager
def running(
    kind: str, model: Path, log: Path, wait_seconds: float, may_fork: bool = False
) -> Iterator[Server]:
    """Runs a server. It has ended after the block, whatever happens.

    Args:
        kind: See `infra_validator.server`.
        model: The SavedModel, which becomes version 1.
        log: The file for the server's output.
        wait_seconds: How long the server may take to start, or to answer a request.
        may_fork: The embedded server need not import TensorFlow by itself where a template has done
            so (`seqline.host.plain_tensorflow`). Its time to load and its memory count that import.

    Raises:
        ServerError: The server does not start or does not load the model.
    """
    with tempfile.TemporaryDirectory(prefix="seqline-infra-", dir=log.parent) as folder:
        base = Path(folder, "models")
        shutil.copytree(model, base / "1", copy_function=_link_or_copy)
        port_file = Path(folder, "port") if kind == EMBEDDED else None
        port = 0 if port_file else _free_port()
        container = f"seqline-infra-{uuid.uuid4().hex[:12]}" if kind.startswith(DOCKER) else None

        started = time.monotonic()
        command = _command(kind, base, port, port_file, container)
        template = plain_tensorflow.template() if may_fork and kind == EMBEDDED else None
        forked = _fork(template, command, log) if template else None
        process = forked or _start(command, log)
        server: Server | None = None

        try:
            deadline = started + wait_seconds
            port = port or _port_of(port_file, process, log, wait_seconds, deadline)
            server = Server(
                process, port, log, wait_seconds, container, template if forked else None
            )
            _wait_until_available(server, deadline)
            server.load_seconds = time.monotonic() - started
            if server.template:
                server.load_seconds += server.template.import_seconds
            yield server
        finally:
            if server:
                server.connection.close()
            _end(process, container)


def _command(
    kind: str, base: Path, port: int, port_file: Path | None, container: str | None
) -> list[str]:
    """The server's command line."""
    flags = [f"--model_name={MODEL_NAME}", f"--rest_api_port={port}", f"--model_base_path={base}"]
    if kind == EMBEDDED:
        return [
            sys.executable,
            "-P",
            "-m",
            SERVER,
            *flags,
            f"--host={HOST}",
            f"--port_file={port_file}",
        ]

    if not kind.startswith(DOCKER):
        return [kind, *flags, "--port=0"]  # no port for gRPC

    inside = f"/models/{MODEL_NAME}"
    return [
        "docker",
        "run",
        "--rm",
        "--init",
        f"--name={container}",
        f"--publish={HOST}:{port}:8501",
        f"--env=MODEL_NAME={MODEL_NAME}",
        f"--mount=type=bind,source={base},target={inside},readonly",
        kind.removeprefix(DOCKER),
        f"--model_name={MODEL_NAME}",
        "--rest_api_port=8501",
        f"--model_base_path={inside}",
    ]


def _fork(template: Template, command: list[str], log: Path) -> Program | None:
    """Starts the embedded server from a template. Returns None if that has ended."""
    arguments = command[command.index(SERVER) + 1 :]
    with log.open("wb") as file, suppress(OSError):
        return template.fork(
            SERVER, arguments, "seqline-server", file, environment={"CUDA_VISIBLE_DEVICES": "-1"}
        )
    return None


def _start(command: list[str], log: Path) -> subprocess.Popen:
    # The server finds the packages of this process wherever that was started. It gets no GPU: the
    # processes of the run hold the memory of all GPUs.
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"}
    guarded = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), *command]

    with log.open("wb") as file:
        return subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _port_of(
    port_file: Path | None,
    process: subprocess.Popen | Program,
    log: Path,
    wait_seconds: float,
    deadline: float,
) -> int:
    assert port_file is not None, "a server without a port file has a port"
    while not port_file.exists():
        _need_process(process, log)
        if time.monotonic() > deadline:
            raise _timed_out("it had not opened its port yet", log, wait_seconds)
        time.sleep(POLL_SECONDS)
    return int(port_file.read_text())


def _wait_until_available(server: Server, deadline: float) -> None:
    state, message, doing = "", "", ""
    while state != "AVAILABLE":
        try:
            state, message = server.state()
            doing = f"its model was in the state {state or 'unknown'}"
            if message:
                doing += f" ({_line(message)})"
        except ServerError:
            doing = f"it did not answer on port {server.port}"

        if state == "END":
            raise ServerError(
                f"the server cannot load the model: {_line(message) or last_lines(server.log)}"
            )

        _need_process(server.process, server.log)
        if time.monotonic() > deadline:
            raise _timed_out(doing, server.log, server.wait_seconds)
        time.sleep(POLL_SECONDS)


def _need_process(process: subprocess.Popen | Program, log: Path) -> None:
    if process.poll() is not None:
        raise ServerError(
            f"the server ended with exit code {process.returncode} before it had the model:"
            f" {last_lines(log)}"
        )


def _timed_out(doing: str, log: Path, wait_seconds: float) -> ServerError:
    return ServerError(
        f"timed out: the server did not have the model after {wait_seconds:g} s: {doing}."
        f" {log_and_way_out(log, wait_seconds)}"
    )


def _end(process: subprocess.Popen | Program, container: str | None) -> None:
    if container:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def last_lines(log: Path) -> str:
    """The end of a server's log as one line, without TensorFlow's lines about devices."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    own = [line for line in lines if line and not _is_noise(line)]
    return _line(" | ".join(own[-LOG_LINES:])) or "it printed nothing"


def _is_noise(line: str) -> bool:
    if line.startswith(OTHER_NOISE):
        return True
    return bool(TENSORFLOW_LINE.match(line) and ABOUT_DEVICES.search(line))


def log_and_way_out(log: Path, wait_seconds: float) -> str:
    """The sentences after a time-out: what the server said last, and how to give it more time."""
    return (
        f"Its last lines: {last_lines(log)}. If the machine is slow or busy, give it more time:"
        f" --set infra_validator.wait_seconds={2 * wait_seconds:g}"
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:500]
