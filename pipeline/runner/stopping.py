"""Stops a run on SIGTERM and Ctrl-C.

Its stages end soon and keep nothing half-made, and the command ends with an exit code of its own.
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
    """Whether a signal has asked the run to stop.

    Attributes:
        by: The name of that signal, empty as long as none has arrived.
        end_workers: Sends a signal to the worker processes. Returns False if none is at work.
    """

    def __init__(self) -> None:
        self.by = ""
        self.end_workers: Callable[[int], bool] = lambda number: False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal.

        The first one is sent on to the workers as SIGTERM: the trainer writes a checkpoint, other
        stages end at once. If no worker is at work, it ends the work of this process. A second one
        ends everything at once.

        Raises:
            StoppedError: No worker was at work.
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
    """Handles SIGTERM and SIGINT within the block.

    Python allows that in the main thread only. In another thread nothing changes.
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
