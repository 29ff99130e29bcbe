"""Requests that wait for each other.

At most `num_threads` batches run at once. A request that finds its queue idle runs at once: one
connection never waits. While a batch of its queue runs, others gather; they go when that batch
ends, when max_batch_size rows are there, or when the first of them has waited for `timeout` and a
thread is free. Rows are joined only where the answer is the same as alone.
"""

import asyncio
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
    """max_batch_size.

    Rows. timeout: seconds. max_queued: requests that wait for a thread. enabled=False: each request
    alone.
    """

    enabled: bool = True
    max_batch_size: int = 64
    timeout: float = 0.001
    num_threads: int = 2
    max_queued: int = 1000


@dataclass(eq=False)
class Task:
    inputs: Tensors
    rows: int
    answer: asyncio.Future
    arrived: float


@dataclass(eq=False)
class Queue:
    model: LoadedModel
    signature: Signature
    waiting: deque[Task] = field(default_factory=deque)
    rows: int = 0
    running: int = 0


class Batcher:
    """Belongs to one event loop. on_batch(rows, seconds) is called for each batch, in the loop."""

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

        Raises what the model raises for it, or RefusedError (503) if too many requests wait.
        """
        if self.num_waiting >= self.limits.max_queued:
            raise RefusedError(
                "Too many requests wait already. Try again.", status=503, retry_after=1
            )
        sizes = {value.shape[0] for value in inputs.values()} if signature.batchable else set()
        if (
            len(sizes) != 1 or not self.limits.enabled
        ):  # column format: inputs need not have one batch size
            return await self._submit(object(), model, signature, inputs, 1)
        rows, most = sizes.pop(), self.limits.max_batch_size
        if rows <= most:
            return await self._submit(
                _key(model, signature, inputs), model, signature, inputs, rows
            )
        parts = [
            {name: value[start : start + most] for name, value in inputs.items()}
            for start in range(0, rows, most)
        ]
        answers = await asyncio.gather(
            *(
                self._submit(
                    _key(model, signature, part), model, signature, part, min(most, rows - most * i)
                )
                for i, part in enumerate(parts)
            )
        )
        return {name: _join([answer[name] for answer in answers]) for name in signature.outputs}

    async def _submit(
        self, key: Hashable, model: LoadedModel, signature: Signature, inputs: Tensors, rows: int
    ) -> Tensors:
        task = Task(inputs, rows, asyncio.get_running_loop().create_future(), time.monotonic())
        queue = self.queues.setdefault(key, Queue(model, signature))
        queue.waiting.append(task)
        queue.rows += rows
        self.num_waiting += 1
        self._start()
        return await task.answer

    def _start(self) -> None:
        """Gives free threads what is due, the longest waiting first."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        while self.free:
            due = min(
                ((self._due(queue), key) for key, queue in self.queues.items() if queue.waiting),
                default=None,
                key=lambda pair: pair[0],
            )
            if due is None:
                return
            if due[0] > time.monotonic():
                self.timer = asyncio.get_running_loop().call_later(
                    due[0] - time.monotonic(), self._start
                )
                return
            self._dispatch(due[1], self.queues[due[1]])

    def _due(self, queue: Queue) -> float:
        """When its next batch may start."""
        arrived = queue.waiting[0].arrived
        if not queue.running or queue.rows >= self.limits.max_batch_size:
            return arrived
        return arrived + self.limits.timeout

    def _dispatch(self, key: Hashable, queue: Queue) -> None:
        tasks = [queue.waiting.popleft()]
        rows = tasks[0].rows
        while queue.waiting and rows + queue.waiting[0].rows <= self.limits.max_batch_size:
            rows += queue.waiting[0].rows
            tasks.append(queue.waiting.popleft())
        queue.rows -= rows
        self.num_waiting -= len(tasks)
        self.free -= 1
        queue.running += 1
        loop, started = asyncio.get_running_loop(), time.monotonic()

        def work() -> None:
            answers = _execute(queue.model, queue.signature, [task.inputs for task in tasks])
            loop.call_soon_threadsafe(done, answers)

        def done(answers: list[Any]) -> None:
            self.free += 1
            queue.running -= 1
            if not queue.running and not queue.waiting:
                del self.queues[key]
            for task, answer in zip(tasks, answers, strict=True):
                if task.answer.done():  # its client went away
                    continue
                if isinstance(answer, BaseException):
                    task.answer.set_exception(answer)
                else:
                    task.answer.set_result(answer)
            self.on_batch(rows, time.monotonic() - started)
            self._start()

        self.threads.submit(work)


def _key(model: LoadedModel, signature: Signature, inputs: Tensors) -> Hashable:
    """Requests of one key may be joined.

    Rows of one shape, or, where the signature says how to pad, of up to twice the time.
    """
    shapes = []
    for name, value in inputs.items():
        shape = value.shape[1:]
        if name in signature.padding:
            shape = (shape[0].bit_length(), *shape[1:])
        shapes.append((name, shape))
    return (model, signature.name, *shapes)


def _execute(model: LoadedModel, signature: Signature, requests: list[Tensors]) -> list[Any]:
    """An answer, or the exception, for each request.

    A batch that fails is halved, so that one bad request fails alone.
    """
    try:
        if len(requests) == 1:
            return [model.run(signature.name, requests[0])]
        joined = {
            name: _join(
                [request[name] for request in requests],
                *((signature.padding[name],) if name in signature.padding else ()),
            )
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
    if pad is not None and len({value.shape[1] for value in values}) > 1:
        time_steps = max(value.shape[1] for value in values)
        padded = np.full(
            (sum(map(len, values)), time_steps, *values[0].shape[2:]), pad, values[0].dtype
        )
        start = 0
        for value in values:
            padded[start : start + len(value), : value.shape[1]] = value
            start += len(value)
        return padded
    return np.concatenate(values)
