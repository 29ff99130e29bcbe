"""Classification metrics from a confusion matrix and the probabilities. numpy only."""

import math

import numpy as np

from components.base import Figures

# Wilson's interval covers the true rate in 95 % of samples with this quantile of the normal distribution.
Z_95 = 1.959963984540054
# A probability of 0 in the logarithm is read as this, as Keras does.
EPSILON = 1e-7


def classification(labels: list[str], confusion: np.ndarray, cross_entropy: float) -> Figures:
    """confusion: [num_classes, num_classes] counts, rows true, columns predicted; labels in its order.

    A class that is never predicted has precision 0, as in scikit-learn with zero_division=0; macro F1 is the mean over the
    classes that occur, true or predicted.
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
        "accuracy_interval": wilson_interval(int(hits.sum()), total),
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


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a rate: E. B. Wilson, Journal of the American Statistical Association 22, 1927."""
    rate, weight = hits / total, Z_95**2 / total
    centre = (rate + weight / 2) / (1 + weight)
    half = Z_95 * math.sqrt(rate * (1 - rate) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def sum_of_log_losses(probabilities: np.ndarray, class_id: np.ndarray) -> float:
    """Sum over the rows of -log p(true class), in nats; probabilities [batch, num_classes], class_id [batch]."""
    of_truth = probabilities[np.arange(len(class_id)), class_id].astype(np.float64)
    return float(-np.log(np.clip(of_truth, EPSILON, 1)).sum())
