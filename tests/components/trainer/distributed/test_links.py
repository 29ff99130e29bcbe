"""Messages between workers: whatever else calls is not taken for one of them."""

import json
import socket

import pytest

from components.trainer.distributed.links import Link


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"bye": True},
        {"lost": 2},
        {"number": 1, "must_match": {"seed": 0}},
        {"decision": {"step": None}},
        {"decision": {"step": 50}},
        {"error": "no"},
    ],
)
def test_a_message_is_received_as_it_was_sent(message: dict[str, object]) -> None:
    assert received(json.dumps(message).encode()) == message


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b'"bye"', b"GET / HTTP/1.1", b"\0" * 20, b"[" * 50_000, b'{"a":' * 10_000),
        *(b'{"lost": "1"}', b'{"lost": null}', b'{"lost": -1}', b'{"lost": 1e400}'),
        *(b'{"bye": "no"}', b'{"decision": "x"}', b'{"decision": {}}'),
        b'{"decision": {"step": "3"}}',
        *(b'{"number": NaN}', b'{"must_match": []}', b'{"error": 1}', b'{"unknown": 1}'),
    ],
)
def test_anything_else_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ConnectionError, match="not one of ours"):
        received(line)


def received(line: bytes) -> object:
    """What a link receives when the other side sends a line."""
    here, there = socket.socketpair()
    with here, there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        there.sendall(line + b"\n")
        return Link(here).receive(1.0)
