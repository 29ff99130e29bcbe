"""Classification metrics from sums over rows, and from the probabilities of rows. numpy only."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.evaluator.tally import NUM_BINS, UNIT, Calibration, Cells, Tally, confusion
from seqline.component import Figures
from seqline.data.evaluation import MAX_DENSE_CLASSES
from seqline.intervals import Z_95, wilson_interval

# Smaller probabilities count as this in a logarithm, as in Keras.
EPSILON = 1e-7
# Samples of the bootstrap, and the numbers that are drawn at once.
NUM_SAMPLES = 1000
NUM_DRAWN = 1 << 20
# Up to so many classes the samples have a column for each class, also for one without rows.
NUM_COLUMNS = 1000
# The k of top-k accuracy.
TOP_K = (2, 3, 5)


def classification(labels: list[str], cells: Cells, cross_entropy: float) -> Figures:
    """The metrics that follow from the confusion of classes.

    A class that is never predicted has precision 0, as in scikit-learn with zero_division=0. Macro
    F1 is the mean over the classes that occur, true or predicted.

    Args:
        labels: The label of each class.
        cells: Rows by true and predicted class. None may be of an unknown class.
        cross_entropy: In nats; it is among the figures as it is.
    """
    pairs, counts = _columns(cells)
    num_rows = int(counts.sum())
    hits, support, predicted = np.zeros((3, len(labels)), np.int64)
    is_right = pairs[:, 0] == pairs[:, 1]
    np.add.at(hits, pairs[is_right, 0], counts[is_right])
    np.add.at(support, pairs[:, 0], counts)
    np.add.at(predicted, pairs[:, 1], counts)
    accuracy = int(hits.sum()) / num_rows
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)

    return {
        "num_rows": num_rows,
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, num_rows),
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
        **_confusion(cells, len(labels)),
    }


def _confusion(cells: Cells, num_classes: int) -> Figures:
    """The confusion matrix of few classes, or else the cells of it that have rows."""
    if num_classes <= MAX_DENSE_CLASSES:
        return {"confusion_matrix": confusion(cells, num_classes).tolist()}

    held = [[truth, predicted, cells[truth, predicted]] for truth, predicted in sorted(cells)]
    return {"confusion_matrix": None, "confusion_cells": held}


def log_losses(probabilities: np.ndarray, class_id: np.ndarray) -> np.ndarray:
    """-log p(true class) of each row in nats, float64 [batch].

    Args:
        probabilities: [batch, num_classes].
        class_id: The true class [batch].
    """
    of_truth = probabilities[np.arange(len(class_id)), class_id].astype(np.float64)
    return -np.log(np.clip(of_truth, EPSILON, 1))


def ranks(probabilities: np.ndarray, class_id: np.ndarray) -> np.ndarray:
    """The number of classes that come before the true one, int64 [batch].

    Of two equally likely classes the later one comes first, as in scikit-learn.

    Args:
        probabilities: [batch, num_classes].
        class_id: The true class [batch].
    """
    of_truth = probabilities[np.arange(len(class_id)), class_id][:, None]
    later = np.arange(probabilities.shape[1]) > class_id[:, None]
    return ((probabilities > of_truth) | ((probabilities == of_truth) & later)).sum(axis=1)


def top_k(ranks: Mapping[int, int], num_classes: int) -> dict[str, float]:
    """k -> the share of rows whose true class is among the k likeliest.

    Args:
        ranks: Rank of the true class, from 0 -> rows.
        num_classes: A greater k is left out: every row is right.
    """
    total = sum(ranks.values())
    return {
        str(k): sum(ranks.get(rank, 0) for rank in range(k)) / total
        for k in TOP_K
        if k < num_classes
    }


def accuracy(cells: Cells) -> float:
    """The share of rows whose predicted class is the true one."""
    num_right = sum(count for (truth, predicted), count in cells.items() if truth == predicted)
    return num_right / sum(cells.values())


def macro_f1(cells: Cells) -> float:
    """The mean F1 of the classes that occur, true or predicted.

    A class that is not among the labels (-1) does not count.
    """
    pairs, counts = _columns(cells)
    return float(_macro_f1(pairs, counts[None])[0])


def macro_f1_interval(cells: Cells) -> tuple[float, float]:
    """The bootstrap interval: the middle 95 % of macro F1 over samples of the rows.

    A sample is drawn with replacement (B. Efron, Annals of Statistics 7, 1979). All rows of a cell
    are equal, so a sample of the rows is a sample of the cells' counts.
    """
    pairs, counts = _columns(cells)
    random = np.random.default_rng(0)
    shares = counts / counts.sum()
    at_once = max(1, NUM_DRAWN // len(counts))

    samples = []
    for start in range(0, NUM_SAMPLES, at_once):
        size = min(at_once, NUM_SAMPLES - start)
        drawn = random.multinomial(counts.sum(), shares, size)  # [size, cells]
        samples.append(_macro_f1(pairs, drawn))

    low, high = np.quantile(np.concatenate(samples), [0.025, 0.975])
    return float(low), float(high)


def _columns(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """((true class, predicted class) [cells, 2], rows [cells]), in the order of the classes."""
    pairs = sorted(cells)
    return np.array(pairs), np.array([cells[pair] for pair in pairs])


def _macro_f1(pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The macro F1 of several samples, [samples].

    Args:
        pairs: (true class, predicted class) of each cell, [cells, 2].
        counts: Rows of each cell, [samples, cells].
    """
    num_classes = int(pairs.max()) + 1
    if num_classes > NUM_COLUMNS:
        pairs, num_classes = _renumbered(pairs)

    right = pairs[:, 0] == pairs[:, 1]
    hits = np.zeros((len(counts), num_classes))
    hits[:, pairs[right, 0]] = counts[:, right]

    both = np.zeros((len(counts), num_classes))  # rows of the class plus predictions of it
    for column in pairs.T:
        order = np.argsort(column, kind="stable")
        order = order[column[order] >= 0]
        if len(order):
            classes, starts = np.unique(column[order], return_index=True)
            both[:, classes] += np.add.reduceat(counts[:, order], starts, axis=1)

    f1 = 2 * hits / np.maximum(both, 1)
    return f1.sum(axis=1) / (both > 0).sum(axis=1)


