"""What needs all rows in the order of their probabilities.

The areas under the ROC and the precision-recall curve, exactly.

Every shard leaves a file of codes, uint32 [rows, num_classes]: the bits of the float32 probability
(which, for numbers from 0 on, are in the numbers' own order), shifted by one, and a last bit that
says whether the class is the true one. Some classes at a time are brought together in a file and
sorted there: in memory is a block of rows, whatever the number of rows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seqline.storage.staging import reading

# Codes in memory at once, and codes of the classes that are sorted in one pass over the files.
NUM_CODES = 1 << 17
NUM_SORTED = 1 << 24


def encode(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The codes, uint32 [rows, num_classes], of float32 [rows, num_classes] from 0 on and the true
    classes [rows].
    """
    codes = np.maximum(probabilities, np.float32(0)).view(np.uint32) << np.uint32(1)
    codes[np.arange(len(truth)), truth] |= np.uint32(1)
    return codes


def areas(
    paths: Sequence[str], num_rows: int, num_classes: int, folder: Path
) -> tuple[list[float | None], list[float | None]]:
    """(ROC AUC, average precision) of each class against all others.

    None where all rows, or none, are of the class.

    folder: where the sorted file lies meanwhile, of 4 bytes for each row and class of a pass.
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
    """uint32 [some rows, num_classes], file after file."""
    size = max(1, NUM_CODES // num_classes) * num_classes * 4
    for path in paths:
        with reading(path) as name, open(name, "rb") as file:
            while content := file.read(size):
                yield np.frombuffer(content, np.uint32).reshape(-1, num_classes)


def area_and_average(column: np.ndarray) -> tuple[float | None, float | None]:
    """(ROC AUC, average precision) of codes in ascending order.

    Rows with one probability count as one step of the curves.
    """
    num_true = sum(int((block & 1).sum()) for block in _blocks(column))
    num_false = len(column) - num_true
    if not num_true or not num_false:
        return None, None
    twice_pairs = 0  # a true row over a false one counts 2, beside it 1
    average = 0.0
    true_seen, false_seen = 0, 0  # below, in the order of probabilities
    for true, false in _steps(column):
        ends_true, ends_false = np.cumsum(true), np.cumsum(false)
        twice_pairs += int((true * (2 * (false_seen + ends_false - false) + false)).sum())
        true_above = num_true - (true_seen + ends_true - true)  # with the step's own rows
        above = len(column) - (true_seen + ends_true - true + false_seen + ends_false - false)
        average += float((true * (true_above / above)).sum())
        true_seen, false_seen = true_seen + int(ends_true[-1]), false_seen + int(ends_false[-1])
    return twice_pairs / (2 * num_true * num_false), average / num_true


def _blocks(column: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(column), NUM_CODES):
        yield np.array(column[start : start + NUM_CODES])


def _steps(column: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(true rows, false rows) of each probability, in ascending order, int64.

    A probability is never in two of the arrays.
    """
    last, open_true, open_rows = -1, 0, 0
    for block in _blocks(column):
        values, starts, rows = np.unique(block >> 1, return_index=True, return_counts=True)
        true = np.add.reduceat((block & 1).astype(np.int64), starts)
        if int(values[0]) == last:
            true[0], rows[0] = true[0] + open_true, rows[0] + open_rows
        elif open_rows:
            yield np.array([open_true]), np.array([open_rows - open_true])
        last, open_true, open_rows = int(values[-1]), int(true[-1]), int(rows[-1])
        if len(values) > 1:
            yield true[:-1], (rows - true)[:-1]
    yield np.array([open_true]), np.array([open_rows - open_true])
