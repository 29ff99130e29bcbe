"""Checkpoints of a training, on disk or under gs://.

A run that was killed continues from its last checkpoint as if nothing had happened.

    <work>/checkpoint-<step>.npz   every variable, in order, and `progress`, a JSON object; the file
                                   appears whole or not at all. Each of its members has a checksum;
                                   `progress` has their number, since a damaged name may hide one
"""

import json
import logging
import os
import struct
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from seqline.errors import UserError
from seqline.storage import records
from seqline.storage.records import Count
from seqline.storage.staging import reading, writing

log = logging.getLogger("seqline.trainer")

# Checkpoints that are kept: the newest, and the one before it.
NUM_KEPT = 2
# What reading raises for a file that is missing, cut off, damaged or of another format.
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile),
    *(zlib.error, struct.error, MemoryError, OverflowError),
    RuntimeError,  # of zipfile: a flag says that a member is encrypted, or compressed in a new way
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

    step: Count = 0
    epoch: Count = 0
    sums: Annotated[list[float], Field(min_length=3, max_length=3)] = field(
        default_factory=lambda: [0.0, 0.0, 0.0]
    )
    norm: float = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)
    best: tuple[float, float] = (float("-inf"), float("-inf"))
    best_epoch: Count = 0
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
        except UNREADABLE as error:
            log.warning("%s cannot be read (%s): training goes on from an earlier one", path, error)
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
        content = records.parse_object(str(arrays["progress"]), path, "")
        num_arrays = content.pop("num_arrays")
        progress = records.parse(TrainingProgress, content, path, "")
        state = [arrays[name] for name in _numbered(arrays.files, "state_")]
        best = [arrays[name] for name in _numbered(arrays.files, "best_")]
        num_names = len(set(arrays.files) - {"progress"})

    if not len(state) + len(best) == num_names == num_arrays:
        raise BadZipFile(f"{num_names} of {num_arrays} arrays can be found")
    lengths = {len(values) for values in progress.history.values()}
    if path.name != _file_name(progress.step) or not lengths <= {progress.epoch}:
        raise ValueError(f"step {progress.step}, epoch {progress.epoch} and its figures disagree")
    return progress, state, best


def _file_name(step: int) -> str:
    return f"checkpoint-{step:09d}.npz"


def _numbered(names: list[str], prefix: str) -> list[str]:
    """The names with this prefix, in the order of the numbers that follow it."""
    chosen = [name for name in names if name.startswith(prefix)]
    in_order = [f"{prefix}{number}" for number in range(len(chosen))]
    if set(chosen) != set(in_order):
        raise ValueError(f"some of {prefix}* are missing")
    return in_order