def _renumbered(pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """The pairs with the classes that they have as 0, 1, ..., and how many these are.

    Unknown classes stay -1.
    """
    classes = np.unique(pairs)
    first = int((classes < 0).sum())
    return np.searchsorted(classes, pairs) - first, len(classes) - first


def mean_interval(total: int, squared: int, num: int) -> tuple[float, float]:
    """The 95 % interval of a mean of many rows, by the normal distribution.

    Args:
        total: The sum of the numbers, in units of `components.evaluator.tally`.
        squared: The sum of their squares, in the same units.
        num: The number of rows.
    """
    mean = total * UNIT / num
    half = Z_95 * math.sqrt(max(0.0, squared * UNIT / num - mean**2) / num)
    return max(0.0, mean - half), mean + half


def of_slice(tally: Tally, min_rows: int) -> Figures:
    """The figures of a slice.

    A slice with fewer than `min_rows` rows is not judged. It has an interval of its accuracy only.
    """
    num_rows = tally.num_rows
    is_judged = num_rows >= min_rows
    f1_interval = loss_interval = None
    if is_judged:
        f1_interval = macro_f1_interval(tally.cells)
        loss_interval = mean_interval(tally.loss, tally.loss_squared, num_rows)

    return {
        "num_rows": num_rows,
        "judged": is_judged,
        "accuracy": accuracy(tally.cells),
        "accuracy_interval": wilson_interval(accuracy(tally.cells), num_rows),
        "macro_f1": macro_f1(tally.cells),
        "macro_f1_interval": f1_interval,
        "cross_entropy": tally.loss * UNIT / num_rows,
        "cross_entropy_interval": loss_interval,
    }


def calibration(sums: Calibration) -> Figures:
    """The calibration curve and the expected calibration error.

    Returns:
        {ece: the mean distance of confidence and accuracy, weighted by rows; curve: the bins that
        have rows}.
    """
    curve: list[dict[str, Any]] = []
    for number, num_rows in sorted(sums.rows.items()):
        accuracy = sums.right[number] / num_rows
        curve.append(
            {
                "low": number / NUM_BINS,
                "high": (number + 1) / NUM_BINS,
                "num_rows": num_rows,
                "confidence": sums.confidence[number] * UNIT / num_rows,
                "accuracy": accuracy,
                "accuracy_interval": wilson_interval(accuracy, num_rows),
            }
        )

    distance = sum(
        point["num_rows"] * abs(point["accuracy"] - point["confidence"]) for point in curve
    )
    return {"ece": distance / sums.rows.total(), "curve": curve}
