"""What slow and silent connections do to a client that behaves: waits, connections, log.

A server without models is asked for the list of its models. Runs take about a minute each.

    python -m tests.soak.connections [--path OTHER_CHECKOUT]
"""

import argparse
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import CHECKOUT

SECONDS = 16  # Longer than the deadline of headers.


@dataclass
class Started:
    port: int
    process: subprocess.Popen
    log: Path

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()


@contextlib.contextmanager
def server(path: Path, most_files: int | None = None) -> Iterator[Started]:
    """The server of a checkout; its process may open only so many files, if given."""

    def limit() -> None:
        if most_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

    with tempfile.TemporaryDirectory() as folder:
        port_file, log = Path(folder, "port"), Path(folder, "log")
        command = [sys.executable, "-m", "serving", "--rest_api_port=0"]
        command += [f"--port_file={port_file}", f"--model_base_path={folder}"]
        environment = {**os.environ, "PYTHONPATH": str(path)}
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=path, env=environment, stderr=output, preexec_fn=limit
            )
        try:
            while not port_file.exists():
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield Started(int(port_file.read_text()), process, log)
        finally:
            process.kill()
            process.wait()


def waits(port: int, seconds: float, keep: bool) -> dict[str, Any]:
    """A client that asks every 10 ms, on one connection or on a new one each time."""
    durations, failed = [], 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    until = time.monotonic() + seconds

    while time.monotonic() < until:
        began = time.monotonic()
        try:
            connection.request("GET", "/v1/models")
            answer = connection.getresponse()
            assert answer.read().startswith(b'{"models":')
        except (OSError, http.client.HTTPException):
            failed += 1
            connection.close()
        durations.append(1000 * (time.monotonic() - began))
        if not keep:
            connection.close()
        time.sleep(0.01)

    durations.sort()
    return {
        "requests": len(durations),
        "failed": failed,
        "p50_ms": round(statistics.median(durations), 2),
        "p99_ms": round(durations[int(0.99 * len(durations))], 2),
        "max_ms": round(durations[-1], 2),
    }


def crowd(port: int, slow: int, silent: int) -> list[socket.socket]:
    """Connections that send a byte a second, and others that send nothing."""
    connections = []
    for _ in range(slow + silent):
        try:
            connections.append(socket.create_connection(("127.0.0.1", port), 5))
        except OSError:
            break

    def drip() -> None:
        dripping = connections[:slow]
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 1000:
            for connection in list(dripping):
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    dripping.remove(connection)
            time.sleep(1)

    threading.Thread(target=drip, daemon=True).start()
    return connections


def beside_a_crowd(path: Path, slow: int, silent: int, files: int | None) -> dict[str, Any]:
    """The good client's waits, and what is left of the crowd and in the log."""
    with server(path, files) as started:
        first_size, first_rss = started.log.stat().st_size, started.rss()
        first_files = started.descriptors()
        connections = crowd(started.port, slow, silent)
        at_first = started.descriptors() - first_files
        rss = started.rss() - first_rss

        measured = {"new": waits(started.port, SECONDS / 2, keep=False)}
        measured["kept"] = waits(started.port, SECONDS / 2, keep=True)
        left = started.descriptors() - first_files
        for connection in connections:
            connection.close()
        return {
            **measured,
            "connections": [at_first, left],
            "rss_mb": round(rss / 1e6, 1),
            "log_bytes": started.log.stat().st_size - first_size,
        }


def stopped_in_a_crowd(path: Path) -> dict[str, Any]:
    """How a server ends by SIGTERM during 1,000 slow connections."""
    with server(path) as started:
        kept = crowd(started.port, 1000, 0)
        time.sleep(2)
        began = time.monotonic()
        started.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(40)
        return {
            "connections": len(kept),
            "seconds": round(time.monotonic() - began, 2),
            "code": started.process.returncode,
            "log": started.log.read_text()[-200:],
        }


def small_requests(path: Path) -> dict[str, Any]:
    """Milliseconds of a small request on one connection that is kept, without pauses."""
    with server(path) as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
        durations = []
        for _ in range(4000):
            began = time.perf_counter()
            connection.request("GET", "/v1/models")
            connection.getresponse().read()
            durations.append(1000 * (time.perf_counter() - began))
        return {"p50_ms": round(statistics.median(durations), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, default=CHECKOUT, help="a checkout (default: this)")
    path = parser.parse_args().path

    print("small requests", json.dumps(small_requests(path)), flush=True)
    for slow, silent, files in ((100, 1000, None), (0, 5000, None), (0, 1000, 300)):
        figures = beside_a_crowd(path, slow, silent, files)
        print(slow, "slow,", silent, "silent,", files, "files", json.dumps(figures), flush=True)
    print("SIGTERM in 1000 slow", json.dumps(stopped_in_a_crowd(path)), flush=True)


if __name__ == "__main__":
    main()
