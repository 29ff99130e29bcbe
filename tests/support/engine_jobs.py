"""Small Beam jobs for engines: `python -m tests.support.engine_jobs BEHAVIOUR FOLDER FLAGS...`.

A process of its own, as the one of a stage: SIGTERM would end it at once.
"""

import os
import signal
import sys
import time
from pathlib import Path

import apache_beam as beam

from seqline.errors import DataError, UnfinishedError, UserError
from seqline.jobs.beam import job

NUM_ELEMENTS = 3
TICK_SECONDS = 0.05


def act(number: int, behaviour: str, folder: str) -> int:
    """Writes a file, and behaves as told."""
    place = Path(folder)
    place.joinpath(f"{number}.txt").write_text(str(number * number))
    if behaviour == "data error":
        raise DataError(f"row {number} is bad")
    if behaviour == "user error":
        raise UserError(f"setting {number} is wrong")
    if behaviour == "bug":
        raise KeyError(f"no {number}")
    if behaviour == "die once" and not (place / "died").exists():
        (place / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "go on":
        tick = place / f"tick-{number}"
        while True:
            tick.write_text(str(time.monotonic()))
            time.sleep(TICK_SECONDS)
    return number


def main(behaviour: str, folder: str, flags: list[str]) -> int:
    try:
        with job(flags) as pipeline:
            _ = (
                pipeline
                | beam.Create(range(NUM_ELEMENTS))
                | beam.Reshuffle()
                | "Act" >> beam.Map(act, behaviour, folder)
            )
    except (UserError, UnfinishedError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    print("done")
    return 0


if __name__ == "__main__":
    # As a module that the workers import, too.
    from tests.support import engine_jobs

    sys.exit(engine_jobs.main(sys.argv[1], sys.argv[2], sys.argv[3:]))
