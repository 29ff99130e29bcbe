"""Requests as bytes: what HTTP/1.1 allows is answered, everything else refused and cut off."""

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.support.wire import Wire, read_all, statuses, wire

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /post HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
# What an attacker would like to have answered as a request of its own.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    with wire() as started:
        yield started


@pytest.fixture(autouse=True)
def _forget(server: Wire) -> None:
    server.asked.clear()


def request_line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


def header(line: bytes) -> bytes:
    return GET + line + b"\r\n\r\n"


def coded(value: bytes) -> bytes:
    return POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"


def measured(value: bytes) -> bytes:
    return POST + b"Content-Length: " + value + b"\r\n\r\nabc"


REFUSED = {
    # Two lengths, or one that others read otherwise.
    "length and coding": (
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "a length twice": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "list of lengths": (measured(b"3, 3"), 400),
    "length with sign": (measured(b"+3"), 400),
    "negative length": (measured(b"-3"), 400),
    "length in hex": (measured(b"0x3"), 400),
    "length with underscore": (measured(b"1_0"), 400),
    "length with vertical tab": (measured(b"\x0b3"), 400),
    "empty length": (measured(b""), 400),
    "length of words": (measured(b"three"), 400),
    "length beyond 64 bits": (measured(b"18446744073709551616"), 400),
    "coding twice": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "chunked in chunked": (coded(b"chunked, chunked"), 400),
    "chunked not last": (coded(b"chunked, gzip"), 400),
    "two codings": (coded(b"gzip, chunked"), 501),
    "empty list item": (coded(b",chunked"), 501),
    "comma at the end": (coded(b"chunked,"), 400),
    "identity": (coded(b"identity"), 501),
    "almost chunked": (coded(b"xchunked"), 501),
    "quoted chunked": (coded(b'"chunked"'), 501),
    "chunked with parameter": (coded(b"chunked;q=1"), 501),
    "chunked with vertical tab": (coded(b"\x0bchunked"), 400),
    "chunked with nul": (coded(b"chunked\0"), 400),
    "empty coding": (coded(b""), 400),
    "chunked in 1.0": (
        b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    # Ends of lines.
    "bare LF": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: localhost\r\n\r\n", 400),
    "bare LF after a header": (b"GET / HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n", 400),
    "bare LF at the end": (GET + b"\n", 400),
    "bare LF before": (b"\n" + LAST, 400),
    "bare CR": (header(b"A: b\rC: d"), 400),
    "CR CR LF": (header(b"A: b\r"), 400),
    "folded by a space": (header(b"A: b\r\n c"), 400),
    "folded by a tab": (header(b"A: b\r\n\tc"), 400),
    "folded length": (POST + b"Content-Length:\r\n 3\r\n\r\nabc", 400),
    "folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "folded first header": (b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    # Versions.
    "HTTP/9.9": (request_line(b"GET / HTTP/9.9"), 400),
    "HTTP/2.0": (request_line(b"GET / HTTP/2.0"), 505),
    "HTTP/0.9": (request_line(b"GET / HTTP/0.9"), 505),
    "HTTP/1.2": (request_line(b"GET / HTTP/1.2"), 400),
    "HTTP/1.10": (request_line(b"GET / HTTP/1.10"), 400),
    "HTTP/01.1": (request_line(b"GET / HTTP/01.1"), 400),
    "HTTP/1": (request_line(b"GET / HTTP/1"), 400),
    "http/1.1": (request_line(b"GET / http/1.1"), 400),
    "RTSP": (request_line(b"GET / RTSP/1.0"), 400),
    "ICE": (request_line(b"SOURCE / ICE/1.0"), 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    # Request lines.
    "two spaces": (request_line(b"GET  / HTTP/1.1"), 400),
    "two spaces before the version": (request_line(b"GET /  HTTP/1.1"), 400),
    "space after the version": (request_line(b"GET / HTTP/1.1 "), 400),
    "tab": (request_line(b"GET\t/ HTTP/1.1"), 400),
    "space before the method": (request_line(b" GET / HTTP/1.1"), 400),
    "space in the target": (request_line(b"GET /a b HTTP/1.1"), 400),
    "unknown method": (request_line(b"STEAL / HTTP/1.1"), 400),
    "method in lower case": (request_line(b"get / HTTP/1.1"), 400),
    "nul in the target": (request_line(b"GET /\0 HTTP/1.1"), 400),
    "control in the target": (request_line(b"GET /\x1b[31m HTTP/1.1"), 400),
    "delete in the target": (request_line(b"GET /\x7f HTTP/1.1"), 400),
    "raw UTF-8 in the target": (request_line("GET /é HTTP/1.1".encode()), 400),
    "fragment": (request_line(b"GET /a#b HTTP/1.1"), 400),
    "relative target": (request_line(b"GET v1 HTTP/1.1"), 400),
    "star": (request_line(b"GET * HTTP/1.1"), 400),
    "another scheme": (request_line(b"GET ftp://localhost/ HTTP/1.1"), 400),
    "user in the target": (request_line(b"GET http://a:b@localhost/ HTTP/1.1"), 400),
    "no host in the target": (request_line(b"GET http:///v1 HTTP/1.1"), 400),
    "proxy": (request_line(b"CONNECT localhost:80 HTTP/1.1"), 405),
    "long target": (request_line(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "endless target": (b"GET /" + b"a" * 300_000, 414),
    # Headers.
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + HOST + b"\r\n", 400),
    "two different hosts": (GET + b"Host: 127.0.0.1\r\n\r\n", 400),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "host with path": (b"GET / HTTP/1.1\r\nHost: localhost/a\r\n\r\n", 400),
    "host with user": (b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n", 400),
    "host list": (b"GET / HTTP/1.1\r\nHost: localhost, evil\r\n\r\n", 400),
    "host with words for port": (b"GET / HTTP/1.1\r\nHost: localhost:http\r\n\r\n", 400),
    "two hosts in 1.0": (b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "space before the colon": (header(b"A : b"), 400),
    "space before the coding's colon": (
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "tab before the colon": (header(b"A\t: b"), 400),
    "no colon": (header(b"A"), 400),
    "no name": (header(b": b"), 400),
    "bracket in a name": (header(b"A(: b"), 400),
    "nul in a name": (header(b"A\0: b"), 400),
    "8 bits in a name": (header(b"A\xff: b"), 400),
    "nul in a value": (header(b"A: b\0c"), 400),
    "control in a value": (header(b"A: b\x01c"), 400),
    "escape in a value": (header(b"A: \x1b[31m"), 400),
    "delete in a value": (header(b"A: b\x7fc"), 400),
    "another expectation": (header(b"Expect: a pony"), 417),
    "many headers": (GET + b"A: b\r\n" * 200 + b"\r\n", 431),
    "long header": (header(b"A: " + b"b" * 40_000), 431),
    "endless header": (GET + b"A: " + b"b" * 300_000, 431),
    "endless name": (GET + b"A" * 300_000, 431),
    "long headers": (GET + (b"A: " + b"b" * 1000 + b"\r\n") * 50 + b"\r\n", 431),
    # Chunks.
    "chunk with sign": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "negative chunk": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk with underscore": (CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n", 400),
    "space before a chunk": (CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "space after a chunk": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "empty size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    "extension alone": (CHUNKED + b";a\r\nabc\r\n0\r\n\r\n", 400),
    "size beyond 64 bits": (CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    "bare LF after a size": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "bare LF after a chunk": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    "bare LF after the last size": (CHUNKED + b"3\r\nabc\r\n0\n\r\n", 400),
    "bare LF at the body's end": (CHUNKED + b"3\r\nabc\r\n0\r\n\n", 400),
    "longer than its size": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "shorter than its size": (CHUNKED + b"5\r\nabc\r\n0\r\n\r\n" + SMUGGLED, 400),
    "LF in an extension": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "CR in an extension": (CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
    "nul in an extension": (CHUNKED + b"3;a\0b\r\nabc\r\n0\r\n\r\n", 400),
    "open quote in an extension": (CHUNKED + b'3;a="b\r\nabc\r\n0\r\n\r\n', 400),
    "huge extension": (CHUNKED + b"3;a=" + b"b" * 600_000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "huge extensions": (CHUNKED + (b"1;a=" + b"b" * 9000 + b"\r\na\r\n") * 60, 400),
    "tiny chunks": (CHUNKED + b"1\r\na\r\n" * 200_000, 400),
    "length in the trailer": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED, 400),
    "coding in the trailer": (CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "nul in the trailer": (CHUNKED + b"0\r\nA: b\0\r\n\r\n", 400),
    "huge trailer": (CHUNKED + b"0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 500, 400),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_not_strictly_http_is_refused_once_and_cut_off(
    server: Wire, sent: bytes, status: int
) -> None:
    got = server.exchange(sent, SMUGGLED)
    assert statuses(got) == [status]
    assert not server.asked

    head, _, body = got.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/json" in head
    assert list(json.loads(body)) == ["error"]
    assert len(body) < 300


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=list(REFUSED))
def test_the_same_in_pieces_and_after_another_request(
    server: Wire, sent: bytes, status: int
) -> None:
    first = GET + b"\r\n"
    cuts = [0, 1, 5, 16, 17, 40, 60, len(sent)]
    with server.connect() as connection:
        connection.sendall(first)
        answered = connection.recv(10_000)  # Each of its pieces then arrives by itself.
        for start, end in itertools.pairwise(cuts):
            try:
                connection.sendall(sent[start:end])
            except ConnectionError:
                break  # It has been refused already.
        answered += read_all(connection)

    # A reset may come before the error is read, but no second answer.
    assert statuses(answered) in ([200, status], [200])
    assert [asked[1] for asked in server.asked] == ["/"]


def test_requests_in_one_piece_are_answered_in_turn(server: Wire) -> None:
    sent = [
        GET + b"\r\n",
        POST + b"Content-Length: 3\r\n\r\nabc",
        CHUNKED + b'2;a="b;c"\r\nde\r\n0\r\nX: y\r\nHost: evil\r\n\r\n',
        b"\r\n" + LAST,
    ]
    expected = [
        ("GET", "/", b"", b"localhost", b""),
        ("POST", "/post", b"", b"localhost", b"abc"),
        ("POST", "/post", b"", b"localhost", b"de"),
        ("GET", "/last", b"", b"localhost", b""),
    ]

    assert statuses(server.exchange(b"".join(sent))) == [200] * 4
    assert server.asked == expected

    server.asked.clear()
    single = [bytes([byte]) for byte in b"".join(sent)]
    assert statuses(server.exchange(*single)) == [200] * 4
    assert server.asked == expected


def test_an_error_waits_for_the_answers_before_it(server: Wire) -> None:
    got = server.exchange((GET + b"\r\n") * 3 + b"GET / HTTP/9.9\r\n\r\n" + SMUGGLED)
    assert statuses(got) == [200, 200, 200, 400]
    assert len(server.asked) == 3

    got = server.exchange(GET + b"\r\n" + CHUNKED + b"x\r\n" + SMUGGLED)
    assert statuses(got) == [200, 400]


def test_pipelining_is_bounded(server: Wire) -> None:
    got = server.exchange((GET + b"\r\n") * 5000)
    # One is being answered, sixteen wait, and the last of them says that it is the last.
    assert statuses(got) == [200] * 17
    assert b"\r\nconnection: close" in got.rpartition(b"HTTP/1.1")[2]


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://127.0.0.1:80/v1/models/m", "/v1/models/m", b"", b"127.0.0.1:80"),
        (b"HTTP://LOCALHOST", "/", b"", b"LOCALHOST"),
        (b"https://[::1]:8501?a=b?c", "/", b"a=b?c", b"[::1]:8501"),
        (b"/v1?a=http://x/", "/v1", b"a=http://x/", b"localhost"),
        (b"//evil/v1", "//evil/v1", b"", b"localhost"),
        (b"/a%20b%00?%20", "/a b\0", b"%20", b"localhost"),
    ],
)
def test_forms_of_the_target(
    server: Wire, target: bytes, path: str, query: bytes, host: bytes
) -> None:
    got = server.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert statuses(got) == [200]
    assert server.asked == [("GET", path, query, host, b"")]


def test_the_rest_of_http(server: Wire) -> None:
    close = b"Connection: close\r\n"
    # Half closed by the client.
    with server.connect() as connection:
        connection.sendall(GET + b"\r\n")
        connection.shutdown(1)
        assert statuses(read_all(connection)) == [200]

    # HTTP/1.0, with and without a host; nothing after it is read.
    assert statuses(server.exchange(b"GET / HTTP/1.0\r\n\r\n" + SMUGGLED)) == [200]
    assert statuses(server.exchange(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")) == [200]

    # Another protocol is offered, and not taken.
    offer = GET + b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    assert statuses(server.exchange(offer + LAST)) == [200, 200]

    # The client asks before it sends the body; a refusal leaves open whether it will send it.
    asks = POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n"
    with server.connect() as connection:
        connection.sendall(asks + close + b"\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert statuses(read_all(connection)) == [200]
    early = asks.replace(b"/post", b"/early") + b"\r\n"
    assert statuses(server.exchange(early)) == [200]

    # Without asking, the body of a request that is answered early is read and thrown away.
    early = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n"
    assert statuses(server.exchange(early, b"x" * 300_000, LAST)) == [200, 200]
    assert "/smuggled" not in [asked[1] for asked in server.asked]

    assert statuses(server.exchange(b"OPTIONS * HTTP/1.1\r\n" + HOST + close + b"\r\n")) == [200]
