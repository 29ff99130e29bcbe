"""Joins requests into batches.

At most `num_threads` batches run at once. A request that finds its queue idle runs immediately: a
single connection never waits. While a batch of its queue runs, other requests gather. They run when
that batch ends, when they have `max_batch_size` rows, or when the first of them has waited for
`timeout` and a thread is free. Rows are joined only where the answer is the same as alone.
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

from serving.errors import RefusedError
from serving.model import LoadedModel, Signature
from serving.tensors import Tensors


@dataclass(frozen=True)
class Limits:
    """How requests are joined.

    Attributes:
        enabled: False to run each request alone.
        max_batch_size: Rows of a batch, at most.
        timeout: Seconds that a request waits for others, at most.
        num_threads: Batches that run at once.
        max_queued: Requests that wait for a thread, at most.
    """

    enabled: bool = True
    max_batch_size: int = 64
    timeout: float = 0.001
    num_threads: int = 2
    max_queued: int = 1000


@dataclass(eq=False)
class PendingRequest:
    """A request that waits for a thread.

    Attributes:
        inputs: Its tensors.
        rows: How many rows they have.
        answer: Gets the outputs, or an exception.
        arrived: When it came, as time.monotonic() has it.
    """

    inputs: Tensors
    rows: int
    answer: asyncio.Future
    arrived: float


@dataclass(eq=False)
class Queue:
    """Requests that may be joined.

    Attributes:
        model: The model that they ask.
        signature: The signature that they ask.
        waiting: The requests that wait, in order.
        rows: The rows of those that wait.
        running: The batches that run.
    """

    model: LoadedModel
    signature: Signature
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
        self.timer: asyncio.TimerHandle | None = None

    async def run(self, model: LoadedModel, signature: Signature, inputs: Tensors) -> Tensors:
        """The outputs for one request.

        Raises:
            RefusedError: Too many requests wait (503).
            Exception: What the model raises for this request.
        """
        if self.num_waiting >= self.limits.max_queued:
            raise RefusedError(
                "Too many requests wait already. Try again.", status=503, retry_after=1
            )

        sizes = {value.shape[0] for value in inputs.values()} if signature.batchable else set()
        # In column format the inputs need not have one batch size.
        if len(sizes) != 1 or not self.limits.enabled:
            return await self._submit(object(), model, signature, inputs, 1)

        rows, most = sizes.pop(), self.limits.max_batch_size
        if rows <= most:
            key = _key(model, signature, inputs)
            return await self._submit(key, model, signature, inputs, rows)

        calls = []
        for start in range(0, rows, most):
            part = {name: value[start : start + most] for name, value in inputs.items()}
            key = _key(model, signature, part)
            calls.append(self._submit(key, model, signature, part, min(most, rows - start)))

        answers = await asyncio.gather(*calls)
        return {name: _join([answer[name] for answer in answers]) for name in signature.outputs}

    async def _submit(
        self, key: Hashable, model: LoadedModel, signature: Signature, inputs: Tensors, rows: int
    ) -> Tensors:
        answer = asyncio.get_running_loop().create_future()
        queue = self.queues.setdefault(key, Queue(model, signature))
        request = PendingRequest(inputs, rows, answer, time.monotonic())
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
            waiting = [key for key, queue in self.queues.items() if queue.waiting]
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
        rows = batch[0].rows
        while queue.waiting and rows + queue.waiting[0].rows <= self.limits.max_batch_size:
            rows += queue.waiting[0].rows
            batch.append(queue.waiting.popleft())

        queue.rows -= rows
        self.num_waiting -= len(batch)
        self.free -= 1
        queue.running += 1
        loop = asyncio.get_running_loop()
        started = time.monotonic()

        def work() -> None:
            inputs = [request.inputs for request in batch]
            answers = _execute(queue.model, queue.signature, inputs)
            loop.call_soon_threadsafe(done, answers)

        def done(answers: list[Any]) -> None:
            self.free += 1
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


def _key(model: LoadedModel, signature: Signature, inputs: Tensors) -> Hashable:
    """The queue of a request. Requests in one queue may be joined.

    Their rows have one shape or, where the signature says how to pad, up to twice the time steps.
    """
    shapes = []
    for name, value in inputs.items():
        shape = value.shape[1:]
        if name in signature.padding:
            shape = (shape[0].bit_length(), *shape[1:])
        shapes.append((name, shape))
    return (model, signature.name, *shapes)


def _execute(model: LoadedModel, signature: Signature, requests: list[Tensors]) -> list[Any]:
    """The answer to each request, or the exception that it raised.

    A batch that fails is halved, so that a bad request fails alone.
    """
    try:
        if len(requests) == 1:
            return [model.run(signature.name, requests[0])]

        joined = {
            name: _join([request[name] for request in requests], signature.padding.get(name))
            for name in signature.inputs
        }
        outputs = model.run(signature.name, joined)

        sizes = [next(iter(request.values())).shape[0] for request in requests]
        if any(value.shape[:1] != (sum(sizes),) for value in outputs.values()):
            raise ValueError(f"signature {signature.name} does not answer row by row")

        ends = np.cumsum(sizes)
        return [
            {name: value[end - size : end] for name, value in outputs.items()}
            for size, end in zip(sizes, ends.tolist(), strict=True)
        ]
    except Exception as error:
        if len(requests) == 1:
            return [error]
        middle = len(requests) // 2
        return [
            *_execute(model, signature, requests[:middle]),
            *_execute(model, signature, requests[middle:]),
        ]


def _join(values: list[np.ndarray], pad: Any = None) -> np.ndarray:
    """Joins values, each [rows, time, ...], into one; shorter ones are padded if `pad` is given."""
    if pad is None or len({value.shape[1] for value in values}) == 1:
        return np.concatenate(values)

    num_rows = sum(len(value) for value in values)
    time_steps = max(value.shape[1] for value in values)
    padded = np.full((num_rows, time_steps, *values[0].shape[2:]), pad, values[0].dtype)

    start = 0
    for value in values:
        padded[start : start + len(value), : value.shape[1]] = value
        start += len(value)
    return padded  # [num_rows, time_steps, ...]
