"""The HTTP server without TensorFlow, in a thread of the test: its own protocol, real sockets."""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serving import access, flags
from serving.connections import Connections
from serving.http_server import make_server

PATIENCE = 60
STUCK_SECONDS = 3


@dataclass
class Wire:
    """A server under test.

    Attributes:
        address: Where it listens.
        connections: Its connections.
        asked: What the application was asked: method, path, query, host, body.
    """

    address: tuple[str, int]
    connections: Connections
    asked: list[tuple[str, str, bytes, bytes, bytes]]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def exchange(self, *sent: bytes) -> bytes:
        """All that the server answers to these pieces on one connection, until it closes it."""
        with self.connect() as connection:
            for piece in sent:
                connection.sendall(piece)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """All that arrives until the other side closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


def statuses(answers: bytes) -> list[int]:
    """The status of each answer, final or not."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def echo(asked: list[tuple[str, str, bytes, bytes, bytes]]) -> Any:
    """An application that answers any request with what it was, and notes it.

    /early answers before it reads the body, /stuck after a while, /long with 32 MB.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]

        if scope["path"] == "/stuck":
            await asyncio.sleep(STUCK_SECONDS)
        headers = dict(scope["headers"])
        asked.append(
            (
                scope["method"],
                scope["path"],
                scope["query_string"],
                headers.get(b"host", b""),
                body,
            )
        )
        answer = json.dumps({"path": scope["path"], "body": len(body)}).encode()
        if scope["path"] == "/long":
            answer = b"x" * (32 << 20)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    return app


@contextlib.contextmanager
def wire(*arguments: str) -> Iterator[Wire]:
    """A server with these flags in a thread."""
    asked: list[tuple[str, str, bytes, bytes, bytes]] = []
    parsed = flags.parse(arguments)
    started = threading.Event()
    running: dict[str, Any] = {}

    async def serve() -> None:
        running["loop"] = asyncio.get_running_loop()
        server, connections = make_server(parsed, echo(asked), access.read(parsed))
        running.update(server=server, connections=connections)
        sweeping = asyncio.create_task(connections.sweep())
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        started.set()
        await serving
        sweeping.cancel()

    # asyncio sends short answers at once only on a socket that says it is TCP.
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        assert started.wait(PATIENCE)
        try:
            yield Wire(listening.getsockname(), running["connections"], asked)
        finally:
            running["server"].should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
