"""The console script.

Imports are inside `main`, so that `seqline doctor` runs in a broken installation.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

# seqline.errors.StoppedError's, which is not imported yet.
EXIT_CODE = 50
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Runs `seqline`; if its libraries cannot be imported, points to `seqline doctor`.

    From here to its end a signal gives one line and exit code 50.
    """
    # The last of all that is done at exit. After it Python gives both back to the system, which
    # would end the process with 130 or 143 and no word.
    for number in SIGNALS:
        atexit.register(signal.signal, number, signal.SIG_IGN)
    _handle(_end_before_work)
    if sys.argv[1:2] == ["doctor"]:
        from pipeline.doctor import __main__ as doctor

        sys.exit(doctor.main(sys.argv[2:]))

    try:
        from pipeline.cli import app
    except Exception:
        print(
            "seqline's libraries cannot be imported. `seqline doctor` (or python -m"
            " pipeline.doctor) says what is wrong.",
            file=sys.stderr,
        )
        raise

    try:
        app.main()
    except SystemExit as ended:
        # The work is done: what is left of this process may end at once.
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        _handle(lambda number, frame: os._exit(code))
        raise


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` leaves it
            signal.signal(number, handler)


def _end_before_work(number: int, frame: FrameType | None) -> None:
    """Ends the process while nothing has been begun: it imports, or only looks (`doctor`)."""
    name = signal.Signals(number).name
    os.write(
        2, f"stopped by {name} before anything was done; run the same command again\n".encode()
    )
    os._exit(EXIT_CODE)


if __name__ == "__main__":
    main()
