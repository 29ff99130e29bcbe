"""The exact areas under the ROC and the precision-recall curve.

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

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seqline.data.examples import BLOCK_ROWS
from seqline.storage.staging import reading, reading_all

# Codes in memory at once, and codes of a group of classes, which are sorted together.
NUM_CODES = 1 << 17
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
    paths: Sequence[str], num_rows: int, num_classes: int, folder: Path
) -> tuple[list[float | None], list[float | None]]:
    """The areas of each class against all others.

    Args:
        paths: The files of codes.
        num_rows: Rows of all files together.
        num_classes: The number of classes.
        folder: Where to put the sorted file, of 4 bytes for each row and class of a pass.

    Returns:
        (ROC AUC of each class, average precision of each class). They are None for a class of all
        rows or of no row.
    """
    roc: list[float | None] = []
    precision: list[float | None] = []
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

            for column in columns:
                column.sort()
                area, average = area_and_average(column)
                roc.append(area)
                precision.append(average)

            del columns
            (folder / "sorted").unlink()

    return roc, precision


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


def area_and_average(column: np.ndarray) -> tuple[float | None, float | None]:
    """(ROC AUC, average precision) of one class.

    Rows with the same probability are one step of the curves.

    Args:
        column: The codes of all rows in ascending order, uint32 [rows].
    """
    num_true = sum(int((block & 1).sum()) for block in _blocks(column))
    num_false = len(column) - num_true
    if not num_true or not num_false:
        return None, None

    twice_pairs = 0  # a true row above a false one counts 2, an equal pair counts 1
    average = 0.0
    true_seen = false_seen = 0  # rows of the steps before

    for true, false in _steps(column):
        true_below = true_seen + np.cumsum(true) - true  # [steps]
        false_below = false_seen + np.cumsum(false) - false  # [steps]
        twice_pairs += int((true * (2 * false_below + false)).sum())

        # With the rows of the step itself.
        true_above = num_true - true_below
        above = len(column) - (true_below + false_below)
        average += float((true * (true_above / above)).sum())
        true_seen += int(true.sum())
        false_seen += int(false.sum())

    return twice_pairs / (2 * num_true * num_false), average / num_true


def _blocks(column: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(column), NUM_CODES):
        yield np.array(column[start : start + NUM_CODES])


def _steps(column: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Counts rows by probability, in ascending order.

    Yields:
        (true rows, false rows) of some probabilities, int64 [steps]. All rows with the same
        probability are in one step.
    """
    last, open_true, open_rows = -1, 0, 0
    for block in _blocks(column):
        values, starts, rows = np.unique(block >> 1, return_index=True, return_counts=True)
        true = np.add.reduceat((block & 1).astype(np.int64), starts)
        if int(values[0]) == last:
            true[0] += open_true
            rows[0] += open_rows
        elif open_rows:
            yield np.array([open_true]), np.array([open_rows - open_true])

        # The last step may go on in the next block.
        last, open_true, open_rows = int(values[-1]), int(true[-1]), int(rows[-1])
        if len(values) > 1:
            yield true[:-1], (rows - true)[:-1]

    yield np.array([open_true]), np.array([open_rows - open_true])
