"""Where training stands, on disk or under gs://.

A run that was killed goes on from its last checkpoint as if nothing had happened.

<work>/checkpoint-<step>.npz   every variable, in order, and `progress`, a JSON object; it appears
                               whole or not at all
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from seqline.errors import UserError
from seqline.storage.staging import reading, writing

# Checkpoints that are kept: the newest, and one before it.
NUM_KEPT = 2
# What a file that is gone, cut off or of another make raises.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


@dataclass
class Progress:
    """step.

    Steps done, of all epochs. epoch: the one in work, from 0. sums: losses, right answers and rows
    of it so far. norm: of the last step's gradient.

    history: figure -> a value for each finished epoch. best: (eval accuracy, - eval loss) of the
    best epoch, best_epoch its number from 1, 0 without one. seconds: of training so far.
    started_from: figures of what it began with.
    """

    step: int = 0
    epoch: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    norm: float = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)
    best: tuple[float, float] = (float("-inf"), float("-inf"))
    best_epoch: int = 0
    seconds: float = 0.0
    started_from: dict[str, Any] = field(default_factory=dict)


def save(
    work: Path, progress: Progress, state: list[np.ndarray], best_weights: list[np.ndarray]
) -> None:
    """Writes a checkpoint and drops those that are too old."""
    work.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"state_{number}": value for number, value in enumerate(state)}
    arrays |= {f"best_{number}": value for number, value in enumerate(best_weights)}
    with writing(work / _name(progress.step)) as name, open(name, "wb") as file:
        np.savez(file, progress=np.array(json.dumps(asdict(progress))), **arrays)
        file.flush()
        os.fsync(file.fileno())
    for old in sorted(work.glob("checkpoint-*.npz"))[:-NUM_KEPT]:
        old.unlink()


def newest(work: Path) -> int | None:
    """The step of the newest checkpoint that can be read; None where there is none."""
    for path in sorted(work.glob("checkpoint-*.npz"), reverse=True):
        try:
            return _read(path)[0].step
        except UNREADABLE:
            continue
    return None


def load(work: Path, step: int) -> tuple[Progress, list[np.ndarray], list[np.ndarray]]:
    """(progress, state, weights of the best epoch) of a step's checkpoint.

    Raises UserError where it is not there.
    """
    path = work / _name(step)
    try:
        return _read(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read ({error!r}). Every worker needs the same root, on a file system"
            " that they share or under gs://."
        ) from None


def _read(path: Path) -> tuple[Progress, list[np.ndarray], list[np.ndarray]]:
    with reading(path) as name, open(name, "rb") as file, np.load(file) as arrays:
        progress = Progress(**json.loads(str(arrays["progress"])))
        state, best = (
            [arrays[name] for name in _names(arrays.files, prefix)]
            for prefix in ("state_", "best_")
        )
    progress.best = (progress.best[0], progress.best[1])
    return progress, state, best


def _name(step: int) -> str:
    return f"checkpoint-{step:09d}.npz"


def _names(names: list[str], prefix: str) -> list[str]:
    return sorted(
        (name for name in names if name.startswith(prefix)),
        key=lambda name: int(name.removeprefix(prefix)),
    )
