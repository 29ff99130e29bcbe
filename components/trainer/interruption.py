"""SIGTERM and SIGINT while training: noted at once, obeyed after the steps under way."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A second signal ends the process at once. One that follows within this time is the same one: a
# service manager sends it to every process, and so does the process that started this one.
SAME_SECONDS = 1.0


class StopSignal:
    """Notes the signals within a `with` block, instead of ending the process.

    In a thread other than the main one, signals are not seen at all: Python allows no handlers.

    Attributes:
        name: the signal that asked to stop, such as "SIGTERM"; "" as long as none did.
    """

    def __init__(self) -> None:
        self.name = ""
        self._noted_at = 0.0
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        self._handlers_before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers_before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Installs the handlers; call it again after TensorFlow replaced them by its own.

        A signal that is ignored stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.name:
            self.name, self._noted_at = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() - self._noted_at > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
