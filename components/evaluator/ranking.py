"""The exact areas under the ROC and the precision-recall curve.

They need all rows in the order of their probabilities. Every shard leaves a file of codes, uint32
[rows, num_classes]. A code has the bits of the float32 probability, shifted by one, and a last bit
that says whether the class is the true one. The bits of numbers from 0 on are in the order of the
numbers. The codes of some classes at a time go into one file and are sorted there. Only a block of
rows is in memory, however many rows there are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seqline.storage.staging import reading

# Codes in memory at once, and codes of all classes that one pass over the files sorts.
NUM_CODES = 1 << 17
NUM_SORTED = 1 << 24


def encode(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The codes of some rows, uint32 [rows, num_classes].

    Args:
        probabilities: float32 [rows, num_classes].
        truth: The true classes [rows].
    """
    codes = np.maximum(probabilities, np.float32(0)).view(np.uint32) << np.uint32(1)
    codes[np.arange(len(truth)), truth] |= np.uint32(1)
    return codes


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

    for first in range(0, num_classes, at_once):
        num = min(at_once, num_classes - first)
        columns = np.memmap(folder / "sorted", np.uint32, "w+", shape=(num, num_rows))

        row = 0
        for codes in _codes(paths, num_classes):
            columns[:, row : row + len(codes)] = codes[:, first : first + num].T
            row += len(codes)

        assert row == num_rows, "every row that was measured left its probabilities"

        for column in columns:
            column.sort()
            area, average = area_and_average(column)
            roc.append(area)
            precision.append(average)

        del columns
        (folder / "sorted").unlink()

    return roc, precision


def _codes(paths: Sequence[str], num_classes: int) -> Iterator[np.ndarray]:
    """The codes of all files in order, in blocks: uint32 [some rows, num_classes]."""
    size = max(1, NUM_CODES // num_classes) * num_classes * 4
    for path in paths:
        with reading(path) as name, open(name, "rb") as file:
            while content := file.read(size):
                yield np.frombuffer(content, np.uint32).reshape(-1, num_classes)


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
