"""SIGTERM and Ctrl-C to a run.

Its stages end soon, keep nothing half-made, and the command ends with a code of its own.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from seqline.errors import StoppedError


class Stop:
    """by: the name of the signal that asked to stop, "" as long as none did."""

    def __init__(self) -> None:
        self.by = ""
        self.end_workers: Callable[[int], bool] = lambda number: False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The first signal goes on to the workers, as SIGTERM.

        The trainer writes a checkpoint, other stages end at once.

        Where nothing runs in a worker, it ends this process's own work. A second one ends
        everything at once.
        """
        name = signal.Signals(number).name
        if self.by:
            self.end_workers(signal.SIGKILL)
            print(
                f"stopped at once by a second {name}; the same command goes on from the last"
                " checkpoint",
                file=sys.stderr,
                flush=True,
            )
            os._exit(StoppedError.exit_code)
        self.by = name
        if not self.end_workers(signal.SIGTERM):
            raise StoppedError("between two stages", name)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Handles the signals within the block.

    In a thread other than the main one they stay as they are.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, stop.handle) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
