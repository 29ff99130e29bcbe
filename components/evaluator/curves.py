"""The ROC and the precision-recall curve of one class: areas, and a bounded number of points.

Both follow from the class's column of codes, see `components.evaluator.ranking`. It may be longer
than memory.
"""

from collections.abc import Iterator

import numpy as np

from components.evaluator.tally import Cells
from seqline.data.evaluation import Curve

# Codes in memory at once.
NUM_CODES = 1 << 17
# Curves are kept of so many classes, those with the most rows.
MAX_CURVES = 20
# A curve has at most 101 points: at the thresholds 0, 0.02, ..., 1, and at 25 shares of the true
# rows and of the false rows.
NUM_EVEN = 50
NUM_SHARES = 25


def classes_drawn(cells: Cells) -> list[int]:
    """The classes whose curves are kept, in order: those with the most rows.

    Of classes with as many rows, the first.
    """
    num_rows: dict[int, int] = {}
    for (truth, _), count in cells.items():
        num_rows[truth] = num_rows.get(truth, 0) + count
    return sorted(sorted(num_rows, key=lambda number: (-num_rows[number], number))[:MAX_CURVES])


def area_and_average(column: np.ndarray) -> tuple[float | None, float | None]:
    """(ROC AUC, average precision) of one class.

    Rows with the same probability are one step of the curves.

    Args:
        column: The codes of all rows in ascending order, uint32 [rows].
    """
    num_true, num_false = _num_rows(column)
    if not num_true or not num_false:
        return None, None

    twice_pairs = 0  # a true row above a false one counts 2, an equal pair counts 1
    average = 0.0
    true_seen = false_seen = 0  # rows of the steps before

    for _, true, false in steps(column):
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


def points(column: np.ndarray) -> Curve:
    """Exact points of the curves of one class, which has true and false rows.

    They are at even thresholds, and at those probabilities where the rows that are called positive
    pass a share of all true rows or of all false rows. So the points are close along both curves,
    however close the probabilities are.

    Args:
        column: The codes of all rows in ascending order, uint32 [rows].
    """
    totals = _num_rows(column)
    even = np.linspace(0, 1, NUM_EVEN + 1, dtype=np.float32).view(np.uint32)
    found: dict[int, tuple[int, int]] = {}  # bits of a threshold -> (true, false rows) from it on
    passed = [NUM_SHARES, NUM_SHARES]  # shares of all true, of all false rows
    left, num_even = list(totals), 0

    for values, true, false in steps(column):
        at_least = [
            total - np.cumsum(rows) + rows for total, rows in zip(left, (true, false), strict=True)
        ]
        chosen = np.zeros(len(values), bool)
        for which, (rows, total) in enumerate(zip(at_least, totals, strict=True)):
            shares = rows * NUM_SHARES // total
            chosen |= np.diff(shares, prepend=passed[which]) != 0
            passed[which] = int(shares[-1])

        for step in np.flatnonzero(chosen).tolist():
            found[int(values[step])] = (int(at_least[0][step]), int(at_least[1][step]))
        for step in np.searchsorted(values, even[num_even:]).tolist():
            if step == len(values):
                break
            found[int(even[num_even])] = (int(at_least[0][step]), int(at_least[1][step]))
            num_even += 1
        left = [left[0] - int(true.sum()), left[1] - int(false.sum())]

    found |= dict.fromkeys(even[num_even:].tolist(), (0, 0))
    bits = sorted(found)
    return {
        "num_positive": totals[0],
        "num_negative": totals[1],
        # The shortest decimal that is this float32.
        "thresholds": [float(str(value)) for value in np.array(bits, np.uint32).view(np.float32)],
        "true_positives": [found[threshold][0] for threshold in bits],
        "false_positives": [found[threshold][1] for threshold in bits],
    }


def _num_rows(column: np.ndarray) -> tuple[int, int]:
    """(true rows, false rows) of a column."""
    num_true = sum(int((block & 1).sum()) for block in _blocks(column))
    return num_true, len(column) - num_true


def _blocks(column: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(column), NUM_CODES):
        yield np.array(column[start : start + NUM_CODES])


def steps(column: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Counts rows by probability, in ascending order.

    Yields:
        (the bits of some probabilities, uint32; their true rows, their false rows, int64), each
        [steps]. All rows with the same probability are in one step.
    """
    last, open_true, open_rows = -1, 0, 0
    for block in _blocks(column):
        values, starts, rows = np.unique(block >> 1, return_index=True, return_counts=True)
        true = np.add.reduceat((block & 1).astype(np.int64), starts)
        if int(values[0]) == last:
            true[0] += open_true
            rows[0] += open_rows
        elif open_rows:
            yield _step(last, open_true, open_rows)

        # The last step may go on in the next block.
        last, open_true, open_rows = int(values[-1]), int(true[-1]), int(rows[-1])
        if len(values) > 1:
            yield values[:-1], true[:-1], (rows - true)[:-1]

    yield _step(last, open_true, open_rows)


def _step(bits: int, num_true: int, num_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([bits], np.uint32), np.array([num_true]), np.array([num_rows - num_true])
