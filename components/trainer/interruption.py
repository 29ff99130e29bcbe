"""SIGTERM and SIGINT while training: noted, and obeyed after the steps that are under way."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A second signal ends the process at once. One that follows within this time is the same one: a
# service manager sends it to every process, and so does the process that started this one.
SAME_SECONDS = 1.0


class Notice:
    """signal: the name of the one that asked to stop, such as "SIGTERM"; "" as long as none did."""

    def __init__(self) -> None:
        self.signal = ""
        self._at = 0.0

    def listen(self) -> None:
        """Handles the signals.

        Again after TensorFlow put a handler of its own in this one's place. Ignored ones stay
        ignored.
        """
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal and time.monotonic() - self._at > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self.signal:
            self.signal, self._at = signal.Signals(number).name, time.monotonic()


@contextmanager
def noted() -> Iterator[Notice]:
    """Within, the signals are only noted.

    In a thread other than the main one they are not seen at all.
    """
    notice = Notice()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    notice.listen()
    try:
        yield notice
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
