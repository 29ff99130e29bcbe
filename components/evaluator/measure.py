"""Measures shards.

Asks the model and the served version about every row, and adds up what the figures follow from.

A shard's probabilities also go to a file of their own, from which `components.evaluator.ranking`
gets what needs their order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluator import metrics, ranking, slices
from components.evaluator.rows import Model
from components.evaluator.tally import Measured, Tally
from seqline.data import features, origins
from seqline.data.examples import Block, Content, blocks, span_of
from seqline.errors import UserError
from seqline.host import progress
from seqline.storage.staging import writing

# Values of a slice, at most: more are no slices, and would not fit in memory.
MAX_SLICE_VALUES = 1000
# Characters of a listed row.
NUM_SHOWN = 300


@dataclass(frozen=True)
class Task:
    """What is measured, and how; can be sent to another machine.

    labels: all classes, the model's own first. saved_model, served: folders. kinds: features of the
    Examples among the slices, see `seqline.data.examples.kinds_of`. scores: the folder of the
    files with probabilities.
    """

    content: Content
    dim: int | None
    labels: tuple[str, ...]
    saved_model: str
    served: str | None
    slices: tuple[str, ...]
    kinds: Mapping[str, str]
    num_examples: int
    redact: bool
    scores: str


class Measurer:
    """Holds the models of a task: each process loads them once."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.numbers = {label.encode(): number for number, label in enumerate(task.labels)}

    @cached_property
    def model(self) -> Model:
        return Model(self.task.saved_model, self.task.labels)

    @cached_property
    def served(self) -> Model | None:
        """Raises UserError for a version that cannot be asked what the model is asked."""
        if self.task.served is None:
            return None
        served = Model(self.task.served, self.task.labels)
        if served.arguments() != self.model.arguments():
            raise UserError(
                f"The served version {self.task.served} reads {_shown(served.arguments())}, this"
                f" model {_shown(self.model.arguments())}: they cannot be compared. Push to another"
                " place with --set pusher.serving_dir=..."
            )
        return served

    def measure(self, path: str) -> Measured:
        """The rows of a shard. Writes their probabilities to <task.scores>/<the shard's name>."""
        task = self.task
        found = Measured(task.num_examples)
        row = 0
        target = f"{task.scores}/{Path(path).name}"
        with writing(target) as name, open(name, "wb") as file:
            for block in blocks(path, task.content, task.kinds):
                self._add(found, block, path, row, file)
                progress.advance(len(block.labels))
                row += len(block.labels)
        return found

    def _add(self, found: Measured, block: Block, path: str, first_row: int, file: Any) -> None:
        task = self.task
        truth = np.array([self.numbers[label] for label in block.labels])
        probabilities, predicted = self.model.answer(block, task.content, task.dim)
        finite = np.isfinite(probabilities).all(axis=1)
        found.num_not_finite += int((~finite).sum())
        probabilities[~finite] = 0
        loss = metrics.log_losses(probabilities, truth)
        served = None
        if self.served:
            theirs, their_prediction = self.served.answer(block, task.content, task.dim)
            served = their_prediction, metrics.log_losses(np.nan_to_num(theirs, nan=0.0), truth)
        found.overall.add(truth, predicted, loss, served)
        found.ranks.update(metrics.ranks(probabilities, truth).tolist())
        confidence = probabilities[np.arange(len(truth)), predicted].astype(np.float64)
        found.calibration.add(confidence, predicted == truth)
        for feature in task.slices:
            self._add_slices(found, feature, block, path, (truth, predicted, loss), served)
        file.write(ranking.encode(probabilities, truth).tobytes())
        if task.num_examples:
            wrong = np.flatnonzero(predicted != truth)
            runner_up, margin = second_best(probabilities, predicted)
            margin[~finite] = 1  # no answer is not a close one
            hard = np.argsort(margin, kind="stable")[: found.hardest.num]
            sure = wrong[np.argsort(-confidence[wrong], kind="stable")[: task.num_examples]]
            for worst, chosen, badness in (
                (found.hardest, hard, -margin),
                (found.confidently_wrong, sure, confidence),
            ):
                shown = self._shown(block, chosen, truth, predicted, runner_up, probabilities, loss)
                name = Path(path).name
                for row, each in zip(chosen.tolist(), shown, strict=True):
                    place = {"shard": name, "row": first_row + row}
                    worst.add([(float(badness[row]), name, first_row + row, {**place, **each})])

    def _add_slices(
        self,
        found: Measured,
        feature: str,
        block: Block,
        path: str,
        measured: tuple[np.ndarray, np.ndarray, np.ndarray],
        served: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        task = self.task
        if feature in block.raw:
            column = block.raw[feature]
        else:
            labels = [label.decode() for label in block.labels]
            column = slices.values(feature, task.content, block, labels, span_of(path), task.dim)
        truth, predicted, loss = measured
        for value, rows in slices.groups(column):
            tally = found.slices.setdefault((feature, value), Tally())
            tally.add(
                truth[rows],
                predicted[rows],
                loss[rows],
                (served[0][rows], served[1][rows]) if served else None,
            )
        check_slices(found)

    def _shown(
        self,
        block: Block,
        chosen: np.ndarray,
        truth: np.ndarray,
        predicted: np.ndarray,
        runner_up: np.ndarray,
        probabilities: np.ndarray,
        loss: np.ndarray,
    ) -> list[dict[str, Any]]:
        task = self.task
        held = tf.gather(block.content, chosen)
        texts = [""] * len(chosen) if task.redact else slices.texts(task.content, held)
        return [
            {
                "label": task.labels[truth[row]],
                "predicted": task.labels[predicted[row]],
                "probability": float(probabilities[row, predicted[row]]),
                "probability_of_label": float(probabilities[row, truth[row]]),
                "runner_up": task.labels[runner_up[row]],
                "probability_of_runner_up": float(probabilities[row, runner_up[row]]),
                "loss": float(loss[row]),
                "checksum": checksum,
                **(
                    {"text": text if len(text) <= NUM_SHOWN else f"{text[:NUM_SHOWN]}..."}
                    if text
                    else {}
                ),
            }
            for row, text, checksum in zip(chosen.tolist(), texts, checksums(held), strict=True)
        ]


def second_best(probabilities: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the likeliest class but the predicted one, by how much less likely it is.

    Float64 [rows]) of each row.

    probabilities: float32 [rows, classes]. A single class is its own runner-up.
    """
    rows = np.arange(len(predicted))
    others = probabilities.astype(np.float64)
    best = others[rows, predicted]
    if others.shape[1] > 1:
        others[rows, predicted] = -1
    runner_up = others.argmax(axis=1)
    return runner_up, best - others[rows, runner_up]


def checksums(held: Any) -> list[int]:
    """Of rows, by which `seqline.data.origins` knows them. held.

    String [rows], or ragged [rows, any].
    """
    contents = (
        held.numpy().tolist() if isinstance(held, tf.Tensor) else [row.numpy() for row in held]
    )
    return [
        origins.checksum(
            row.tolist() if isinstance(row, np.ndarray) and row.dtype == object else row
        )
        for row in contents
    ]


def _shown(arguments: Mapping[str, tuple[Any, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(arguments.items()))


def check_slices(found: Measured) -> None:
    """Raises UserError for a slice with too many values."""
    if len(found.slices) <= MAX_SLICE_VALUES:
        return
    counts: dict[str, int] = {}
    for feature, _ in found.slices:
        counts[feature] = counts.get(feature, 0) + 1
    worst = max(counts, key=lambda feature: counts[feature])
    if counts[worst] > MAX_SLICE_VALUES and worst != features.LABEL:
        raise UserError(
            f"evaluator.slices: {worst!r} has over {MAX_SLICE_VALUES:,} values. Name a feature with"
            " few."
        )


def merge(parts: Iterable[Measured], num_examples: int) -> Measured:
    """All of them as one."""
    whole = Measured(num_examples)
    for part in parts:
        check_slices(whole.merge(part))
    return whole
