"""The trials of a search, on disk. Imports nothing heavy."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import FiniteFloat

from seqline.storage import records
from seqline.storage.records import Count
from seqline.storage.staging import writing

TRIALS_FILE = "trials.json"

State = Literal["finished", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One training that ended.

    Attributes:
        number: from 0.
        params: the tuned trainer parameters.
        eval_accuracy, eval_loss: of its best epoch; None if it failed.
        epochs: how many it ran.
        seconds: of the process that ended it.
        accuracies: on the eval split, after each epoch.
        rungs: what successive halving compares later trials with, by optuna's names.
        error: why it failed.
    """

    number: int
    params: dict[str, Any]
    state: State
    eval_accuracy: FiniteFloat | None
    eval_loss: FiniteFloat | None
    epochs: Count
    seconds: FiniteFloat
    accuracies: list[FiniteFloat] = field(default_factory=list)
    rungs: dict[str, FiniteFloat] = field(default_factory=dict)
    error: str | None = None

    @property
    def score(self) -> tuple[float, ...]:
        """Higher is better; a pruned trial is below every finished one. A failed trial has none."""
        assert self.eval_accuracy is not None
        assert self.eval_loss is not None
        return self.state == "finished", self.eval_accuracy, -self.eval_loss, -self.number


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial; None if all failed."""
    scored = [trial for trial in trials if trial.state != "failed"]
    return max(scored, key=lambda trial: trial.score, default=None)


def load(folder: Path) -> list[Trial]:
    """Reads the trials that `save` wrote; [] without the file.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / TRIALS_FILE
    way_out = "Remove it; the search then begins again."
    try:
        trials = records.read(list[Trial], path, way_out)
    except FileNotFoundError:
        return []

    for place, trial in enumerate(trials):
        if problem := _problem(place, trial):
            raise records.damaged(path, f"{place}.{problem}", way_out)
    return trials


def _problem(place: int, trial: Trial) -> str:
    """What no trial can be, at its place in the list; empty for nothing."""
    if trial.number != place:
        return f"number: it is {trial.number}"
    if trial.epochs != len(trial.accuracies):
        return f"epochs: {trial.epochs}, with {len(trial.accuracies)} accuracies"
    has_score = trial.eval_accuracy is not None and trial.eval_loss is not None
    if has_score == (trial.state == "failed"):
        return f"state: {trial.state}, {'with' if has_score else 'without'} a score"
    return ""


def save(trials: Sequence[Trial], folder: Path) -> None:
    """Writes the trials; the file changes as a whole or not at all."""
    with writing(folder / TRIALS_FILE) as path, open(path, "w", encoding="utf-8") as file:
        json.dump([asdict(trial) for trial in trials], file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
