import os
import signal

from components.trainer.interruption import StopSignal


def test_a_signal_is_noted_and_a_second_one_is_obeyed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop_signal:
        assert stop_signal.name == ""
        os.kill(os.getpid(), signal.SIGTERM)
        # Once more: the service manager sends it, and so does the process that started this one.
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_signal.name == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before
