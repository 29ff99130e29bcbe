"""From what was measured to the figures of an evaluation."""

from collections.abc import Mapping, Sequence

import numpy as np

from components.evaluator import EvaluatorParams, gates, metrics, paired, slices, thresholds
from components.evaluator.measure import MeasureTask
from components.evaluator.served_version import ServedVersion
from components.evaluator.tally import UNIT, Measured, Tally
from seqline.component import Figures
from seqline.data import features
from seqline.data.evaluation import Curve
from seqline.model.served import labels_of, merge_labels

# So many slices by label are listed, those with the most rows. The others are judged all the same,
# and `classes` has their rows and accuracies, as recall.
MAX_LABELS = 1000

# One value of each class, or None for a class that has none.
OfClasses = list[float | None]


def figures_of(
    task: MeasureTask,
    measured: Measured,
    areas: tuple[OfClasses, OfClasses, Mapping[int, Curve]],
    params: EvaluatorParams,
    served: ServedVersion | None,
) -> Figures:
    """The fields of `seqline.data.evaluation.Evaluation` up to confidently_wrong, in their order.

    And `other_slices`, what the gates need to know of the slices that `slices` does not list.

    Args:
        task: What was measured.
        measured: The sums over all rows.
        areas: (ROC AUC of each class, average precision of each class, class -> its curves).
        params: The thresholds.
        served: The version that the model is compared with, if there is one.
    """
    overall, num_classes = measured.overall, len(task.labels)
    figures = metrics.classification(
        list(task.labels), overall.cells, overall.loss * UNIT / overall.num_rows
    )

    curve = metrics.calibration(measured.calibration)
    tables = ("confusion_matrix", "confusion_cells")
    confusion = {name: figures.pop(name) for name in tables if name in figures}
    classes = figures.pop("classes")
    for name, values in zip(("roc_auc", "pr_auc"), areas[:2], strict=True):
        for label, value in zip(task.labels, values, strict=True):
            classes[label][name] = value

    listed, other = [], []
    for feature in task.slices:
        names = _values(feature, measured)
        shown = _listed(feature, names, measured, params)
        listed += [_of_slice(feature, value, measured, params) for value in names if value in shown]
        other += [
            _of_other(feature, value, measured, params) for value in names if value not in shown
        ]

    num_judged = sum(of_slice["judged"] for of_slice in [*listed, *other])
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
        **confusion,
        "calibration": curve["curve"],
        "curves": {task.labels[number]: points for number, points in areas[2].items()},
        "slices": listed,
        "slices_left_out": {features.LABEL: len(other)} if other else None,
        "other_slices": other,
        **measured.listed(),
    }


def _mean(values: OfClasses) -> float | None:
    """The mean over the classes that have a value."""
    given = [value for value in values if value is not None]
    return float(np.mean(given)) if given else None


def _values(feature: str, measured: Measured) -> list[str]:
    values = [value for name, value in measured.slices if name == feature]
    return slices.in_order(feature, values)


def _listed(
    feature: str, values: Sequence[str], measured: Measured, params: EvaluatorParams
) -> set[str]:
    """The values of a feature whose slices are listed."""
    if feature != features.LABEL or len(values) <= MAX_LABELS:
        return set(values)

    # Python's sort is stable: of labels with as many rows, the first by name.
    most = sorted(values, key=lambda value: -measured.slices[feature, value].num_rows)
    own = {value for name, value in thresholds.named(params) if name == feature}
    return {*most[:MAX_LABELS], *own}


def _of_slice(feature: str, value: str, measured: Measured, params: EvaluatorParams) -> Figures:
    tally = measured.slices[feature, value]
    return {
        "feature": feature,
        "value": value,
        **metrics.of_slice(tally, params.min_slice_rows),
        "served": _served_on(tally, params),
    }


def _of_other(feature: str, value: str, measured: Measured, params: EvaluatorParams) -> Figures:
    """What a gate needs to know of a slice."""
    tally = measured.slices[feature, value]
    is_judged = tally.num_rows >= params.min_slice_rows
    return {
        "feature": feature,
        "value": value,
        "num_rows": tally.num_rows,
        "judged": is_judged,
        "accuracy": metrics.accuracy(tally.cells),
        "served": _served_on(tally, params) if is_judged else None,
    }


def _served_on(tally: Tally, params: EvaluatorParams) -> Figures | None:
    """The comparison with the served version on the rows of a slice, if there is one."""
    if not tally.served_cells:
        return None
    return paired.compare_with_served(tally, params.max_loss_of_accuracy or 0.0)


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
