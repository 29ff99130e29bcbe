"""`seqline serve` as a process, and what it holds."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.soak.good_clients import NAME, TIMEOUT
from tests.support.command_line import environment


class Memory:
    """The resident bytes of a process and its children, sampled in a thread."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.peak = 0
        self.most_descriptors = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        total = 0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def _watch(self) -> None:
        with suppress(psutil.Error):
            while True:
                self.peak = max(self.peak, self.now())
                self.most_descriptors = max(self.most_descriptors, self.process.num_fds())
                time.sleep(0.1)


@contextmanager
def serving(folder: Path, serving_dir: Path) -> Iterator[tuple[Any, dict[str, int], Path]]:
    """`seqline serve` as a process: (the process, ports by protocol, its log)."""
    log, port_file = folder / "server.log", folder / "port"
    flags = ["--rest_api_port=0", f"--port_file={port_file}", f"--model_name={NAME}"]
    flags += [f"--model_base_path={serving_dir}"]
    ports = {}
    if has_grpc():
        ports["grpc"] = free_port()
        flags.append(f"--port={ports['grpc']}")

    command = [sys.executable, "-m", "pipeline", "serve", *flags]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + TIMEOUT
        while not port_file.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        ports["rest"] = int(port_file.read_text())
        wait_until_loaded(ports["rest"], log)
        yield process, ports, log
    finally:
        process.kill()
        process.wait()


def has_grpc() -> bool:
    from serving import flags

    return hasattr(flags.parse([]), "port")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until_loaded(port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        with suppress(OSError):
            connection.request("GET", f"/v1/models/{NAME}")
            if b"AVAILABLE" in connection.getresponse().read():
                return
        connection.close()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
