"""HTTP servers on loopback whose answers a function gives."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# status, body (JSON, or bytes), headers
Reply = tuple[int, Any, dict[str, str]]
# (method, path, query, headers, body) -> Reply
Answer = Callable[[str, str, dict[str, str], Any, bytes], Reply]


def error(status: int, message: str) -> Reply:
    """An error as Google's services answer it."""
    return status, {"error": {"code": status, "message": message}}, {}


def split(target: str) -> tuple[str, dict[str, str]]:
    """(path, query) of a request's target."""
    parts = urlsplit(target)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}


class Handler(BaseHTTPRequestHandler):
    """One connection. A subclass gives the answers."""

    protocol_version = "HTTP/1.1"
    # Otherwise the second part of an answer waits 40 ms for the client's word on the first one.
    disable_nagle_algorithm = True
    answer: Answer

    def handle_method(self) -> None:
        path, query = split(self.path)
        status, content, headers = type(self).answer(
            self.command, path, query, self.headers, self.read_body()
        )
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)

        for name, value in {
            "Content-Type": "application/json",
            **headers,
            "Content-Length": str(len(raw)),
        }.items():
            self.send_header(name, value)

        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_method  # noqa: N815

    def read_body(self) -> bytes:
        """The request's body, of a known length or in chunks."""
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


class Server(ThreadingHTTPServer):
    """Has a thread for each connection, and ignores clients that disconnect."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, address)


@contextmanager
def listening(handler: type[Handler], port: int = 0) -> Iterator[int]:
    """Runs a server on a port of loopback (0: any free one), and yields the port."""
    server = Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
