"""Classification metrics from what was counted, and from the probabilities of rows. numpy only."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.evaluator.tally import NUM_BINS, UNIT, Calibration, Cells, Tally
from seqline.component import Figures
from seqline.intervals import Z_95, wilson_interval

# A probability of 0 in the logarithm is read as this, as Keras does.
EPSILON = 1e-7
# Samples of the bootstrap, and the numbers that are drawn at once.
NUM_SAMPLES = 1000
NUM_DRAWN = 1 << 20
# Accuracy counting the k likeliest classes.
TOP_K = (2, 3, 5)


def classification(labels: list[str], confusion: np.ndarray, cross_entropy: float) -> Figures:
    """confusion.

    [num_classes, num_classes] counts, rows true, columns predicted; labels in its order.

    A class that is never predicted has precision 0, as in scikit-learn with zero_division=0; macro
    F1 is the mean over the classes that occur, true or predicted.
    """
    total = int(confusion.sum())
    hits = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    return {
        "num_rows": total,
        "accuracy": int(hits.sum()) / total,
        "accuracy_interval": wilson_interval(int(hits.sum()) / total, total),
        "cross_entropy": cross_entropy,
        "macro_f1": float(f1[(support + predicted) > 0].mean()),
        "classes": {
            label: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "num_rows": int(support[index]),
            }
            for index, label in enumerate(labels)
        },
        "confusion_matrix": confusion.tolist(),
    }


def log_losses(probabilities: np.ndarray, class_id: np.ndarray) -> np.ndarray:
    """-log p(true class) in nats, float64 [batch].

    Probabilities [batch, num_classes], class_id [batch].
    """
    of_truth = probabilities[np.arange(len(class_id)), class_id].astype(np.float64)
    return -np.log(np.clip(of_truth, EPSILON, 1))


def ranks(probabilities: np.ndarray, class_id: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, int64 [batch].

    Of equals the later class comes first, as in scikit-learn.
    """
    of_truth = probabilities[np.arange(len(class_id)), class_id][:, None]
    later = np.arange(probabilities.shape[1]) > class_id[:, None]
    return ((probabilities > of_truth) | ((probabilities == of_truth) & later)).sum(axis=1)


def top_k(found: Mapping[int, int], num_classes: int) -> dict[str, float]:
    """k -> the share of rows whose true class is among the k likeliest. found.

    Rank of the true class -> rows.
    """
    total = sum(found.values())
    return {
        str(k): sum(found.get(rank, 0) for rank in range(k)) / total
        for k in TOP_K
        if k < num_classes
    }


def accuracy(cells: Cells) -> float:
    num_right = sum(count for (truth, predicted), count in cells.items() if truth == predicted)
    return num_right / sum(cells.values())


def macro_f1(cells: Cells) -> float:
    """The mean F1 of the classes that occur, true or predicted.

    A class that the labels do not have (-1) is none.
    """
    pairs, counts = _columns(cells)
    return float(_macro_f1(pairs, counts[None])[0])


def macro_f1_interval(cells: Cells) -> tuple[float, float]:
    """The middle 95 % of macro F1 over samples of the rows with replacement (B.

    Efron, Annals of Statistics 7, 1979).

    Rows of one cell are equal, so that a sample of rows is a sample of the cells' counts.
    """
    pairs, counts = _columns(cells)
    random = np.random.default_rng(0)
    num = max(1, NUM_DRAWN // len(counts))
    sizes = [min(num, NUM_SAMPLES - start) for start in range(0, NUM_SAMPLES, num)]
    found = [
        _macro_f1(pairs, random.multinomial(counts.sum(), counts / counts.sum(), size))
        for size in sizes
    ]
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)


def _columns(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """((true class, predicted class) [cells, 2], rows [cells]) in order."""
    return np.array(sorted(cells)), np.array([cells[each] for each in sorted(cells)])


def _macro_f1(pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of several samples, [samples]; pairs [cells, 2], counts [samples, cells]."""
    num_classes = int(pairs.max()) + 1
    right = pairs[:, 0] == pairs[:, 1]
    hits = np.zeros((len(counts), num_classes))
    hits[:, pairs[right, 0]] = counts[:, right]
    both = np.zeros((len(counts), num_classes))
    for column in pairs.T:
        order = np.argsort(column, kind="stable")
        order = order[column[order] >= 0]
        if len(order):
            classes, starts = np.unique(column[order], return_index=True)
            both[:, classes] += np.add.reduceat(counts[:, order], starts, axis=1)
    f1 = 2 * hits / np.maximum(both, 1)
    return f1.sum(axis=1) / (both > 0).sum(axis=1)


def mean_interval(total: int, squared: int, num: int) -> tuple[float, float]:
    """The 95 % interval of a mean of many rows by the normal distribution, from sums in units
    (components.evaluator.tally).
    """
    mean = total * UNIT / num
    half = Z_95 * math.sqrt(max(0.0, squared * UNIT / num - mean**2) / num)
    return max(0.0, mean - half), mean + half


def of_slice(tally: Tally, min_rows: int) -> Figures:
    """The figures of a slice.

    But for accuracy's, intervals only where it has rows enough to be judged.
    """
    num = tally.num_rows
    found: Figures = {
        "num_rows": num,
        "judged": num >= min_rows,
        "accuracy": accuracy(tally.cells),
        "accuracy_interval": wilson_interval(accuracy(tally.cells), num),
        "macro_f1": macro_f1(tally.cells),
        "macro_f1_interval": macro_f1_interval(tally.cells) if num >= min_rows else None,
        "cross_entropy": tally.loss * UNIT / num,
        "cross_entropy_interval": (
            mean_interval(tally.loss, tally.loss_squared, num) if num >= min_rows else None
        ),
    }
    return found


def calibration(found: Calibration) -> Figures:
    """{ece, curve}.

    The curve's bins that have rows; ECE is the mean distance of confidence and accuracy, weighted
    by rows.
    """
    curve: list[dict[str, Any]] = []
    for place, rows in sorted(found.rows.items()):
        confidence, right = found.confidence[place] * UNIT / rows, found.right[place]
        curve.append(
            {
                "low": place / NUM_BINS,
                "high": (place + 1) / NUM_BINS,
                "num_rows": rows,
                "confidence": confidence,
                "accuracy": right / rows,
                "accuracy_interval": wilson_interval(right / rows, rows),
            }
        )
    total = found.rows.total()
    ece = (
        sum(each["num_rows"] * abs(each["accuracy"] - each["confidence"]) for each in curve) / total
    )
    return {"ece": ece, "curve": curve}
