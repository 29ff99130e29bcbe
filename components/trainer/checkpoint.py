"""Checkpoints of a training, on disk or under gs://.

A run that was killed continues from its last checkpoint as if nothing had happened.

    <work>/checkpoint-<step>.npz   every variable, in order, and `progress`, a JSON object; the file
                                   appears whole or not at all. Each of its members has a checksum;
                                   `progress` has their number, since a damaged name hides one
"""

import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from seqline.errors import UserError
from seqline.storage.staging import reading, writing

# Checkpoints that are kept: the newest, and the one before it.
NUM_KEPT = 2
# What reading raises for a file that is missing, cut off, damaged or of another format.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # of zipfile: a flag says that a member is encrypted, or compressed in a new way
    BadZipFile,
    zlib.error,
)


@dataclass
class TrainingProgress:
    """How far a training got, but for its variables.

    Attributes:
        step: steps done, of all epochs.
        epoch: the epoch under way, from 0.
        sums: losses, right answers and rows of this epoch so far.
        norm: global norm of the last step's gradient.
        history: figure -> a value for each finished epoch.
        best: (eval accuracy, - eval loss) of the best epoch.
        best_epoch: its number, from 1; 0 before any.
        seconds: of training so far.
        started_from: figures of what the training began with.
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
    work: Path, progress: TrainingProgress, state: list[np.ndarray], best_weights: list[np.ndarray]
) -> None:
    """Writes a checkpoint and deletes those that are too old."""
    work.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"state_{number}": value for number, value in enumerate(state)}
    arrays |= {f"best_{number}": value for number, value in enumerate(best_weights)}

    with writing(work / _file_name(progress.step)) as path, open(path, "wb") as file:
        content = {"num_arrays": len(arrays), **asdict(progress)}
        np.savez(file, progress=np.array(json.dumps(content)), **arrays)
        file.flush()
        os.fsync(file.fileno())

    for old in sorted(work.glob("checkpoint-*.npz"))[:-NUM_KEPT]:
        old.unlink()


def newest(work: Path) -> int | None:
    """The step of the newest checkpoint that can be read; None if there is none."""
    for path in sorted(work.glob("checkpoint-*.npz"), reverse=True):
        try:
            return _read(path)[0].step
        except UNREADABLE:
            continue
    return None


def load(work: Path, step: int) -> tuple[TrainingProgress, list[np.ndarray], list[np.ndarray]]:
    """Reads the checkpoint of a step.

    Returns:
        (progress, the state of `Loop.state`, the weights of the best epoch).

    Raises:
        UserError: it cannot be read.
    """
    path = work / _file_name(step)
    try:
        return _read(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read ({error!r}). Every worker needs the same root, on a file system"
            " that they share or under gs://."
        ) from None


def _read(path: Path) -> tuple[TrainingProgress, list[np.ndarray], list[np.ndarray]]:
    with (
        reading(path) as local,
        open(local, "rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        content = json.loads(str(arrays["progress"]))
        num_arrays = content.pop("num_arrays")
        progress = TrainingProgress(**content)
        state = [arrays[name] for name in _numbered(arrays.files, "state_")]
        best = [arrays[name] for name in _numbered(arrays.files, "best_")]
    if len(state) + len(best) != num_arrays:
        raise BadZipFile(f"{len(state) + len(best)} of {num_arrays} arrays can be found")
    progress.best = (progress.best[0], progress.best[1])
    return progress, state, best


def _file_name(step: int) -> str:
    return f"checkpoint-{step:09d}.npz"


def _numbered(names: list[str], prefix: str) -> list[str]:
    """The names with this prefix, in the order of the numbers that follow it."""
    chosen = [name for name in names if name.startswith(prefix)]
    return sorted(chosen, key=lambda name: int(name.removeprefix(prefix)))
