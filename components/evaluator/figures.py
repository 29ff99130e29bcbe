"""From what was measured to the figures of an evaluation."""

import numpy as np

from components.evaluator import EvaluatorParams, gates, metrics, paired, slices
from components.evaluator.measure import MeasureTask
from components.evaluator.served_version import ServedVersion
from components.evaluator.tally import UNIT, Measured, confusion
from seqline.component import Figures
from seqline.model.served import labels_of, merge_labels

# One value of each class, or None for a class that has none.
OfClasses = list[float | None]


def figures_of(
    task: MeasureTask,
    measured: Measured,
    areas: tuple[OfClasses, OfClasses],
    params: EvaluatorParams,
    served: ServedVersion | None,
) -> Figures:
    """The fields of `seqline.data.evaluation.Evaluation` up to confidently_wrong, in their order.

    Args:
        task: What was measured.
        measured: The sums over all rows.
        areas: (ROC AUC, average precision) of each class.
        params: The thresholds.
        served: The version that the model is compared with, if there is one.
    """
    overall, num_classes = measured.overall, len(task.labels)
    figures = metrics.classification(
        list(task.labels),
        confusion(overall.cells, num_classes),
        overall.loss * UNIT / overall.num_rows,
    )

    curve = metrics.calibration(measured.calibration)
    classes, matrix = figures.pop("classes"), figures.pop("confusion_matrix")
    for name, values in zip(("roc_auc", "pr_auc"), areas, strict=True):
        for label, value in zip(task.labels, values, strict=True):
            classes[label][name] = value

    of_slices = [
        _of_slice(feature, value, measured, params)
        for feature in task.slices
        for value in _values(feature, measured)
    ]

    num_judged = sum(of_slice["judged"] for of_slice in of_slices)
    return figures | {
        "cross_entropy_interval": metrics.mean_interval(
            overall.loss, overall.loss_squared, overall.num_rows
        ),
        "macro_f1_interval": metrics.macro_f1_interval(overall.cells),
        "roc_auc": _mean(areas[0]),
        "pr_auc": _mean(areas[1]),
        "top_k_accuracy": metrics.top_k(measured.ranks, num_classes),
        "ece": curve["ece"],
        "num_not_finite": measured.num_not_finite,
        "served": _against_served(task, measured, params, served, num_judged) if served else None,
        "classes": classes,
        "confusion_matrix": matrix,
        "calibration": curve["curve"],
        "slices": of_slices,
        **measured.listed(),
    }


def _mean(values: OfClasses) -> float | None:
    """The mean over the classes that have a value."""
    given = [value for value in values if value is not None]
    return float(np.mean(given)) if given else None


def _values(feature: str, measured: Measured) -> list[str]:
    values = [value for name, value in measured.slices if name == feature]
    return slices.in_order(feature, values)


def _of_slice(feature: str, value: str, measured: Measured, params: EvaluatorParams) -> Figures:
    tally = measured.slices[feature, value]
    served = None
    if tally.served_cells:
        served = paired.compare_with_served(tally, params.max_loss_of_accuracy or 0.0)

    return {
        "feature": feature,
        "value": value,
        **metrics.of_slice(tally, params.min_slice_rows),
        "served": served,
    }


def _against_served(
    task: MeasureTask,
    measured: Measured,
    params: EvaluatorParams,
    served: ServedVersion,
    num_judged: int,
) -> Figures:
    """The comparison on all rows, and the levels for it and for `num_judged` slices."""
    their_labels, _ = merge_labels(labels_of(served.uri))
    level, slice_level = gates.levels(num_judged, params.alpha)
    return {
        "digest": served.digest,
        **paired.compare_with_served(measured.overall, params.max_loss_of_accuracy or 0.0),
        "level": level,
        "slice_level": slice_level,
        "new_labels": [label for label in task.labels if label not in their_labels],
        "lost_labels": [label for label in their_labels if label not in task.labels],
    }
