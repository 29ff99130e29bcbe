"""Slow, silent and unread connections end in time; beyond the limit the right one makes room."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

import pytest

from serving.connections import (
    Connections,
    Deadlines,
    most_connections,
    peer_of,
    raise_descriptor_limit,
)
from tests.support.wire import PATIENCE, Wire, read_all, statuses, wire

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = GET[:-2] + b"Connection: close\r\n\r\n"


def test_each_kind_of_slowness_has_its_deadline() -> None:
    limits = ("--header_timeout_seconds=1", "--idle_timeout_seconds=2")
    with wire(*limits, "--min_bytes_per_second=100000") as server:
        silent, half, idle, slow, unread, honest = (server.connect() for _ in range(6))
        half.sendall(GET[:20])
        idle.sendall(GET)
        slow.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
        unread.sendall(b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n")

        # Twice as fast as it must be, for longer than any deadline.
        honest.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 800000\r\n\r\n")
        for _ in range(40):
            honest.sendall(b"x" * 20_000)
            with contextlib.suppress(OSError):
                slow.sendall(b"x")
            time.sleep(0.1)
        assert statuses(honest.recv(1000)) == [200]

        assert read_all(silent) == b""
        assert statuses(read_all(half)) == [408]
        assert statuses(read_all(idle)) == [200]
        too_slow = read_all(slow)
        assert statuses(too_slow) == [408]
        assert b"which is too slow; send 100000 a second." in too_slow
        wait_for(lambda: len(server.connections.open) <= 1)
        assert len(read_all(unread)) < 32 << 20
        for connection in (silent, half, idle, slow, unread, honest):
            connection.close()


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connected_from(server: Wire, address: str) -> socket.socket:
    return socket.create_connection(server.address, PATIENCE, source_address=(address, 0))


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        connection.settimeout(PATIENCE)


def test_silent_connections_never_keep_a_client_out(caplog: pytest.LogCaptureFixture) -> None:
    with wire("--max_connections=20") as server, contextlib.ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.sendall(b"GET /stuck HTTP/1.1\r\n" + HOST + b"\r\n")
        other = stack.enter_context(connected_from(server, "127.0.0.2"))
        wait_for(lambda: len(server.connections.open) == 2)

        silent = [stack.enter_context(server.connect()) for _ in range(300)]
        for _ in range(50):
            assert statuses(server.exchange(LAST)) == [200]
        wait_for(lambda: len(server.connections.open) <= 20)

        # Those that came first are gone. What is being answered stays, and so does the one
        # connection of another address, which has waited longest of all.
        assert not any(is_open(connection) for connection in silent[:200])
        assert is_open(busy)
        assert is_open(other)
        other.sendall(LAST)
        assert statuses(read_all(other)) == [200]

        busy.shutdown(socket.SHUT_RDWR)

    lines = [each.getMessage() for each in caplog.records if "max_connections" in each.message]
    assert len(lines) == 1


def test_a_connection_too_many_is_told_so_if_all_are_busy() -> None:
    with wire("--max_connections=3", "--shutdown_timeout_seconds=1") as server:
        busy = [server.connect() for _ in range(3)]
        for connection in busy:
            connection.sendall(b"GET /stuck HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_for(lambda: [each.since for each in list(server.connections.open)] == [None] * 3)

        got = server.exchange()
        assert statuses(got) == [503]
        assert b"Too many connections are open" in got
        for connection in busy:
            connection.close()
        wait_for(lambda: not server.connections.open)
        assert statuses(server.exchange(LAST)) == [200]


def test_a_stop_waits_for_answers_and_for_nothing_else() -> None:
    with wire("--shutdown_timeout_seconds=20") as server:
        slow = [server.connect() for _ in range(200)]
        for connection in slow:
            connection.sendall(GET[:-5])
        body = server.connect()
        body.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\nabc")
        wait_for(lambda: len(server.connections.open) == 201)

        def finish() -> None:
            while is_open(slow[0]):
                time.sleep(0.01)
            body.sendall(b"def")

        finishing = threading.Thread(target=finish)
        finishing.start()

    finishing.join(PATIENCE)
    got = read_all(body)
    assert statuses(got) == [200]
    assert b"connection: close" in got
    assert all(read_all(connection) == b"" for connection in slow)
    for connection in (*slow, body):
        connection.close()


def test_out_of_descriptors_is_a_line_and_not_a_log_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import asyncio

    connections = Connections(10, Deadlines())
    loop = asyncio.new_event_loop()
    context = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(24, "Too many open files"),
    }
    with caplog.at_level(logging.WARNING):
        for _ in range(10_000):
            connections.on_loop_error(loop, context)
    loop.close()
    assert [record.getMessage() for record in caplog.records] == [
        "a connection cannot be accepted: Too many open files; 0 are open. Raise the limit of open"
        " files (ulimit -n), or lower --max_connections."
    ]


def test_the_limit_follows_from_the_descriptors() -> None:
    assert [most_connections(number) for number in (20, 300, 1024, 20_000)] == [16, 150, 512, 4096]
    assert [most_connections(1000, wanted) for wanted in (1, 800, 5000)] == [1, 800, 904]
    assert raise_descriptor_limit() == raise_descriptor_limit()


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("10.1.2.3", 5), "10.1.2.3"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 5), "fe80::"),
        (("::ffff:10.1.2.3", 5), "10.1.2.3"),
        (None, ""),
    ],
)
def test_clients_are_counted_by_address_and_by_network(client: tuple | None, peer: str) -> None:
    assert peer_of(client) == peer
