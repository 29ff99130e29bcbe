"""The processes that read long bodies: the same tensors, and whatever ends a process."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.errors import RefusedError
from serving.limits import RequestLimits
from serving.readers import Reader, Readers
from serving.reading import Question, read
from serving.strings import as_array
from serving.tensors import Tensor
from tests.support import CHECKOUT
from tests.support.served import environment

SIGNATURES = {
    "serving_default": {"text": Tensor("", np.dtype(object), (-1,))},
    "numbers": {
        "x": Tensor("", np.dtype(np.float32), (-1, -1)),
        "n": Tensor("", np.dtype(np.int64), (-1,)),
    },
    "tokens": {"tokens": Tensor("", np.dtype(object), (-1, -1))},
    "scalar": {"x": Tensor("", np.dtype(object), ())},
}
LIMITS = RequestLimits()
PREDICT = Question("", "serving_default", SIGNATURES, [])


@contextlib.contextmanager
def started(limits: RequestLimits = LIMITS, seconds: float = 30) -> Iterator[Readers]:
    readers = Readers(limits, seconds)
    try:
        yield readers
    finally:
        readers.close()


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with started() as one:
        yield one


def ask(
    readers: Readers,
    *bodies: bytes,
    question: Question = PREDICT,
    hold: Callable[[int], None] = lambda num_bytes: None,
) -> list[Any]:
    """What is read, or the exception, of bodies that are sent at once."""

    async def all_at_once() -> list[Any]:
        calls = (readers.read(question, bytearray(body), hold) for body in bodies)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_at_once())


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ["a", "\u00e9", ""]},
        {"signature_name": "numbers", "instances": [{"x": [1.5, 2], "n": 3}] * 3},
        {"signature_name": "numbers", "inputs": {"x": [[1.5]], "n": [1, 2]}},
        {"signature_name": "tokens", "instances": [["a", "bc"], ["", "d"]]},
        {"signature_name": "scalar", "inputs": "abc"},
    ],
)
def test_a_process_reads_the_same_as_the_server(readers: Readers, body: Any) -> None:
    sent = json.dumps(body).encode()
    expected = read(PREDICT, sent, LIMITS)
    held: list[int] = []
    [got] = ask(readers, sent, hold=held.append)
    assert (got.signature, got.by_row) == (expected.signature, expected.by_row)
    assert got.inputs.keys() == expected.inputs.keys()
    for name, value in expected.inputs.items():
        assert as_array(got.inputs[name]).tolist() == value.tolist()
        assert as_array(got.inputs[name]).dtype == value.dtype
    assert len(held) == 1


def test_a_refusal_comes_back_with_its_status(readers: Readers) -> None:
    wrong, many = ask(readers, b"{", b'{"instances":[' + b"[]," * 300_000 + b"[]]}")
    assert (wrong.status, str(wrong)[:16]) == (400, "JSON Parse error")
    assert (many.status, str(many)[:31]) == (413, "The request has 300001 rows; th")


def test_what_there_is_no_room_for_is_not_received(readers: Readers) -> None:
    def refuse(num_bytes: int) -> None:
        raise RefusedError(f"{num_bytes}", status=503)

    [refused] = ask(readers, b'{"instances":["abcd"]}', hold=refuse)
    assert (str(refused), refused.status) == (str(2 * 8 + 4), 503)
    [got] = ask(readers, b'{"instances":["abcd"]}')
    assert got.inputs["text"].array().tolist() == [b"abcd"]


def test_what_takes_too_long_is_stopped_and_the_next_is_read() -> None:
    limits = RequestLimits(max_body_bytes=64 << 20, max_rows=10**9, max_held_bytes=1 << 40)
    with started(limits, 0.2) as readers:
        long = b'{"instances":[' + b"[]," * 5_000_000 + b"[]]}"
        [stopped] = ask(readers, long)
        assert (stopped.status, str(stopped)[:48]) == (
            413,
            "The request's body took more than 0.2 s to read.",
        )


def test_a_process_that_is_killed_is_replaced() -> None:
    with started() as readers:
        before = [one.process.pid for one in readers.readers]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        answers = ask(readers, b'{"instances":["a"]}', b'{"instances":["b"]}')
        assert {(answer.status, answer.retry_after) for answer in answers} == {(503, 1)}
        [got] = ask(readers, b'{"instances":["a"]}')
        assert got.inputs["text"].array().tolist() == [b"a"]
        assert not set(before) & {one.process.pid for one in readers.readers}


def test_memory_is_bounded() -> None:
    """The process may take 256 MB and 64 bytes for each of a body."""
    limits = RequestLimits(max_body_bytes=1000, max_held_bytes=1000)
    with started(limits) as readers:
        [refused] = ask(readers, b'{"instances":[' + b'{"":0},' * 2_000_000 + b"0]}")
        assert (refused.status, str(refused)) == (
            413,
            "The request takes too much memory to read. Send its rows in several.",
        )


def order(monkeypatch: pytest.MonkeyPatch, number: int, *bodies: bytes) -> list[int]:
    """The sizes of bodies in the order in which one of the processes alone begins with them."""
    begun: list[int] = []
    monkeypatch.setattr(Reader, "read", lambda self, _, body, hold: begun.append(len(body)))

    async def all_at_once(readers: Readers) -> None:
        calls = [readers.read(PREDICT, bytearray(body), lambda _: None) for body in bodies]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*calls), 0.5)

    with started() as readers:
        for other in readers.readers:
            other.is_free = other is readers.readers[number]
        asyncio.run(all_at_once(readers))
    return begun


def test_the_longest_bodies_wait_and_each_ones_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b"a" * size for size in (900_000, 1_900_000, 1_000, 800_000, 10, 200_000)]
    assert order(monkeypatch, 0, *bodies) == [900_000, 10, 1_000, 200_000, 800_000, 1_900_000]
    assert order(monkeypatch, 1, *bodies) == [1_000, 10, 200_000]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_server(tmp_path: Path, number: int) -> None:
    script = (
        "import sys, time\n"
        "from serving.limits import RequestLimits\n"
        "from serving.readers import Readers\n"
        "readers = Readers(RequestLimits(), 30)\n"
        "print(*(one.process.pid for one in readers.readers), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=CHECKOUT,
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 60
    while any(map(_is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
