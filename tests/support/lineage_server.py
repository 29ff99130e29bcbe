"""An HTTP server on loopback that collects OpenLineage's events."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class LineageServer:
    """The server.

    Attributes:
        url: Its address.
        events: The events that it has received, in that order.
        status: What it answers from now on.
    """

    url: str
    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 201

    def of(self, job: str) -> list[dict[str, Any]]:
        """The events of a job, by its name."""
        return [event for event in self.events if event["job"]["name"] == job]

    def types(self, job: str) -> list[str]:
        return [event["eventType"] for event in self.of(job)]


@contextlib.contextmanager
def lineage_server() -> Iterator[LineageServer]:
    """Serves until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/api/v1/lineage" and served.status < 300:
                served.events.append(json.loads(body))
            self.send_response(served.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = LineageServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
