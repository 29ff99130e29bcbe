"""What is known of measured rows, in sums that can be put together in any order.

Every figure follows from them.

Sums of real numbers are kept as integers, so that the order of shards, or who measured them,
changes no bit of a figure.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Sums of losses (nats, squared nats) and probabilities are counted in this: a row is off by less
# than 1e-12.
UNIT = 2.0**-40
# Bins of the calibration curve, of equal width.
NUM_BINS = 15

# (true class, predicted class) -> rows; -1 is a class that the labels do not have.
Cells = Counter[tuple[int, int]]


@dataclass
class Tally:
    """The rows of a slice, or all. lost.

    Rows that the served version has right and the model wrong; gained: the other way round.
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
        """Rows.

        Their classes, predictions and losses (nats), each [rows]. served: the served version's
        predictions and losses.
        """
        self.cells += cells(truth, predicted)
        self.loss += units(loss)
        self.loss_squared += units(loss**2)
        if served:
            self.served_cells += cells(truth, served[0])
            self.served_loss += units(served[1])
            right, was_right = predicted == truth, served[0] == truth
            self.lost += int((was_right & ~right).sum())
            self.gained += int((right & ~was_right).sum())

    def merge(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def num_rows(self) -> int:
        return sum(self.cells.values())


@dataclass
class Calibration:
    """By bin of the predicted class's probability.

    Rows, rows that were right, the sum of the probabilities.
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
            {each: units(confidence[bins == each]) for each in np.unique(bins).tolist()}
        )

    def merge(self, other: "Calibration") -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)


# (how bad it is, less its place, so that the first of equals comes first; what is shown of it)
Example = tuple[float, str, int, dict[str, Any]]


@dataclass
class Worst:
    """The rows with the greatest badness, at most `num`; of equals the first ones."""

    num: int
    found: list[Example] = field(default_factory=list)

    def add(self, examples: Iterable[Example]) -> None:
        self.found = heapq.nsmallest(
            self.num, [*self.found, *examples], key=lambda each: (-each[0], each[1], each[2])
        )


@dataclass
class Measured:
    """All that is known of some shards. ranks.

    How many classes were likelier than the true one -> rows.
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
        # Twice as many: those that are confidently wrong, too, are left out in the end.
        self.hardest, self.confidently_wrong = (
            Worst(2 * self.num_examples),
            Worst(self.num_examples),
        )

    def listed(self) -> dict[str, list[dict[str, Any]]]:
        """Wrong rows by the probability of the given answer, and rows by the smallest margin, right
        or wrong; no row is in both.
        """
        sure = self.confidently_wrong.found
        shown = {each[1:3] for each in sure}
        unsure = [each for each in self.hardest.found if each[1:3] not in shown][
            : self.num_examples
        ]
        return {
            "hardest": [each[-1] for each in unsure],
            "confidently_wrong": [each[-1] for each in sure],
        }

    def merge(self, other: "Measured") -> "Measured":
        """Takes the other's rows over."""
        self.overall.merge(other.overall)
        for name, tally in other.slices.items():
            self.slices.setdefault(name, Tally()).merge(tally)
        self.ranks += other.ranks
        self.calibration.merge(other.calibration)
        self.num_not_finite += other.num_not_finite
        self.hardest.add(other.hardest.found)
        self.confidently_wrong.add(other.confidently_wrong.found)
        return self


def units(values: np.ndarray) -> int:
    """The sum of numbers of at most 1,000 each, in units.

    A block of rows stays far below what int64 holds.
    """
    return int(np.rint(values / UNIT).astype(np.int64).sum())


def cells(truth: np.ndarray, predicted: np.ndarray) -> Cells:
    pairs, counts = np.unique(np.stack([truth, predicted]), axis=1, return_counts=True)
    return Counter(dict(zip(map(tuple, pairs.T.tolist()), counts.tolist(), strict=True)))


def confusion(found: Cells, num_classes: int) -> np.ndarray:
    """int64 [num_classes, num_classes], rows true, columns predicted.

    No cell may be of an unknown class.
    """
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for (truth, predicted), count in found.items():
        matrix[truth, predicted] = count
    return matrix
