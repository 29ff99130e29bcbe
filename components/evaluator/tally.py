"""Sums over measured rows. Every figure follows from them.

The sums of two sets of rows add up to those of both, in any order. Real numbers are summed as
integers, so that neither the order of the shards nor the worker that measured them changes a bit of
a figure.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The unit of sums of losses (nats, squared nats) and probabilities. The error of a row is less than
# 1e-12.
UNIT = 2.0**-40
# Bins of the calibration curve, of equal width.
NUM_BINS = 15

# (true class, predicted class) -> rows; -1 is a class that the labels do not have.
Cells = Counter[tuple[int, int]]


@dataclass
class Tally:
    """Sums over the rows of a slice, or over all rows.

    Attributes:
        cells: Rows by true and predicted class.
        loss: The losses (nats), in units.
        loss_squared: The squared losses, in units.
        served_cells: Rows by true class and the served version's prediction.
        served_loss: The served version's losses (nats), in units.
        lost: Rows that the served version has right and the model has wrong.
        gained: Rows that the model has right and the served version has wrong.
    """

    cells: Cells = field(default_factory=Counter)
    loss: int = 0
    loss_squared: int = 0
    served_cells: Cells = field(default_factory=Counter)
    served_loss: int = 0
    lost: int = 0
    gained: int = 0

    def add(
        self,
        truth: np.ndarray,
        predicted: np.ndarray,
        loss: np.ndarray,
        served: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        """Adds rows.

        Args:
            truth: The true classes [rows].
            predicted: The predicted classes [rows].
            loss: The losses in nats [rows].
            served: The served version's predictions and losses, or None if there is none.
        """
        self.cells.update(cells(truth, predicted))
        self.loss += units(loss)
        self.loss_squared += units(loss**2)
        if served:
            self.served_cells.update(cells(truth, served[0]))
            self.served_loss += units(served[1])
            right = predicted == truth
            was_right = served[0] == truth
            self.lost += int((was_right & ~right).sum())
            self.gained += int((right & ~was_right).sum())

    def merge(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                # Their sum would copy the cells of all rows so far for each shard.
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    @property
    def num_rows(self) -> int:
        return sum(self.cells.values())


@dataclass
class Calibration:
    """Sums over rows by bin of the predicted class's probability.

    Attributes:
        rows: Bin -> rows.
        right: Bin -> rows whose prediction is right.
        confidence: Bin -> the probabilities of the predicted classes, in units.
    """

    rows: Counter[int] = field(default_factory=Counter)
    right: Counter[int] = field(default_factory=Counter)
    confidence: Counter[int] = field(default_factory=Counter)

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        # As scikit-learn has it: a probability on an edge belongs to the bin below.
        bins = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence)
        self.rows.update(bins.tolist())
        self.right.update(bins[right].tolist())
        self.confidence.update(
            {number: units(confidence[bins == number]) for number in np.unique(bins).tolist()}
        )

    def merge(self, other: "Calibration") -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)


# (badness, name of the shard, number of the row in it, what is shown of it)
Example = tuple[float, str, int, dict[str, Any]]


@dataclass
class Worst:
    """The `num` rows with the greatest badness. Of equals, those of the first place."""

    num: int
    examples: list[Example] = field(default_factory=list)

    def add(self, examples: Iterable[Example]) -> None:
        self.examples = heapq.nsmallest(
            self.num,
            [*self.examples, *examples],
            key=lambda example: (-example[0], example[1], example[2]),
        )


@dataclass
class Measured:
    """All sums over the rows of some shards.

    Attributes:
        num_examples: The length of each list of rows.
        overall: Sums over all rows.
        slices: (feature, value) -> sums over the rows of a slice.
        ranks: Number of classes that are likelier than the true one -> rows.
        calibration: Sums by confidence.
        num_not_finite: Rows with a probability that is not a finite number.
        hardest: The rows with the smallest margins.
        confidently_wrong: The wrong rows with the highest confidence.
    """

    num_examples: int
    overall: Tally = field(default_factory=Tally)
    slices: dict[tuple[str, str], Tally] = field(default_factory=dict)
    ranks: Counter[int] = field(default_factory=Counter)
    calibration: Calibration = field(default_factory=Calibration)
    num_not_finite: int = 0
    hardest: Worst = field(init=False)
    confidently_wrong: Worst = field(init=False)

    def __post_init__(self) -> None:
        # Twice as many, because `listed` leaves out those that are confidently wrong as well.
        self.hardest = Worst(2 * self.num_examples)
        self.confidently_wrong = Worst(self.num_examples)

    def listed(self) -> dict[str, list[dict[str, Any]]]:
        """The two lists as the evaluation has them. No row is in both."""
        sure = self.confidently_wrong.examples
        places = {(shard, row) for _, shard, row, _ in sure}
        unsure = [
            example for example in self.hardest.examples if (example[1], example[2]) not in places
        ]
        return {
            "hardest": [shown for *_, shown in unsure[: self.num_examples]],
            "confidently_wrong": [shown for *_, shown in sure],
        }

    def merge(self, other: "Measured") -> "Measured":
        """Adds the sums of other rows. Returns itself."""
        self.overall.merge(other.overall)
        for name, tally in other.slices.items():
            self.slices.setdefault(name, Tally()).merge(tally)

        self.ranks.update(other.ranks)
        self.calibration.merge(other.calibration)
        self.num_not_finite += other.num_not_finite
        self.hardest.add(other.hardest.examples)
        self.confidently_wrong.add(other.confidently_wrong.examples)
        return self


def add_to_each(
    tallies: Sequence[Tally],
    group: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    loss: np.ndarray,
    served: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Adds the rows of a block to the tallies of their groups.

    It takes as long for ten thousand groups as for one.

    Args:
        tallies: The tally of each group. Every group has a row.
        group: The place in `tallies` of each row's, [rows].
        truth: See `Tally.add`, as are the others.
        predicted: See there.
        loss: See there.
        served: See there.
    """
    columns = {"loss": in_units(loss), "loss_squared": in_units(loss**2)}
    predictions = {"cells": predicted}
    if served:
        right, was_right = predicted == truth, served[0] == truth
        columns["served_loss"] = in_units(served[1])
        columns["lost"] = was_right & ~right
        columns["gained"] = right & ~was_right
        predictions["served_cells"] = served[0]

    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(tallies)))
    for name, values in columns.items():
        sums = np.add.reduceat(values[order].astype(np.int64), starts).tolist()
        for tally, value in zip(tallies, sums, strict=True):
            setattr(tally, name, getattr(tally, name) + value)

    for name, answers in predictions.items():
        for (of, *cell), count in _counted(group, truth, answers):
            getattr(tallies[of], name)[tuple(cell)] += count


