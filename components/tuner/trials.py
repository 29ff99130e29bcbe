"""The trials of a search, on disk. Imports nothing heavy."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from seqline.storage.staging import writing

TRIALS_FILE = "trials.json"

State = Literal["finished", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One training that ended.

    params: the tuned trainer parameters. eval_accuracy, eval_loss: of its best epoch; None where it
    failed. epochs: how many it ran. seconds: of the process that ended it. accuracies: on the eval
    split, after each epoch. rungs: what later trials are compared with by successive halving, as
    optuna names it. error: why it failed.
    """

    number: int
    params: dict[str, Any]
    state: State
    eval_accuracy: float | None
    eval_loss: float | None
    epochs: int
    seconds: float
    accuracies: list[float] = field(default_factory=list)
    rungs: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def score(self) -> tuple[float, ...]:
        """Higher is better.

        No failed trial has one. A pruned trial comes behind every finished one.
        """
        assert self.eval_accuracy is not None
        assert self.eval_loss is not None
        return self.state == "finished", self.eval_accuracy, -self.eval_loss, -self.number


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial; None where all failed."""
    return max(
        (trial for trial in trials if trial.state != "failed"),
        key=lambda trial: trial.score,
        default=None,
    )


def load(folder: Path) -> list[Trial]:
    """The trials that `save` wrote there; none without the file."""
    path = folder / TRIALS_FILE
    return [Trial(**each) for each in json.loads(path.read_text())] if path.exists() else []


def save(trials: Sequence[Trial], folder: Path) -> None:
    """Writes the trials; the file changes as a whole or not at all."""
    with writing(folder / TRIALS_FILE) as name, open(name, "w", encoding="utf-8") as file:
        json.dump([asdict(trial) for trial in trials], file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
