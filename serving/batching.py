"""Joins requests into batches.

At most `num_threads` batches run at once. A request that finds its queue idle runs immediately: a
single connection never waits. While a batch of its queue runs, other requests gather. They run when
that batch ends, when they have `max_batch_size` rows, or when the first of them has waited for
`timeout` and a thread is free. Rows are joined only where the answer is the same as alone.

Long work never holds up short work. A request of many rows or bytes is split, its parts are not
joined with short requests, and they run on all threads but one. Its parts enter a few at a time, so
that long requests take turns.

    threads    1  [long A, part 1][long B, part 1][long A, part 2][long B, part 2] ...
               2  [short][short]      [short, short]  [short]
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.batch import BATCH_BYTES, RowError, bytes_of_rows, execute, join, key_of, parts_of
from serving.errors import RefusedError
from serving.model import LoadedModel, Signature
from serving.strings import as_array
from serving.tensors import Tensors

# A request of more bytes is long: TensorFlow may need 10 ms for it, where others need one.
SHORT_BYTES = 16 << 10


@dataclass(frozen=True)
class Limits:
    """How requests are joined.

    Attributes:
        enabled: False to run each request alone.
        max_batch_size: Rows of a batch, at most.
        timeout: Seconds that a request waits for others, at most.
        num_threads: Batches that run at once.
        max_queued: Requests that wait for a thread, at most. Half as many may be long.
        max_output_bytes: Bytes of the outputs for one request.
    """

    enabled: bool = True
    max_batch_size: int = 64
    timeout: float = 0.001
    num_threads: int = 2
    max_queued: int = 1000
    max_output_bytes: int = 32 << 20

    @property
    def num_long_threads(self) -> int:
        return max(1, self.num_threads - 1)


@dataclass(eq=False)
class PendingRequest:
    """A request that waits for a thread.

    Attributes:
        inputs: Its tensors.
        rows: How many rows they have.
        longest: Bytes of the longest row.
        answer: Gets the outputs, or an exception.
        arrived: When it came, as time.monotonic() has it.
    """

    inputs: dict[str, Any]
    rows: int
    longest: int
    answer: asyncio.Future
    arrived: float


@dataclass(eq=False)
class Queue:
    """Requests that may be joined.

    Attributes:
        model: The model that they ask.
        signature: The signature that they ask.
        is_long: Whether they are long.
        waiting: The requests that wait, in order.
        rows: The rows of those that wait.
        running: The batches that run.
    """

    model: LoadedModel
    signature: Signature
    is_long: bool
    waiting: deque[PendingRequest] = field(default_factory=deque)
    rows: int = 0
    running: int = 0


class Batcher:
    """The queues of all models. It belongs to one event loop.

    Args:
        limits: How requests are joined.
        on_batch: Called in the loop for each batch, with its rows and seconds.
    """

    def __init__(
        self, limits: Limits, on_batch: Callable[[int, float], None] = lambda rows, seconds: None
    ) -> None:
        self.limits = limits
        self.on_batch = on_batch
        self.threads = ThreadPoolExecutor(limits.num_threads, "model")
        self.free = limits.num_threads
        self.queues: dict[Hashable, Queue] = {}
        self.num_waiting = 0
        self.num_long = 0  # Long batches that run.
        self.timer: asyncio.TimerHandle | None = None

    async def run(
        self, model: LoadedModel, signature: Signature, inputs: dict[str, Any]
    ) -> Tensors:
        """The outputs for one request.

        Args:
            model: The model.
            signature: One of its signatures.
            inputs: Input -> array or Strings.

        Raises:
            RefusedError: Too many requests wait (503), or the answer is too long (413).
            Exception: What the model raises for this request.
        """
        sizes = {len(value) if value.shape else None for value in inputs.values()}
        rows = sizes.pop() if len(sizes) == 1 else None
        each = bytes_of_rows(inputs, rows)

        # In column format the inputs need not have one batch size.
        if not signature.batchable or rows is None or not self.limits.enabled:
            is_long = int(each.sum()) > SHORT_BYTES or (rows or 1) > self.limits.max_batch_size
            self._refuse_if_full(is_long)
            return await self._submit(object(), model, signature, inputs, 1, 0, is_long)

        parts = parts_of(each, self.limits.max_batch_size)
        is_long = len(parts) > 1 or int(each.sum()) > SHORT_BYTES
        self._refuse_if_full(is_long)
        if len(parts) <= 1:
            return await self._submit_part(model, signature, inputs, each, slice(0, rows), is_long)
        return await self._run_parts(model, signature, inputs, each, parts)

    async def _run_parts(
        self,
        model: LoadedModel,
        signature: Signature,
        inputs: dict[str, Any],
        each: np.ndarray,
        parts: list[slice],
    ) -> Tensors:
        """The outputs for a long request, of which as many parts wait as threads may run."""
        remaining = iter(enumerate(parts))
        answers: list[Tensors] = [{}] * len(parts)
        held = 0

        async def take_turns() -> None:
            nonlocal held
            for number, part in remaining:
                taken = {name: value[part] for name, value in inputs.items()}
                answer = await self._submit_part(
                    model, signature, taken, each[part], part, is_long=True
                )

                held += sum(value.nbytes for value in answer.values())
                if held > self.limits.max_output_bytes:
                    raise RefusedError(
                        f"The answer has more than {self.limits.max_output_bytes} bytes. Send the"
                        " rows in several requests.",
                        status=413,
                    )
                answers[number] = answer

        turns = [
            asyncio.ensure_future(take_turns())
            for _ in range(min(len(parts), self.limits.num_long_threads))
        ]
        try:
            await asyncio.gather(*turns)
        finally:
            for turn in turns:
                turn.cancel()
            # A part that runs is waited for, since its model may be unloaded after it.
            await asyncio.gather(*turns, return_exceptions=True)
        return {name: join([answer[name] for answer in answers]) for name in signature.outputs}

    async def _submit_part(
        self,
        model: LoadedModel,
        signature: Signature,
        inputs: dict[str, Any],
        each: np.ndarray,
        part: slice,
        is_long: bool,
    ) -> Tensors:
        key = (*key_of(model, signature, inputs), is_long)
        longest = int(each.max()) if each.size else 0
        rows = len(each)
        try:
            return await self._submit(key, model, signature, inputs, rows, longest, is_long)
        except RowError as error:
            raise RowError(part.start + error.row, error.message) from None

    def _refuse_if_full(self, is_long: bool) -> None:
        if self.num_waiting >= self.limits.max_queued // (2 if is_long else 1):
            raise RefusedError(
                "Too many requests wait already. Try again.", status=503, retry_after=1
            )

    async def _submit(
        self,
        key: Hashable,
        model: LoadedModel,
        signature: Signature,
        inputs: dict[str, Any],
        rows: int,
        longest: int,
        is_long: bool,
    ) -> Tensors:
        answer = asyncio.get_running_loop().create_future()
        queue = self.queues.setdefault(key, Queue(model, signature, is_long))
        request = PendingRequest(inputs, rows, longest, answer, time.monotonic())
        queue.waiting.append(request)
        queue.rows += rows
        self.num_waiting += 1
        self._start()

        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            await self._give_up(key, queue, request)
            raise

    async def _give_up(self, key: Hashable, queue: Queue, request: PendingRequest) -> None:
        """Ends the wait of a request whose client went away: one that has not begun does not run.

        One that runs is waited for, since its model may be unloaded after it.
        """
        if request in queue.waiting:
            queue.waiting.remove(request)
            queue.rows -= request.rows
            self.num_waiting -= 1
            request.answer.cancel()
            if not queue.running and not queue.waiting:
                del self.queues[key]
            return

        while not request.answer.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([request.answer])
        if not request.answer.cancelled():
            request.answer.exception()  # Nobody else asks for it.

    def _start(self) -> None:
        """Starts the batches that are due on free threads, the longest waiting first."""
        if self.timer:
            self.timer.cancel()
            self.timer = None

        while self.free:
            may_be_long = self.num_long < self.limits.num_long_threads
            waiting = [
                key
                for key, queue in self.queues.items()
                if queue.waiting and (may_be_long or not queue.is_long)
            ]
            if not waiting:
                return

            key = min(waiting, key=lambda key: self._due(self.queues[key]))
            delay = self._due(self.queues[key]) - time.monotonic()
            if delay > 0:
                self.timer = asyncio.get_running_loop().call_later(delay, self._start)
                return
            self._dispatch(key, self.queues[key])

    def _due(self, queue: Queue) -> float:
        """The time at which its next batch may start."""
        arrived = queue.waiting[0].arrived
        if not queue.running or queue.rows >= self.limits.max_batch_size:
            return arrived
        return arrived + self.limits.timeout

    def _dispatch(self, key: Hashable, queue: Queue) -> None:
        """Takes the next batch out of a queue and runs it on a free thread."""
        batch = [queue.waiting.popleft()]
        rows, longest = batch[0].rows, batch[0].longest
        while queue.waiting:
            joined = rows + queue.waiting[0].rows
            longer = max(longest, queue.waiting[0].longest)
            if joined > self.limits.max_batch_size or joined * longer > BATCH_BYTES:
                break
            rows, longest = joined, longer
            batch.append(queue.waiting.popleft())

        queue.rows -= rows
        self.num_waiting -= len(batch)
        self.free -= 1
        self.num_long += queue.is_long
        queue.running += 1
        loop = asyncio.get_running_loop()
        started = time.monotonic()

        def work() -> None:
            inputs = [
                {name: as_array(value) for name, value in request.inputs.items()}
                for request in batch
            ]
            answers = execute(queue.model, queue.signature, inputs)
            loop.call_soon_threadsafe(done, answers)

        def done(answers: list[Any]) -> None:
            self.free += 1
            self.num_long -= queue.is_long
            queue.running -= 1
            if not queue.running and not queue.waiting:
                del self.queues[key]

            for request, answer in zip(batch, answers, strict=True):
                if request.answer.done():  # Its client went away.
                    continue
                if isinstance(answer, BaseException):
                    request.answer.set_exception(answer)
                else:
                    request.answer.set_result(answer)

            self.on_batch(rows, time.monotonic() - started)
            self._start()

        self.threads.submit(work)
