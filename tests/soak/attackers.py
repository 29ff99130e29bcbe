"""Clients that wish a server ill: the worst bodies, and connections that never behave.

Each attack runs in a thread of its own until it is told to stop, and counts what it was answered.
"""

import contextlib
import http.client
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.support import hostile

MB = 1 << 20
# Seconds that an attacker waits for an answer.
PATIENCE = 60.0
# What became of a request that got no answer.
NO_ANSWER = "no answer"

Body = tuple[str, str, bytes, dict[str, str]]
Address = tuple[str, int]


def bodies(model: str) -> list[Body]:
    """The worst bodies for a model, by its name: (name, path, body, headers)."""
    path = f"/v1/models/{model}"
    made = [
        ("context x 10,000", f"{path}:classify", _context(20_000)),
        ("14 MB of numbers", f"{path}:predict", _filled(b"1", 14 * MB)),
        ("8 MB of deep lists", f"{path}:predict", _filled(b"[" * 8 * MB + b"]" * 8 * MB, 1)),
        ("a number of 15 MB", f"{path}:predict", _filled(b"9" * 15 * MB, 1)),
        (
            "7 MB of marks",
            f"{path}:predict",
            _filled(b'"a' + b"\xcc\x81" * (7 * MB // 2) + b'"', 1),
        ),
        ("a token of 15 MB", f"{path}:predict", _filled(b'"' + b"w" * 15 * MB + b'"', 1)),
        ("no JSON", f"{path}:predict", random.Random(0).randbytes(4 * MB)),
    ]
    others = hostile.bodies(model).items()
    return [(name, where, body, {}) for name, where, body in made] + [
        (name, where, body, headers) for name, (where, headers, body) in others
    ]


def _filled(value: bytes, size: int) -> bytes:
    """A body that repeats a value up to this size."""
    head, tail = b'{"instances": [', b"]}"
    return head + (value + b",") * (size // (len(value) + 1)) + value + tail


def _context(size: int) -> bytes:
    """A context that the server adds to each of 10,000 examples."""
    examples = b",".join([b"{}"] * 10_000)
    context = b'{"filler": "' + b"x" * size + b'", "text": "a"}'
    return b'{"context": ' + context + b', "examples": [' + examples + b"]}"


class Attackers:
    """Threads that attack a server from `start` to `stop`.

    Attributes:
        answers: (attack, status, or what became of it) -> how often.
        slowest: Name of a body -> the longest seconds to its answer.
    """

    def __init__(self, address: Address, sent: list[Body], connections: int) -> None:
        self.address, self.sent, self.connections = address, sent, connections
        self.answers: Counter[tuple[str, str]] = Counter()
        self.slowest: dict[str, float] = {}
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        attacks: list[Callable[[], None]] = [
            self._send_bodies,
            *(lambda attack=attack: self._hold(*attack) for attack in self._connections()),
        ]
        self.threads = [threading.Thread(target=attack, daemon=True) for attack in attacks]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _send_bodies(self) -> None:
        """Sends one body after the other, as one client does."""
        while not self.stopped.is_set():
            for name, path, body, headers in self.sent:
                if self.stopped.is_set():
                    return
                started = time.monotonic()
                self.answers[name, self._send(path, body, headers)] += 1
                took = time.monotonic() - started
                self.slowest[name] = max(took, self.slowest.get(name, 0.0))

    def _send(self, path: str, body: bytes, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.request("POST", path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent; the answer may be there all the same
            except OSError as error:
                return f"{NO_ANSWER} ({type(error).__name__})"
            try:
                return str(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                return f"{NO_ANSWER} ({type(error).__name__})"

    def _connections(self) -> Iterator[tuple[str, bytes, bytes, float, bool]]:
        """Attacks by connections: (name, first bytes, then bytes, seconds between, half-closed)."""
        post = b"POST /v1/models/small:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        asks = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2000
        yield "slow header", post, b"X-Slow: 1\r\n", 1.0, False
        yield "slow body", post + b"Content-Length: 100000\r\n\r\n", b" ", 1.0, False
        yield "slow chunks", post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 1.0, False
        yield "silent", b"", b"", 1.0, False
        yield "half-closed", post + b"Content-Length: 9\r\n\r\n", b"", 1.0, True
        yield "never reads", asks, b"", 1.0, False
        yield "random bytes", b"", b"random", 0.05, False

    def _hold(
        self, name: str, first: bytes, then: bytes, seconds: float, is_half_closed: bool
    ) -> None:
        """Holds connections open, and opens others in place of those that the server closes."""
        draw = random.Random(name)
        held: list[socket.socket] = []
        while not self.stopped.is_set():
            if len(held) < self.connections:
                with contextlib.suppress(OSError):
                    held.append(self._open(first, is_half_closed))

            alive = []
            for connection in held:
                is_random = then == b"random"
                more = draw.randbytes(draw.randrange(1, 400)) if is_random else then
                if self._is_open(connection, more):
                    alive.append(connection)
                else:
                    self.answers[name, "closed by the server"] += 1
                    connection.close()
            held = alive
            self.stopped.wait(seconds if len(held) >= self.connections else 0.05)

        self.answers[name, "open at the end"] += len(held)
        for connection in held:
            connection.close()

    def _open(self, first: bytes, is_half_closed: bool) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=PATIENCE)
        connection.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            connection.sendall(first)
        if is_half_closed:
            connection.shutdown(socket.SHUT_WR)
        return connection

    @staticmethod
    def _is_open(connection: socket.socket, more: bytes) -> bool:
        """Sends more, and looks for the server's end without reading what it says."""
        try:
            if more:
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    connection.send(more)
        except OSError:
            return False

        ended = select.poll()
        ended.register(connection, select.POLLRDHUP)  # the server may have said something before
        return not ended.poll(0)
