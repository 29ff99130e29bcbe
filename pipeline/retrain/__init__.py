"""`seqline retrain`.

Whether there is anything new, one at a time, gates in order, a verdict with an exit code.

  thresholds.py  every gate has a threshold, or is waived by name; the gates of a run in their order
  decide.py      what is new since the last verdict, in a second and without TensorFlow
  state.py       what is remembered under <root>/retrain/: the last verdict, what each push was
                 trained on, spans that are left out
  lock.py        one retraining at a time; who has the lock, and since when
  start.py       warm or cold
  course.py      the run itself, its record and its verdict
  command.py     the command

docs/retraining.md tells what it does for people.
"""

from pydantic import Field

from seqline.component import Params

# What a retraining ends with, and its exit code.
PUSHED, NOTHING_NEW, REJECTED, REFUSED, BUSY, INTERRUPTED, FAILED = (
    "pushed",
    "nothing new",
    "data rejected",
    "refused",
    "busy",
    "interrupted",
    "failed",
)
EXIT_CODES = {
    PUSHED: 0,
    NOTHING_NEW: 10,
    REJECTED: 20,
    REFUSED: 30,
    BUSY: 40,
    INTERRUPTED: 50,
    FAILED: 1,
}


class RetrainParams(Params):
    without: tuple[str, ...] = Field(
        (), strict=False, description="gates that have no threshold on purpose, by name"
    )
    accept: tuple[int, ...] = Field(
        (),
        strict=False,
        description=(
            "spans that somebody looked at and lets in: the served model is not asked about them"
        ),
    )
    cold_every: int = Field(
        1,
        ge=1,
        description=(
            "1: every training starts from random weights; N: from the served model, and every N-th"
            " time from both, and the better is taken"
        ),
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="a lock whose owner did not renew it for so long is taken over"
    )
