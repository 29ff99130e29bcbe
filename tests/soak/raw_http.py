"""Valid and forbidden HTTP requests as bytes, and what came back."""

import contextlib
import re
import socket

import h11

MODEL = "half"
# Seconds without a byte after which a connection counts as silent.
SILENCE = 0.2

HOST = b"Host: 127.0.0.1\r\n"
BODY = b'{"instances": [1.0, 2.0]}'
PATH = f"/v1/models/{MODEL}:predict".encode()
POST = b"POST " + PATH + b" HTTP/1.1\r\n" + HOST
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
VALID = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    POST + LENGTH + b"\r\n" + BODY,
    POST + b"Transfer-Encoding: chunked\r\n\r\n19\r\n" + BODY + b"\r\n0\r\n\r\n",
    POST
    + b"Content-Type: application/json\r\nConnection: keep-alive\r\n"
    + LENGTH
    + b"\r\n"
    + BODY,
    POST + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n" + BODY,
    b"GET /v1/models/half/metadata HTTP/1.1\r\n" + HOST + b"Accept: */*\r\n\r\n",
]
SECOND = b"GET /v1/second HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# Requests that no server may take, by a name: none may be answered 2xx, nor leave a connection
# on which the second request is answered.
FORBIDDEN = {
    "Content-Length and Transfer-Encoding": POST + LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
    "Transfer-Encoding and Content-Length": POST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
    "length with a sign": POST + b"Content-Length: +25\r\n\r\n" + BODY,
    "length twice in one": POST + b"Content-Length: 25, 3\r\n\r\n" + BODY,
    "length in hex": POST + b"Content-Length: 0x19\r\n\r\n" + BODY,
    "negative length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "huge length": POST + b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
    "bare LF": (POST + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "bare LF in a header": POST + b"A: b\nC: d\r\n" + LENGTH + b"\r\n" + BODY,
    "bare CR in a header": POST + b"A: b\rC: d\r\n" + LENGTH + b"\r\n" + BODY,
    "HTTP/9.9": (POST + LENGTH + b"\r\n" + BODY).replace(b"HTTP/1.1", b"HTTP/9.9"),
    "HTTP/1.10": (POST + LENGTH + b"\r\n" + BODY).replace(b"HTTP/1.1", b"HTTP/1.10"),
    "folded header": POST + b"A: b\r\n c\r\n" + LENGTH + b"\r\n" + BODY,
    "space before the colon": POST + b"Content-Length : 25\r\n\r\n" + BODY,
    "NUL in a header": POST + b"A: \0\r\n" + LENGTH + b"\r\n" + BODY,
    "no Host": b"POST " + PATH + b" HTTP/1.1\r\n" + LENGTH + b"\r\n" + BODY,
    "two Hosts": POST + b"Host: other\r\n" + LENGTH + b"\r\n" + BODY,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked, then identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunk size with 0x": POST + CHUNKED + b"\r\n0x19\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size negative": POST + CHUNKED + b"\r\n-19\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size too small": POST + CHUNKED + b"\r\n3\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks with bare LF": POST + CHUNKED + b"\r\n19\n" + BODY + b"\n0\n\n",
    "no name": POST + b": x\r\n" + LENGTH + b"\r\n" + BODY,
    "space in a name": POST + b"A B: x\r\n" + LENGTH + b"\r\n" + BODY,
    "a line without a colon": POST + b"nothing\r\n" + LENGTH + b"\r\n" + BODY,
}


def exchange(address: tuple[str, int], data: bytes) -> tuple[bytes, bool]:
    """Sends bytes; returns what came back, and whether the server closed the connection."""
    got = b""
    with socket.create_connection(address, timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        connection.settimeout(SILENCE)
        try:
            while chunk := connection.recv(1 << 16):
                got += chunk
            return got, True
        except TimeoutError:
            return got, False
        except OSError:  # reset: it had more to read than it wanted
            return got, True


def answers_in(got: bytes) -> list[tuple[int, bytes]] | None:
    """The (status, body) of the answers; None if the bytes are not HTTP."""
    found = []
    while got:
        head = re.match(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n", got)
        if not head:
            return None
        status = int(head[1])
        length = re.search(rb"(?im)^content-length: (\d+)\r$", head[2])
        size = int(length[1]) if length else 0
        if status >= 200 and not length:
            size = len(got) - head.end()  # until the end of the connection
        found.append((status, got[head.end() :][:size]))
        got = got[head.end() + size :]
    return [answer for answer in found if answer[0] >= 200]


def requests_in(data: bytes) -> tuple[int, bool]:
    """The requests that h11 sees, and whether it comes to a mistake."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    count = 0
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                count += 1
            elif isinstance(event, h11.EndOfMessage):
                parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                parser.send(h11.EndOfMessage())
                if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
                    return count, False
                parser.start_next_cycle()
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return count, False
    except h11.RemoteProtocolError:
        return count, True
