"""The processes that read long bodies, and whose turn it is."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from serving import reader
from serving.errors import RefusedError
from serving.limits import RequestLimits
from serving.reading import Question, ReadRequest

# The last process reads only what is below, so that nobody waits for the longest bodies but those
# who send them.
MEDIUM_BYTES = 256 << 10
# A body waits behind those that came up to a second later for each so many bytes of it.
BYTES_PER_SECOND = 256 << 10
NUM_READERS = 2


class Reader:
    """One process and the thread that talks to it.

    Args:
        limits: Limits of one request.
        seconds: CPU seconds for one body; three times as many on the clock.
    """

    def __init__(self, limits: RequestLimits, seconds: float) -> None:
        self.limits = limits
        self.seconds = seconds
        self.thread = ThreadPoolExecutor(1, "reader")
        self.is_free = True
        self._start()

    def _start(self) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(3 * self.seconds)
        settings = {"limits": asdict(self.limits), "seconds": self.seconds}

        # A library for matrices would start a thread for each processor.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.reader", json.dumps(settings)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def read(self, question: Question, body: bytearray, hold: Callable[[int], None]) -> ReadRequest:
        """What a body holds. Called in the reader's thread.

        Args:
            question: How it is to be read.
            body: The body.
            hold: Called with the bytes of what was read.

        Raises:
            RefusedError: The request is wrong, took too long (413), or the process died (503).
        """
        signatures = {
            name: {key: (spec.dtype.name, spec.shape) for key, spec in inputs.items()}
            for name, inputs in question.signatures.items()
        }
        header = {
            "encoding": question.encoding,
            "default": question.default,
            "signatures": signatures,
            "of_examples": question.of_examples,
        }

        timed_out = False
        message: tuple[Any, bytearray] | None = None
        try:
            reader.send(self.connection, header, [body])
            message = reader.receive(self.connection)
        except TimeoutError:
            timed_out = True
        except OSError:
            pass

        if message is None:
            raise self._start_again(timed_out)
        answer, received = message
        if "error" in answer:
            raise RefusedError(answer["error"], answer["status"])
        hold(len(received))
        return reader.unpack_request(answer, received)

    def _start_again(self, timed_out: bool) -> RefusedError:
        """Replaces the process, and returns why."""
        self.close()
        code = self.process.wait()
        self._start()
        if timed_out or code in (-signal.SIGPROF, -signal.SIGXCPU):
            return RefusedError(
                f"The request's body took more than {self.seconds:g} s to read. Send its rows in"
                " several.",
                status=413,
            )
        return RefusedError(
            "The process that reads long bodies ended. Try again.", status=503, retry_after=1
        )

    def close(self) -> None:
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


@dataclass(frozen=True, order=True)
class _Waiting:
    """A body that waits for a reader: the smaller, the sooner, but each one's turn comes."""

    due: float
    number: int
    size: int
    read: Callable[[Reader], ReadRequest]
    answer: asyncio.Future


class Readers:
    """All readers. It belongs to one event loop, but starts before it does.

    Args:
        limits: Limits of one request.
        seconds: CPU seconds for one body.
    """

    def __init__(self, limits: RequestLimits, seconds: float) -> None:
        self.readers = [Reader(limits, seconds) for _ in range(NUM_READERS)]
        self.waiting: list[_Waiting] = []
        self.numbers = itertools.count()

    async def read(
        self, question: Question, body: bytearray, hold: Callable[[int], None]
    ) -> ReadRequest:
        """What a body holds; see `Reader.read`."""
        answer = asyncio.get_running_loop().create_future()
        # How much it inflates to is not known.
        size = len(body) if question.encoding in ("", "identity") else MEDIUM_BYTES + len(body)
        due = time.monotonic() + size / BYTES_PER_SECOND
        work = _Waiting(
            due, next(self.numbers), size, lambda one: one.read(question, body, hold), answer
        )
        self.waiting.append(work)
        self._start()
        return await answer

    def _start(self) -> None:
        """Gives the free readers what is due first of what they may read."""
        # A client that went away waits no more.
        self.waiting = [work for work in self.waiting if not work.answer.done()]
        for one in self.readers:
            if not one.is_free:
                continue

            most = MEDIUM_BYTES if one is self.readers[-1] else sys.maxsize
            chosen = min((work for work in self.waiting if work.size <= most), default=None)
            if chosen is None:
                continue
            self.waiting.remove(chosen)
            one.is_free = False
            asyncio.get_running_loop().create_task(self._run(one, chosen))

    async def _run(self, one: Reader, work: _Waiting) -> None:
        try:
            result: Any = await asyncio.get_running_loop().run_in_executor(
                one.thread, work.read, one
            )
            if not work.answer.done():
                work.answer.set_result(result)
        except Exception as error:
            if not work.answer.done():
                work.answer.set_exception(error)
        finally:
            one.is_free = True
            self._start()

    def close(self) -> None:
        for one in self.readers:
            one.close()
            one.process.wait()
            one.thread.shutdown()