def units(values: np.ndarray) -> int:
    """The sum of the numbers of a block of rows, in units.

    A number is at most 1,000, so that the sum is far below the largest int64.
    """
    return int(in_units(values).sum())


def in_units(values: np.ndarray) -> np.ndarray:
    """Numbers in units, int64 [rows]."""
    return np.rint(values / UNIT).astype(np.int64)


def cells(truth: np.ndarray, predicted: np.ndarray) -> Cells:
    """Counts rows by their true and predicted classes, each [rows]."""
    return Counter({(row[0], row[1]): count for row, count in _counted(truth, predicted)})


def _counted(*columns: np.ndarray) -> Iterator[tuple[list[int], int]]:
    """(a number from each column, the rows that have these), in order. Numbers are from -1 on."""
    size = max(int(column.max()) for column in columns) + 2
    keys = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        keys = keys * size + column + 1

    keys, counts = np.unique(keys, return_counts=True)
    found = []
    for _ in columns:
        keys, last = np.divmod(keys, size)
        found.append(last - 1)
    yield from zip(np.stack(found[::-1], axis=1).tolist(), counts.tolist(), strict=True)


def confusion(cells: Cells, num_classes: int) -> np.ndarray:
    """The confusion matrix, int64 [num_classes (true), num_classes (predicted)].

    No cell may be of an unknown class.
    """
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for (truth, predicted), count in cells.items():
        matrix[truth, predicted] = count
    return matrix
