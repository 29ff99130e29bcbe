"""Measures shards of rows.

Asks the model and the served version about every row, and adds up what the figures follow from.

The probabilities of a shard also go to a file of their own. `components.evaluator.ranking` reads
it for the figures that need the order of all rows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluator import metrics, ranking, slices
from components.evaluator.aligned import AlignedModel
from components.evaluator.tally import Measured, Tally, add_to_each
from seqline.data import features, origins
from seqline.data.examples import Block, Content, blocks, span_of
from seqline.errors import UserError
from seqline.host import progress
from seqline.model.served import ServedModel, has_class
from seqline.storage.staging import writing

# The greatest number of values of a sliced feature, except for the label. All slices have to fit in
# memory.
MAX_SLICE_VALUES = 1000
# Characters of a listed row.
NUM_SHOWN = 300


@dataclass(frozen=True)
class MeasureTask:
    """The models and the rows to measure, and the lists to make. It can be sent to another machine.

    Attributes:
        content: What a row of the Examples holds.
        dim: Numbers of one time step of a sequence; None for other contents.
        labels: All classes, the model's own first.
        saved_model: The folder of the SavedModel.
        served: The folder of the served version to compare with, or None.
        slices: The features whose values divide the rows.
        kinds: The kind of each of them that the Examples hold, see
            `seqline.data.feature_kinds`.
        num_examples: The length of the lists of rows.
        redact: Whether the lists leave the texts out.
        scores: The folder of the files with probabilities.
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


@dataclass(frozen=True)
class BlockAnswers:
    """The answers to the rows of a block.

    Attributes:
        truth: The true class, int64 [rows].
        probabilities: float32 [rows, num_classes]; zeros for a row that is not finite.
        predicted: The likeliest class, int64 [rows]; a wrong one for a row that is not finite.
        finite: Whether all probabilities are finite numbers, bool [rows].
        loss: -log p(true class) in nats, float64 [rows].
        served: (predicted class, loss) of the served version, or None if there is none.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    finite: np.ndarray
    loss: np.ndarray
    served: tuple[np.ndarray, np.ndarray] | None

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, float64 [rows]."""
        rows = np.arange(len(self.truth))
        return self.probabilities[rows, self.predicted].astype(np.float64)


