"""The worker processes of a run."""

import logging
import logging.handlers
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from seqline.host import progress


class Workers:
    """Processes that outlive a stage, so that TensorFlow is imported once.

    What they print goes into `log_file`.

    Processes, not threads: seeds, graphs and Keras's state belong to a process. None is started
    where nothing has to run.

    fresh: each call in a process of its own: workers that train together have to begin with an
    untouched TensorFlow, on GPUs that no other process holds.
    """

    def __init__(self, log_file: Path, jobs: int, fresh: bool) -> None:
        self.jobs = jobs
        self.fresh = fresh
        self.context = multiprocessing.get_context("spawn")
        self.messages: Any = self.context.Queue()
        handlers = logging.getLogger("seqline").handlers
        self.listener = logging.handlers.QueueListener(
            self.messages, *handlers, respect_handler_level=True
        )
        # Not to handlers that take everything, such as a notebook's: only to one that asks for it
        # by its level.
        tells_progress = any(handler.level == progress.LEVEL for handler in handlers)
        self.arguments = (str(log_file), self.messages, os.getpid(), tells_progress)
        self.pools: list[ProcessPoolExecutor] = []
        self.processes: dict[int, BaseProcess] = {}
        self.futures: list[Future] = []

    def submit(self, *call: Any) -> Future:
        if self.fresh or not self.pools:
            jobs = 1 if self.fresh else self.jobs
            self.pools.append(
                ProcessPoolExecutor(
                    jobs,
                    mp_context=self.context,
                    initializer=worker.initialize,
                    initargs=self.arguments,
                )
            )
        pool = self.pools[-1]
        future = pool.submit(*call)
        self.processes |= pool._processes or {}
        if self.fresh:
            future.add_done_callback(lambda _: pool.shutdown(wait=False))
        self.futures.append(future)
        return future

    def end(self, number: int) -> bool:
        """Sends a signal to every process; False where none has anything to do."""
        if all(future.done() for future in self.futures):
            return False
        for process in self.processes.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)
        return True

    def ended_by_sigterm(self) -> bool:
        """Whether SIGTERM ended a process, and nothing worse another one (a broken pool ends the
        rest by SIGTERM, too).
        """
        codes = {process.exitcode for process in self.processes.values()} - {None, 0}
        return codes == {-signal.SIGTERM}


@contextmanager
def workers(log_file: Path, jobs: int, fresh: bool = False) -> Iterator[Workers]:
    """Worker processes until the end of the block.

    An error in it ends those that are still at work.
    """
    made = Workers(log_file, jobs, fresh)
    made.listener.start()
    try:
        yield made
    except BaseException:
        if fresh or not all(
            future.done() for future in made.futures
        ):  # what still runs would only waste time
            for process in made.processes.values():
                process.kill()
        raise
    finally:
        for pool in made.pools:
            pool.shutdown(wait=True, cancel_futures=True)
        made.listener.stop()
