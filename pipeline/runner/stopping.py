"""Stops a command on SIGTERM and Ctrl-C.

The stages of a run end soon and keep nothing half-made. A command ends with one line and with an
exit code of its own: with the first signal in an orderly way, with a second one at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from seqline.errors import StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a signal has asked the command to stop.

    Attributes:
        by: The name of that signal, empty as long as none has arrived.
        where: How far the command is when no worker is at work, for the line.
        end_workers: Sends a signal to the worker processes. Returns False if none is at work.

    Args:
        owns_process: Whether a second signal may end this process, as it does a command. It must
            not end a notebook's.
    """

    def __init__(self, owns_process: bool = True) -> None:
        self.owns_process = owns_process
        self.by = ""
        self.where = ""
        self.end_workers: Callable[[int], bool] = lambda number: False
        self._num_held = 0
        self._is_held_back = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal.

        The first one is sent on to the workers as SIGTERM: the trainer writes a checkpoint, other
        stages end at once. If no worker is at work, it ends the work of this process. A second one
        ends everything at once.

        Raises:
            StoppedError: No worker was at work, or it is the second one and the process goes on.
        """
        name = signal.Signals(number).name
        if self.by:
            self.end_workers(signal.SIGKILL)
            if not self.owns_process:
                raise StoppedError("", name)
            exit_at_once(
                f"stopped at once by a second {name}; the same command goes on from the last"
                " checkpoint"
            )

        self.by = name
        if self._num_held:
            self._is_held_back = True
        else:
            self._end_work()

    def _end_work(self) -> None:
        if not self.end_workers(signal.SIGTERM):
            raise StoppedError(self.where, self.by)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Lets a first signal wait for the end of the block, which is short.

        It is for what must not be left half: a commit, the start of a process.
        """
        self._num_held += 1
        try:
            yield
        finally:
            self._num_held -= 1
            if self._is_held_back and not self._num_held:
                self._is_held_back = False
                self._end_work()


# That of the outermost `stopping` block.
_active: Stop | None = None
# Where standard error was when that block began. While TensorFlow is imported, descriptor 2 is a
# file that nobody reads.
_errors = 2


@contextmanager
def stopping(where: str = "", owns_process: bool = True) -> Iterator[Stop]:
    """Handles SIGTERM and SIGINT within the block.

    A block within another one handles them together with it: the second signal is the second one
    wherever the first one came. Python allows handlers in the main thread only. In another thread
    nothing changes.

    Args:
        where: How far the command is while no worker is at work: "between two stages".
        owns_process: See `Stop`. A block within another one leaves this to the outer one.
    """
    global _active, _errors
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return

    if _active is not None:
        stop, where_before, end_before = _active, _active.where, _active.end_workers
        stop.where = where
        try:
            yield stop
        finally:
            stop.where, stop.end_workers = where_before, end_before
        return

    stop = _active = Stop(owns_process)
    stop.where = where
    # A signal that is ignored stays ignored: `nohup`, and a shell's background jobs.
    before = {
        number: signal.signal(number, stop.handle)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    _errors = _duplicate(2)
    hook_before = sys.unraisablehook
    if owns_process:
        sys.unraisablehook = _hook(hook_before)

    try:
        yield stop
    finally:
        _active = None
        sys.unraisablehook = hook_before
        for number, handler in before.items():
            signal.signal(number, handler)
        if _errors != 2:
            os.close(_errors)
            _errors = 2


def _duplicate(descriptor: int) -> int:
    """Another descriptor of the same file, or the same one where there is none to be had."""
    try:
        return os.dup(descriptor)
    except OSError:  # standard error is closed, or too many files are open
        return descriptor


def _hook(others: Callable[["sys.UnraisableHookArgs"], object]) -> Callable[..., None]:
    """Obeys a stop that Python could not raise, because it came within a destructor, say."""

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, StoppedError):
            exit_at_once(str(unraisable.exc_value))
        others(unraisable)

    return hook


def exit_at_once(line: str) -> NoReturn:
    """Ends this process with a line on standard error, and runs nothing else.

    Not `print`, which a signal handler must not call: it may have interrupted another `print`.
    """
    try:
        os.write(_errors, f"{line}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(StoppedError.exit_code)
