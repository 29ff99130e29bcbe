"""Engines that others wrote, as processes of their own: a job server, a Prism, a worker pool."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.command_line import environment

START_SECONDS = 60.0
PRISM, FLINK_JAR = "SEQLINE_PRISM", "SEQLINE_FLINK_JAR"
# Workers in the command's own process, or in those of a pool.
WITH_POOL = ["prism-pool", "job-service-pool", "flink-pool"]
ALL = ["prism-loopback", "job-service-loopback", "flink-loopback", *WITH_POOL]
LOOPBACK = ("--environment_type=LOOPBACK",)


@dataclass(frozen=True)
class Engine:
    """An engine that is there.

    Attributes:
        name: for messages.
        flags: those of Beam's that name it.
        pool: the process of its worker pool; None for workers in the command's own process.
    """

    name: str
    flags: tuple[str, ...]
    pool: subprocess.Popen[bytes] | None = None


def prism() -> Path | None:
    """The binary that SEQLINE_PRISM names, or the one that `make test-engines` has installed."""
    if named := os.environ.get(PRISM):
        return Path(named)
    installed = Path(sys.prefix, "go", "prism")
    return installed if installed.is_file() else None


def flink_jar() -> Path | None:
    named = os.environ.get(FLINK_JAR)
    return Path(named) if named else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


@contextmanager
def serving(command: Sequence[object], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the folder of its log that serves at a port until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=log.parent,
            stdout=output,
            stderr=output,
            env=worker_environment(),
            start_new_session=True,
        )
    try:
        _wait_for(port, process, log)
        yield process
    finally:
        with suppress(ProcessLookupError):  # a test may have ended it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("localhost", port)).close()
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))


def worker_environment() -> dict[str, str]:
    """A pool starts `python` from PATH: it must be this one, with this checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**environment(), "PATH": path}


@contextmanager
def job_server(folder: Path) -> Iterator[int]:
    """Beam's own job service; gives its port."""
    port = free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    with serving([sys.executable, "-m", module, "--port", port], port, folder / "server.txt"):
        yield port


@contextmanager
def worker_pool(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], tuple[str, ...]]]:
    """Beam's worker pool; gives its process and the flags that name it."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [sys.executable, "-m", module, f"--service_port={port}"]
    with serving(command, port, folder / "pool.txt") as process:
        yield process, ("--environment_type=EXTERNAL", f"--environment_config=localhost:{port}")


def diff(one: Path, other: Path) -> list[str]:
    """The files that are not in both folders with the same bytes."""
    files = {path.relative_to(root) for root in (one, other) for path in root.rglob("*")}
    return [
        str(file)
        for file in sorted(files)
        if not (one / file).is_dir()
        and not (
            (one / file).is_file()
            and (other / file).is_file()
            and (one / file).read_bytes() == (other / file).read_bytes()
        )
    ]


def copy_without(source: Path, target: Path, *folders: str) -> None:
    """Copies a folder without some of its folders."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*folders))


def run(folder: Path, *command: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs `python COMMAND` in a folder to its end."""
    words = [sys.executable, *(str(word) for word in command)]
    return subprocess.run(
        words, cwd=folder, env=worker_environment(), capture_output=True, text=True, timeout=timeout
    )


def start(folder: Path, *command: object) -> subprocess.Popen[str]:
    """Starts `python COMMAND` in a folder."""
    words = [sys.executable, *(str(word) for word in command)]
    return subprocess.Popen(
        words,
        cwd=folder,
        env=worker_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