class Measurer:
    """Holds the models of a task, so that each process loads them once.

    Args:
        task: What is measured.
        loaded: The task's SavedModel, if it is loaded already.
    """

    def __init__(self, task: MeasureTask, loaded: ServedModel | None = None) -> None:
        self.task, self.loaded = task, loaded
        self.class_of = {label.encode(): number for number, label in enumerate(task.labels)}

    @cached_property
    def model(self) -> AlignedModel:
        return AlignedModel(self.loaded or self.task.saved_model, self.task.labels)

    @cached_property
    def served(self) -> AlignedModel | None:
        """The served version.

        Raises:
            UserError: The version does not read what the model reads.
        """
        if self.task.served is None:
            return None

        served = AlignedModel(self.task.served, self.task.labels)
        theirs, own = served.served.shapes, self.model.served.shapes
        if theirs != own:
            raise UserError(
                f"The served version {self.task.served} reads {_listed(theirs)}, this model "
                f"{_listed(own)}: they cannot be compared. "
                "Push to another place with --set pusher.serving_dir=..."
            )
        return served

    def measure(self, path: str) -> Measured:
        """Measures the rows of a shard.

        Writes their probabilities to <task.scores>/<name of the shard>.
        """
        task = self.task
        measured = Measured(task.num_examples)

        first_row = 0
        size = ranking.block_rows(len(task.labels))
        with writing(f"{task.scores}/{Path(path).name}") as name, open(name, "wb") as file:
            for block in blocks(path, task.content, task.kinds, size):
                answers = self._ask(block)
                self._add(measured, block, path, answers)
                ranking.write(file, ranking.encode(answers.probabilities, answers.truth))
                if task.num_examples:
                    self._list(measured, block, Path(path).name, first_row, answers)
                progress.advance(len(block.labels))
                first_row += len(block.labels)
        return measured

    def _ask(self, block: Block) -> BlockAnswers:
        truth = np.array([self.class_of[label] for label in block.labels])
        probabilities, predicted = self.model.answer(block)
        finite = has_class(probabilities)
        probabilities[~finite] = 0
        # No answer is a wrong one.
        predicted[~finite] = np.where(truth[~finite] == 0, 1, 0)

        served = None
        if self.served:
            theirs, their_prediction = self.served.answer(block)
            served = their_prediction, metrics.log_losses(np.nan_to_num(theirs, nan=0.0), truth)

        loss = metrics.log_losses(probabilities, truth)
        return BlockAnswers(truth, probabilities, predicted, finite, loss, served)

    def _add(self, measured: Measured, block: Block, path: str, answers: BlockAnswers) -> None:
        """Adds the rows of a block to all sums."""
        truth, predicted = answers.truth, answers.predicted
        measured.num_not_finite += int((~answers.finite).sum())
        measured.overall.add(truth, predicted, answers.loss, answers.served)
        measured.ranks.update(metrics.ranks(answers.probabilities, truth).tolist())
        measured.calibration.add(answers.confidence, predicted == truth)
        for feature in self.task.slices:
            self._add_slices(measured, feature, block, path, answers)

    def _add_slices(
        self, measured: Measured, feature: str, block: Block, path: str, answers: BlockAnswers
    ) -> None:
        """Adds the rows of a block to the slices of a feature."""
        if feature in block.raw:
            column = block.raw[feature]
        else:
            labels = [label.decode() for label in block.labels]
            column = slices.values(
                feature, self.task.content, block, labels, span_of(path), self.task.dim
            )

        num_before = len(measured.slices)
        values, group = slices.groups(column)
        tallies = [measured.slices.setdefault((feature, value), Tally()) for value in values]
        add_to_each(tallies, group, answers.truth, answers.predicted, answers.loss, answers.served)
        if len(measured.slices) > num_before:
            check_slices(measured)

    def _list(
        self, measured: Measured, block: Block, shard: str, first_row: int, answers: BlockAnswers
    ) -> None:
        """Lists the rows with the smallest margins, and the most confidently wrong ones.

        Args:
            measured: Has the lists.
            block: The rows.
            shard: The name of their shard.
            first_row: The number of the block's first row in the shard.
            answers: The answers to the rows.
        """
        num_examples, confidence = self.task.num_examples, answers.confidence
        runner_up, margin = second_best(answers.probabilities, answers.predicted)
        margin[~answers.finite] = 1  # a row without an answer is not a close one
        hard = np.argsort(margin, kind="stable")[: measured.hardest.num]
        wrong = np.flatnonzero(answers.predicted != answers.truth)
        sure = wrong[np.argsort(-confidence[wrong], kind="stable")[:num_examples]]

        for worst, chosen, badness in (
            (measured.hardest, hard, -margin),
            (measured.confidently_wrong, sure, confidence),
        ):
            shown = self._shown(block, chosen, answers, runner_up)
            for row, example in zip(chosen.tolist(), shown, strict=True):
                place = {"shard": shard, "row": first_row + row}
                worst.add([(float(badness[row]), shard, first_row + row, {**place, **example})])

    def _shown(
        self, block: Block, chosen: np.ndarray, answers: BlockAnswers, runner_up: np.ndarray
    ) -> list[dict[str, Any]]:
        """The chosen rows as the lists show them."""
        labels, probabilities = self.task.labels, answers.probabilities
        contents = tf.gather(block.content, chosen)
        texts = [""] * len(chosen)
        if not self.task.redact:
            texts = slices.texts(self.task.content, contents)

        examples = []
        for row, text, checksum in zip(chosen.tolist(), texts, checksums(contents), strict=True):
            truth, predicted, second = answers.truth[row], answers.predicted[row], runner_up[row]
            example: dict[str, Any] = {
                "label": labels[truth],
                "predicted": labels[predicted] if answers.finite[row] else "",
                "probability": float(probabilities[row, predicted]),
                "probability_of_label": float(probabilities[row, truth]),
                "runner_up": labels[second],
                "probability_of_runner_up": float(probabilities[row, second]),
                "loss": float(answers.loss[row]),
                "checksum": checksum,
            }
            if text:
                is_short = len(text) <= NUM_SHOWN
                example["text"] = text if is_short else f"{text[:NUM_SHOWN]}..."
            examples.append(example)

        return examples


def second_best(probabilities: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each row except for the predicted one.

    A single class is its own runner-up.

    Args:
        probabilities: float32 [rows, classes].
        predicted: The predicted class [rows].

    Returns:
        (the class [rows], by how much it is less likely: float64 [rows]).
    """
    rows = np.arange(len(predicted))
    others = probabilities.astype(np.float64)
    best = others[rows, predicted]
    if others.shape[1] > 1:
        others[rows, predicted] = -1
    runner_up = others.argmax(axis=1)
    return runner_up, best - others[rows, runner_up]


def checksums(contents: tf.Tensor | tf.RaggedTensor) -> list[int]:
    """The checksums by which `seqline.data.origins` knows rows.

    Args:
        contents: Strings [rows], or ragged [rows, any].
    """
    if isinstance(contents, tf.Tensor):
        return [origins.checksum(text) for text in contents.numpy().tolist()]

    rows = [row.numpy() for row in contents]
    return [
        origins.checksum(row.tolist() if row.dtype == object else row)  # tokens, or numbers
        for row in rows
    ]


def _listed(shapes: Mapping[str, tuple[Any, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))


def check_slices(measured: Measured) -> None:
    """Raises UserError for a feature with too many values."""
    if len(measured.slices) <= MAX_SLICE_VALUES:
        return

    num_values = Counter(feature for feature, _ in measured.slices if feature != features.LABEL)
    worst = max(num_values, key=lambda feature: num_values[feature], default="")
    if num_values[worst] > MAX_SLICE_VALUES:
        raise UserError(
            f"evaluator.slices: {worst!r} has over {MAX_SLICE_VALUES:,} values. "
            "Name a feature with few."
        )


def merge(shards: Iterable[Measured], num_examples: int) -> Measured:
    """Adds up what was measured of several shards."""
    total = Measured(num_examples)
    for measured in shards:
        check_slices(total.merge(measured))
    return total
