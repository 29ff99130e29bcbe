"""The exact areas under the ROC and the precision-recall curve, and points of these curves.

They need all rows in the order of their probabilities. Every shard leaves a file of codes, one for
each row and class. A code has the bits of the float32 probability, shifted by one, and a last bit
that says whether the class is the true one. The bits of numbers from 0 on are in the order of the
numbers.

In a file the rows come in blocks, and in a block class by class:

    block 0: class 0 of its rows, class 1 of its rows, ...    block 1: class 0 of its rows, ...

The codes of some classes at a time go into one file and are sorted there. In each block they are
next to each other, so that however many groups of classes there are, every code is read once. Only
a block of rows is in memory, however many rows there are.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.evaluator import curves
from seqline.data.evaluation import Curve
from seqline.data.examples import BLOCK_ROWS
from seqline.storage.staging import reading, reading_all

# Codes of a group of classes, which are sorted together.
NUM_SORTED = 1 << 24
# Probabilities of a block: up to 1,024 classes, a block has BLOCK_ROWS rows.
NUM_IN_BLOCK = 1 << 22


def block_rows(num_classes: int) -> int:
    """The rows of a block, of which only the last one of a shard may have fewer."""
    return max(1, min(BLOCK_ROWS, NUM_IN_BLOCK // num_classes))


def encode(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The codes of some rows, uint32 [rows, num_classes].

    Args:
        probabilities: float32 [rows, num_classes].
        truth: The true classes [rows].
    """
    codes = np.maximum(probabilities, np.float32(0)).view(np.uint32) << np.uint32(1)
    codes[np.arange(len(truth)), truth] |= np.uint32(1)
    return codes


def write(file: BinaryIO, codes: np.ndarray) -> None:
    """Writes the codes of the next block of rows, uint32 [block_rows, num_classes]."""
    file.write(np.ascontiguousarray(codes.T).data)


def areas(
    paths: Sequence[str],
    num_rows: int,
    num_classes: int,
    folder: Path,
    drawn: Collection[int] = (),
) -> tuple[list[float | None], list[float | None], dict[int, Curve]]:
    """The areas of each class against all others, and the curves of some.

    Args:
        paths: The files of codes.
        num_rows: Rows of all files together.
        num_classes: The number of classes.
        folder: Where to put the sorted file, of 4 bytes for each row and class of a pass.
        drawn: The classes whose curves are wanted.

    Returns:
        (ROC AUC of each class, average precision of each class, class -> points of its curves, see
        `components.evaluator.curves.points`). The areas are None for a class of all rows or of no
        row, and such a class has no curve.
    """
    roc: list[float | None] = []
    precision: list[float | None] = []
    of_classes: dict[int, Curve] = {}
    at_once = min(num_classes, max(1, NUM_SORTED // max(num_rows, 1)))

    with ExitStack() as stack:
        if at_once < num_classes:
            # Files of a bucket are fetched once, not once for each group.
            paths = stack.enter_context(reading_all(paths))

        for first in range(0, num_classes, at_once):
            num = min(at_once, num_classes - first)
            columns = np.memmap(folder / "sorted", np.uint32, "w+", shape=(num, num_rows))

            row = 0
            for codes in _codes(paths, num_classes, first, num):
                columns[:, row : row + codes.shape[1]] = codes
                row += codes.shape[1]

            assert row == num_rows, "every row that was measured left its probabilities"

            for number, column in enumerate(columns, start=first):
                column.sort()
                area, average = curves.area_and_average(column)
                roc.append(area)
                precision.append(average)
                if number in drawn and area is not None:
                    of_classes[number] = curves.points(column)

            del columns
            (folder / "sorted").unlink()

    return roc, precision, of_classes


def _codes(paths: Sequence[str], num_classes: int, first: int, num: int) -> Iterator[np.ndarray]:
    """The codes of `num` classes from `first` on, in blocks of rows: uint32 [num, rows]."""
    size = block_rows(num_classes)
    for path in paths:
        with reading(path) as name, open(name, "rb") as file:
            num_rows = file.seek(0, 2) // (4 * num_classes)

            for row in range(0, num_rows, size):
                rows = min(size, num_rows - row)
                file.seek(4 * (row * num_classes + first * rows))
                codes = np.fromfile(file, np.uint32, num * rows)
                yield codes.reshape(num, rows)
