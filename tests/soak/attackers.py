"""Clients that wish a server ill: the worst bodies, and connections that never behave.

Each attack runs in a thread of its own until it is told to stop, and counts what it was answered.
"""

import base64
import contextlib
import gzip
import http.client
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

MB = 1 << 20
# Seconds that an attacker waits for an answer.
PATIENCE = 60.0
# What became of a request that got no answer.
NO_ANSWER = "no answer"

Body = tuple[str, str, bytes, dict[str, str]]
Address = tuple[str, int]


def bodies(path: str) -> list[Body]:
    """The worst bodies: (name, path, body, headers).

    Args:
        path: of the model, such as /v1/models/small.
    """
    predict, classify = f"{path}:predict", f"{path}:classify"
    no_example = base64.b64encode(b"\xff\xff no example").decode()
    gzipped = {"Content-Encoding": "gzip"}

    made = [
        ("context x 10,000", classify, _context(20_000), {}),
        ("empty lists", predict, _filled(b"[]", 16 * MB - 100), {}),
        ("numbers", predict, _filled(b"1", 14 * MB), {}),
        ("empty objects", predict, _filled(b"{}", 15 * MB), {}),
        ("empty texts", predict, _filled(b'""', 15 * MB), {}),
        ("deep lists", predict, b'{"instances": ' + b"[" * 8 * MB + b"]" * 8 * MB + b"}", {}),
        ("one long number", predict, b'{"instances": [' + b"9" * 15 * MB + b"]}", {}),
        ("combining marks", predict, _text("a" + "\u0301" * (7 * MB)), {}),
        ("marks out of order", predict, _text("a" + "\u0315\u0300" * (3 * MB)), {}),
        ("one long text", predict, _text("word " * (3 * MB)), {}),
        ("one long token", predict, _text("w" * (15 * MB)), {}),
        ("escapes", predict, b'{"instances": ["' + rb"\u0041" * (2 * MB) + b'"]}', {}),
        ("many keys", predict, _keys(700_000), {}),
        ("no Example", predict, _examples([no_example] * 1000), {}),
        ("gzip bomb", predict, gzip.compress(_filled(b"[]", 400 * MB), 9), gzipped),
        ("gzip cut", predict, gzip.compress(_filled(b"1", MB))[:500], gzipped),
        ("not gzip", predict, b'{"instances": ["a"]}', gzipped),
        ("no JSON", predict, random.Random(0).randbytes(4 * MB), {}),
    ]
    return [(name, where, body, headers) for name, where, body, headers in made]


def _filled(value: bytes, size: int) -> bytes:
    """A body of this size that repeats a value."""
    head, tail = b'{"instances": [', b"]}"
    return head + (value + b",") * (size // (len(value) + 1)) + value + tail


def _text(text: str) -> bytes:
    return b'{"instances": ["' + text.encode() + b'"]}'


def _keys(count: int) -> bytes:
    return b"{" + b",".join(b'"k%d":0' % number for number in range(count)) + b"}"


def _context(size: int) -> bytes:
    """A context that the server adds to each of 10,000 examples."""
    examples = b",".join([b"{}"] * 10_000)
    context = b'{"filler": "' + b"x" * size + b'", "text": "a"}'
    return b'{"context": ' + context + b', "examples": [' + examples + b"]}"


def _examples(values: list[str]) -> bytes:
    rows = ",".join(f'{{"b64": "{value}"}}' for value in values)
    return f'{{"signature_name": "serving_examples", "instances": [{rows}]}}'.encode()


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
            self.stopped.wait(seconds if len(held) >= self.connections else 0.01)

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
