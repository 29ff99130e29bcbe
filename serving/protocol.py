"""HTTP/1.1, read strictly: uvicorn's protocol on llhttp, and what llhttp lets pass refused.

Two parties that read one stream of bytes differently can be played against each other (request
smuggling), so whatever RFC 9112 forbids or leaves open is refused: one error, and the connection is
closed. The rest of the server sees only requests with one host, one length and a path.
"""

import asyncio
import json
import logging
import re
from enum import Enum
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from serving.connections import Connections, peer_of
from serving.request_head import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_TARGET,
    ProtocolError,
    check_head,
    origin_form,
    shown,
    too_many_headers,
)

log = logging.getLogger("seqline.serve")

# Requests that may wait behind one that is being answered. The rest of the connection is not read.
MAX_PIPELINED = 16
# Bytes of a chunked body that are none of its content: sizes, extensions, trailers. Beyond these
# there may be as many as there are bytes of content, so chunks of five bytes are fine.
MAX_FRAMING = 64 << 10
# Seconds that a client has to read an error, and bytes that it may go on sending after one.
LINGER_SECONDS, LINGER_BYTES = 2.0, 64 << 20
# Seconds in which a request must have arrived whole once the server is told to stop.
STOP_SECONDS = 5.0

REQUEST_LINE = re.compile(rb"(?:\r\n)?[A-Z-]+ [!-~]+ HTTP/\d\.\d\r\n")


class Waits(Enum):
    """What the server waits for from a client."""

    FIRST = "the first request"
    NEXT = "the next request"
    HEAD = "the rest of a request's line and headers"
    BODY = "the rest of a body"
    NOTHING = "nothing: the client waits for its answer"
    CLOSE = "the end of the connection, after an error"


class StrictProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        connections: The server's connections, among them this one.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn allows requests after the last one of a connection.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.all = connections
        self.deadlines = connections.deadlines
        self.peer = ""
        self.failure: ProtocolError | None = None

        # What is waited for, since when, and how many bytes of it have come.
        self.waits = Waits.FIRST
        self.since: float | None = self.loop.time()
        self.num_bytes = 0
        self.num_content = 0
        self.line: bytes | None = b""
        self.finished = False  # Nothing more is parsed.
        self.cut_at = float("inf")
        # When an answer was first seen to be unread, and its bytes then.
        self.unread: tuple[float, int] | None = None

        # With TLS a transport exists only after the handshake. Until then the task that accepts
        # the connection stands for it, which runs this; a connection counts from its first moment.
        self.handshake = asyncio.current_task() if config.is_ssl else None
        if self.handshake:
            self.handshake.add_done_callback(self._on_accepted)
            self._count_in()

    def _on_accepted(self, task: asyncio.Task[None]) -> None:
        if self.handshake:  # It has failed.
            self.all.remove(self)

    def _count_in(self) -> None:
        if not self.all.add(self, self.loop.time()):
            self._fail(ProtocolError(503, "Too many connections are open. Try again."))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio. See uvicorn on the type of the transport."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if self.handshake:
            # Its address is known only now.
            self.handshake = None
            self.all.remove(self)
        self.peer = peer_of(self.client)
        self._count_in()

    def connection_lost(self, exc: Exception | None) -> None:
        self.all.remove(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answers what was asked before the client closed its side. TLS has no such half."""
        if self.waits != Waits.NOTHING or self.scheme == "https":
            return None
        self._finish()
        return True

    # What arrives.

    def data_received(self, data: bytes) -> None:
        if self.waits in (Waits.FIRST, Waits.NEXT, Waits.NOTHING) and not self.finished:
            self._wait_for(Waits.HEAD, new=self.waits != Waits.FIRST)
        self.num_bytes += len(data)

        # The rest of what is answered already is read, so that the client can read its answer.
        if self.finished or self._is_answered_early():
            if self.num_bytes > LINGER_BYTES:
                self.drop()
            if self.finished:
                return

        try:
            if self.line is not None:
                self._check_line(data)
            self._feed(data)
            self._check_sizes()
        except ProtocolError as error:
            self._fail(error)

    def _check_line(self, data: bytes) -> None:
        """Refuses a request line with which llhttp is more patient than a server must be."""
        assert self.line is not None
        self.line += data[: MAX_TARGET + 100]
        if b"\n" not in self.line[2:]:
            if len(self.line) > MAX_TARGET + 50:
                raise ProtocolError(414, f"The request's target has more than {MAX_TARGET} bytes.")
            return

        line = self.line
        self.line = None
        if not REQUEST_LINE.match(line):
            first = line.lstrip(b"\r\n").partition(b"\n")[0]
            raise ProtocolError(400, f"Malformed request line: {shown(first)}")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The client would like to speak another protocol; it may be ignored, and is.
            rest = data[upgrade.args[0] :]
            if rest and not self.finished:
                self._feed(rest)
        except httptools.HttpParserCallbackError as error:
            if self.finished:
                return
            cause = error.__context__
            if isinstance(cause, ProtocolError):
                raise cause from None
            log.error("a request cannot be read", exc_info=cause)
            raise ProtocolError(400, "Malformed request.") from None
        except httptools.HttpParserError as error:
            if not self.finished:
                raise ProtocolError(400, f"Malformed request: {error}.") from None

    def _check_sizes(self) -> None:
        """Bounds what llhttp and httptools collect without telling anyone."""
        if self.waits == Waits.HEAD and self.num_bytes > MAX_HEAD:
            raise too_many_headers()
        if self.waits == Waits.BODY and self.num_bytes > MAX_FRAMING + 2 * self.num_content:
            raise ProtocolError(400, "The body has more bytes of chunk sizes than of content.")

    def _wait_for(self, waits: Waits, new: bool = True) -> None:
        """Notes what is waited for from now on.

        Args:
            waits: That.
            new: Whether the time begins anew.
        """
        self.waits = waits
        if waits == Waits.NOTHING:
            self.since = None
        elif new:
            self.since = self.loop.time()
        self.num_bytes = self.num_content = 0

    # What llhttp has found.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.waits != Waits.HEAD:  # Pipelined: in one piece with the request before.
            self._wait_for(Waits.HEAD)
            self.line = None

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            raise ProtocolError(414, f"The request's target has more than {MAX_TARGET} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.waits != Waits.HEAD:
            return  # A trailer. It has nothing to say about the request.
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            raise too_many_headers()

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        check_head(version, self.url, self.headers)
        self.url = origin_form(self.parser.get_method(), self.url, self.headers)
        if version == "1.0":
            self.expect_100_continue = False
        if len(self.pipeline) >= MAX_PIPELINED:
            self._finish()
            raise ProtocolError(429, "Too many requests wait on this connection.")

        super().on_headers_complete()
        if self.cut_at < float("inf"):
            self.cycle.keep_alive = False
        self._wait_for(Waits.BODY)

    def on_body(self, body: bytes) -> None:
        self.num_content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.line = b""
        self._wait_for(Waits.NEXT if self.cycle.response_complete else Waits.NOTHING)
        if not self.parser.should_keep_alive():
            self._finish()

    # How it goes on, and how it ends.

    def on_response_complete(self) -> None:
        """uvicorn's, without its timer: the sweep closes idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return

        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.failure:
            self._send_error(self.failure)
        elif self.waits == Waits.NOTHING:
            self._wait_for(Waits.NEXT)
        elif self._is_answered_early() and self.expect_100_continue and not self.num_content:
            self.transport.close()  # Whether the body will still be sent, nobody can tell.
        else:
            self.since = self.loop.time()

    def _is_answered_early(self) -> bool:
        """Whether the answer was sent before the body had come."""
        return self.waits == Waits.BODY and self.cycle.response_complete

    def _finish(self) -> None:
        """Reads no further request."""
        self.finished = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _fail(self, error: ProtocolError) -> None:
        """Answers with an error, once all requests before are answered, and closes."""
        if self.handshake:
            self.drop()
            return

        self.finished = True
        if self._is_answered_early():
            self.drop()
        elif self.cycle is None or self.cycle.response_complete:
            self._send_error(error)
        elif self.waits != Waits.BODY:
            self.failure = error
        elif self.pipeline:
            self.pipeline.popleft()  # The newest. It will never be whole.
            self.failure = error
        elif self.cycle.response_started:
            self.drop()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._send_error(error)

    def _send_error(self, error: ProtocolError) -> None:
        body = json.dumps({"error": str(error)}).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))

        self._wait_for(Waits.CLOSE)
        if self.transport.can_write_eof():
            self.transport.write_eof()  # The client reads the error, then closes.
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Called when the server stops: ends the connection as soon as its answers are sent."""
        self.cut_at = self.loop.time() + STOP_SECONDS
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def drop(self) -> None:
        if self.handshake:
            self.handshake.cancel()
        else:
            self.transport.abort()

    def check(self, now: float) -> None:
        """Ends the connection if the client has had its time."""
        if self.handshake:
            if now - (self.since or now) > self.deadlines.head:
                self.all.remove(self)
                self.drop()
        elif not self._is_answer_read(now) or (now > self.cut_at and self.waits != Waits.NOTHING):
            self.drop()
        elif not self.transport.is_closing():
            self._check_wait(now)

    def _is_answer_read(self, now: float) -> bool:
        size = self.transport.get_write_buffer_size()
        if not size:
            self.unread = None
            return True
        if self.unread is None:
            self.unread = (now, size)
        started, first_size = self.unread
        return now - started <= self.deadlines.of(max(0, first_size - size))

    def _check_wait(self, now: float) -> None:
        if self.since is None:
            return
        waited = now - self.since
        if self.waits == Waits.CLOSE:
            if waited > LINGER_SECONDS:
                self.drop()
            return

        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self.waits == Waits.BODY:
            if waited > self.deadlines.of(self.num_content):
                self._fail(
                    ProtocolError(
                        408,
                        f"{self.num_content} bytes of the body arrived in {waited:.0f} s, which is"
                        f" too slow; send {self.deadlines.bytes_per_second:g} a second.",
                    )
                )
        elif is_answering:
            return  # A pipelined request has the time that the one before it takes.
        elif self.waits == Waits.HEAD:
            if waited > self.deadlines.head:
                self._fail(ProtocolError(408, "The request's headers did not arrive in time."))
        elif waited > self._patience():
            self.transport.close()

    def _patience(self) -> float:
        return self.deadlines.head if self.waits == Waits.FIRST else self.deadlines.idle
