"""The ROC and the precision-recall curves of an evaluation: points, means, thresholds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.report.plots import NamedLine, Point, share_chart

# Steps of the axis on which the mean curve is taken.
NUM_STEPS = 50
# Up to so many classes each has a colour; of more, the mean has.
NUM_COLOURED = 2

Curves = Mapping[str, Mapping[str, Any]]


def roc(curve: Mapping[str, Any]) -> list[Point]:
    """(false positive rate, recall) from (0, 0) to (1, 1)."""
    points = [(0.0, 0.0)]
    for true, false in _counts(curve):
        points.append((false / curve["num_negative"], true / curve["num_positive"]))
    return list(dict.fromkeys(points))


def precision_recall(curve: Mapping[str, Any]) -> list[Point]:
    """(recall, precision) from recall 0, which has the precision of the next point, to recall 1."""
    points = [
        (true / curve["num_positive"], true / (true + false))
        for true, false in _counts(curve)
        if true + false
    ]
    return list(dict.fromkeys([(0.0, points[0][1]), *points]))


def _counts(curve: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(true, false positives) from the highest threshold to 0."""
    counts = zip(curve["true_positives"], curve["false_positives"], strict=False)
    return list(counts)[::-1]


def mean(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean height of several lines, at even steps of the axis."""
    steps = [step / NUM_STEPS for step in range(NUM_STEPS + 1)]
    return [(step, sum(height(line, step) for line in lines) / len(lines)) for step in steps]


def height(line: Sequence[Point], at: float) -> float:
    """The height of a line at a place of the axis; the greatest where it rises or falls there."""
    there = [y for x, y in line if x == at]
    if there:
        return max(there)

    left = max((point for point in line if point[0] < at), default=line[0])
    right = min((point for point in line if point[0] > at), default=line[-1])
    # Of the points at the right end's place, the first that the line reaches.
    right = next(point for point in line if point[0] == right[0])
    left = next(point for point in reversed(line) if point[0] == left[0])
    part = (at - left[0]) / (right[0] - left[0])
    return left[1] + part * (right[1] - left[1])


def best_threshold(curve: Mapping[str, Any]) -> dict[str, float]:
    """The threshold with the highest F1, of those that are points; of equals, the highest."""
    best = {"threshold": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    thresholds = list(curve["thresholds"])[::-1]
    for threshold, (true, false) in zip(thresholds, _counts(curve), strict=False):
        f1 = 2 * true / (curve["num_positive"] + true + false)
        if f1 > best["f1"]:
            best = {
                "threshold": threshold,
                "precision": true / (true + false),
                "recall": true / curve["num_positive"],
                "f1": f1,
            }
    return best


def drawn(curves: Curves, classes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the page shows of the curves; None without any.

    Args:
        curves: label -> its curve.
        classes: the report's, with the areas of each class.

    Returns:
        {roc, precision_recall: pictures; num; coloured: the label of each coloured line, worst: the
        class with the smallest area under the precision-recall curve, each None if it is not drawn;
        rows: [{label, num_rows, threshold, precision, recall, f1}]}.
    """
    if not curves:
        return None

    areas = {row["label"]: row for row in classes}
    is_coloured = len(curves) <= NUM_COLOURED
    worst = None
    known = [label for label in curves if (areas.get(label) or {}).get("pr_auc") is not None]
    if not is_coloured and known:
        worst = min(known, key=lambda label: areas[label]["pr_auc"])

    def picture(name: str, title: str, points: Callable[..., list[Point]], area: str) -> Any:
        lines = []
        for index, (label, curve) in enumerate(curves.items()):
            style = f"s{index + 1}" if is_coloured else "s2" if label == worst else "thin"
            value = (areas.get(label) or {}).get(area)
            lines.append(NamedLine(label, style, points(curve), value))
        # The coloured lines are drawn over the others.
        lines.sort(key=lambda line: line.style != "thin")
        if not is_coloured:
            lines.append(NamedLine("", "s1", mean([points(curve) for curve in curves.values()])))
        return share_chart(name, title, lines, diagonal=points is roc)

    return {
        "roc": picture("picture-roc", "ROC curves", roc, "roc_auc"),
        "precision_recall": picture(
            "picture-pr", "Precision-recall curves", precision_recall, "pr_auc"
        ),
        "num": len(curves),
        "coloured": list(curves) if is_coloured else None,
        "worst": worst,
        "rows": [
            {"label": label, "num_rows": curve["num_positive"], **best_threshold(curve)}
            for label, curve in curves.items()
        ],
    }
