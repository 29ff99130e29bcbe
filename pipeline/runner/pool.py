"""The worker processes of a run."""

import logging
import logging.handlers
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from pipeline.runner.stopping import Stop
from seqline.errors import StoppedError, UserError
from seqline.host import progress
from seqline.storage.atomic import open_regular

MOST_JOBS = 64


class Workers:
    """Processes that outlive a stage, so that TensorFlow is imported once.

    They are processes, not threads, because seeds, graphs and Keras's state belong to a process.
    None is started where nothing has to run.

    Args:
        log_file: The file that gets all of their output.
        jobs: The largest number of processes.
        stop: Says which signal arrived, and sends it on to the processes.
        fresh: Each call gets a process of its own. Workers that train together have to begin with
            an untouched TensorFlow, on GPUs that no other process holds.
        need_main: Calls are of functions of the program that runs, `__main__`. Otherwise the
            processes do not import it again: it may be a notebook, standard input, or a script
            that does its work at once, without `if __name__ == "__main__"`.
        need_tensorflow: Calls need it. One process of several jobs may still not, so that only a
            process that makes all stages imports it at once (`plain_tensorflow.start_template`).
    """

    def __init__(
        self,
        log_file: Path,
        jobs: int,
        stop: Stop,
        fresh: bool,
        need_tensorflow: bool,
        need_main: bool,
    ) -> None:
        # Each of them takes system resources when the pool is made. No pipeline has more stages.
        self.jobs = min(jobs, MOST_JOBS)
        self.fresh = fresh
        self.need_main = need_main
        self.stop = stop
        stop.end_workers = self.end

        _start_tracker()
        self.context = multiprocessing.get_context("spawn")
        self.messages: Any = self.context.Queue()
        handlers = logging.getLogger("seqline").handlers
        self.listener = logging.handlers.QueueListener(
            self.messages, *handlers, respect_handler_level=True
        )

        # Progress goes only to a handler that asks for it by its level, not to one that takes
        # everything, such as a notebook's.
        tells_progress = any(handler.level == progress.LEVEL for handler in handlers)
        has_template = need_tensorflow and self.jobs == 1 and not fresh
        self.arguments = (str(log_file), self.messages, os.getpid(), tells_progress, has_template)

        self.pools: list[ProcessPoolExecutor] = []
        self.processes: dict[int, BaseProcess] = {}
        self.futures: list[Future] = []

    def submit(self, *call: Any) -> Future:
        """Has a process call a function: submit(function, *arguments)."""
        with self.stop.held_back(), _interrupt_blocked():
            if self.fresh or not self.pools:
                self.pools.append(
                    ProcessPoolExecutor(
                        1 if self.fresh else self.jobs,
                        mp_context=self.context,
                        initializer=worker.initialize,
                        initargs=self.arguments,
                    )
                )

            pool = self.pools[-1]
            with nullcontext() if self.need_main else _main_hidden():
                future = pool.submit(*call)
            self.processes |= pool._processes or {}

            if self.fresh:
                future.add_done_callback(lambda _: pool.shutdown(wait=False))
            self.futures.append(future)

        return future

    def result(self, future: Future, stage: str) -> Any:
        """Waits for the result of a stage's process.

        Raises:
            StoppedError: A signal ended it.
            UserError: The process died.
            Exception: What the stage raised.
        """
        try:
            return future.result()
        except StoppedError as error:
            raise StoppedError(error.where, self.stop.by or error.by) from None
        except BrokenProcessPool:
            if self.stop.by or self._ended_by_sigterm():
                raise StoppedError(
                    f"in {stage}, of which nothing half-made was kept,", self.stop.by or "SIGTERM"
                ) from None
            raise UserError(
                f"The process of {stage} died (killed, or out of memory); nothing half-made was "
                "kept. Run the same command again."
            ) from None

    def end(self, number: int) -> bool:
        """Sends a signal to every process. Returns False if none has anything to do."""
        if all(future.done() for future in self.futures):
            return False

        for process in self.processes.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)
        return True

    def kill(self) -> None:
        """Ends the processes that are still at work."""
        # With fresh processes a future can be done while its process is not.
        if self.fresh or not all(future.done() for future in self.futures):
            for process in self.processes.values():
                process.kill()

    def _ended_by_sigterm(self) -> bool:
        """Whether SIGTERM ended a process, and no other signal ended another one.

        SIGTERM alone would not tell: a broken pool ends its other processes with it.
        """
        codes = {process.exitcode for process in self.processes.values()} - {None, 0}
        return codes == {-signal.SIGTERM}


def _start_tracker() -> None:
    """Starts multiprocessing's tracker of semaphores, in which it removes those that leaked.

    It would warn of them on the terminal after the end of a run that was stopped: workers that are
    ended leave theirs to it.
    """
    variable, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ[variable] = f"{before},{quiet}" if before else quiet
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Blocks SIGINT in the processes that start within the block, until they unblock it.

    A terminal sends Ctrl-C to them, too. Before `worker.initialize` it would end them with a
    traceback on the terminal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# One thread at a time hides the main module, or the second one would restore a hidden one.
_hiding = threading.Lock()


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Processes that start within the block do not import the program that runs.

    A spawned process imports `__main__` by the name or the file that the module itself gives.
    """
    with _hiding:
        main = vars(sys.modules["__main__"])
        hidden: dict[str, Any] = {
            name: main.pop(name) for name in ("__file__", "__spec__") if name in main
        }
        main["__spec__"] = None
        try:
            yield
        finally:
            del main["__spec__"]
            main.update(hidden)


@contextmanager
def workers(
    log_file: Path,
    jobs: int,
    stop: Stop,
    fresh: bool = False,
    need_tensorflow: bool = False,
    need_main: bool = False,
) -> Iterator[Workers]:
    """Worker processes until the end of the block, see `Workers`.

    An error in the block ends those that are still at work: their results would not be used.

    Raises:
        UserError: The log is something else than a file.
        OSError: It cannot be written.
    """
    # Here, where what is wrong with it can still be said.
    os.close(open_regular(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    pool = Workers(log_file, jobs, stop, fresh, need_tensorflow, need_main)
    pool.listener.start()
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    finally:
        for executor in pool.pools:
            executor.shutdown(wait=True, cancel_futures=True)
        pool.listener.stop()
