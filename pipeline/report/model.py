"""The results of the evaluator and the trainer, as a report shows them."""

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.report.records import Records
from seqline.intervals import wilson_interval

# Up to this many classes the whole confusion matrix is in report.json.
NUM_CLASSES = 200
NUM_PAIRS = 20
FIGURES = ("accuracy", "macro_f1", "cross_entropy")

# The baseline that is of all rows of test, however many there are.
MAJORITY = "majority class"

# (true class, predicted class, rows)
Cell = tuple[int, int, int]


def compared(records: Records) -> list[dict[str, Any]]:
    """The candidate, the served version and the baselines on the same test rows.

    Returns:
        [{role, name, figures and their intervals}], the candidate first; empty if there is no
        evaluation.
    """
    evaluation = records.files.get("evaluator")
    if not evaluation:
        return []

    num_rows = evaluation["num_rows"]
    rows = [{"role": "candidate", "name": "this model", **_figures(evaluation)}]

    if served := evaluation.get("served"):
        version = (records.figures("evaluator").get("served") or {}).get("version")
        name = "served version" if version is None else f"served, version {version}"
        rows.append({"role": "served", "name": name, **_figures(served, num_rows)})
    asked = (evaluation.get("linear_sample") or {}).get("num_asked", num_rows)
    for name, accuracy in evaluation.get("baselines", {}).items():
        figures = _figures({"accuracy": accuracy}, num_rows if name == MAJORITY else asked)
        rows.append({"role": "baseline", "name": name, **figures})

    return rows


def better_baseline(compared: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of the best baseline in `compared`, if it is better than the candidate."""
    better = [
        row
        for row in compared
        if row["role"] == "baseline" and row["accuracy"] > compared[0]["accuracy"]
    ]
    return max(better, key=lambda row: row["accuracy"], default=None)


def _figures(evaluation: dict[str, Any], num_rows: int | None = None) -> dict[str, Any]:
    figures = {}
    for name in FIGURES:
        figures[name] = evaluation.get(name)
        figures[f"{name}_interval"] = evaluation.get(f"{name}_interval")
    if figures["accuracy_interval"] is None and num_rows:
        figures["accuracy_interval"] = wilson_interval(evaluation["accuracy"], num_rows)
    return figures


def gain(served: dict[str, Any]) -> tuple[float, tuple[float, float]]:
    """The gain of accuracy over the served version, and its 95 % interval.

    Args:
        served: as in evaluation.json, which has the loss.
    """
    low, high = served["loss_interval"]
    return -served["loss_of_accuracy"] + 0.0, (-high + 0.0, -low + 0.0)


def more_figures(records: Records) -> dict[str, float | None]:
    """The figures that only the candidate has."""
    evaluation = records.files.get("evaluator") or {}
    names = ("roc_auc", "pr_auc", "ece")
    figures = {name: evaluation[name] for name in names if name in evaluation}
    return figures | {
        f"top_{k}_accuracy": value for k, value in evaluation.get("top_k_accuracy", {}).items()
    }


def training(records: Records) -> dict[str, Any] | None:
    """The trainer's figures, and in `history` the value of each figure in each epoch."""
    history, figures = records.files.get("trainer"), records.figures("trainer")
    return {"history": history or {}, **figures} if history or figures else None


def classes(records: Records) -> list[dict[str, Any]]:
    """[{label, figures}] of the classes; empty if there is no evaluation."""
    by_label = (records.files.get("evaluator") or {}).get("classes", {})
    return [{"label": label, **figures} for label, figures in by_label.items()]


def confusion(records: Records) -> dict[str, Any] | None:
    """The confusions between classes.

    Returns:
        {labels, matrix, pairs, num_pairs, num_wrong}. matrix: [true][predicted], or None if it is
        too large. pairs: the most frequent confusions. num_pairs, num_wrong: of all confusions.
        None if there is no evaluation.
    """
    evaluation = records.files.get("evaluator") or {}
    if "confusion_matrix" not in evaluation:
        return None

    labels, matrix = list(evaluation["classes"]), evaluation["confusion_matrix"]
    cells = evaluation.get("confusion_cells") if matrix is None else _cells(matrix)
    if cells is None:
        return None

    wrong = [count for row, column, count in cells if row != column]
    told = {"pairs": pairs(labels, cells), "num_pairs": len(wrong), "num_wrong": sum(wrong)}
    return {"labels": labels, "matrix": matrix if len(labels) <= NUM_CLASSES else None, **told}


def _cells(matrix: Sequence[Sequence[int]]) -> list[Cell]:
    """The cells of a confusion matrix that have rows."""
    return [
        (row, column, count)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count
    ]


def pairs(
    labels: Sequence[str], cells: Sequence[Cell], num: int = NUM_PAIRS
) -> list[dict[str, Any]]:
    """The most frequent confusions.

    Returns:
        [{label, predicted, num_rows, share}]; share is that of the label's rows.
    """
    num_rows: Counter[int] = Counter()
    for row, _, count in cells:
        num_rows[row] += count

    wrong = [(-count, row, column) for row, column, count in cells if row != column]
    return [
        {
            "label": labels[row],
            "predicted": labels[column],
            "num_rows": -count,
            "share": -count / num_rows[row],
        }
        for count, row, column in heapq.nsmallest(num, wrong)
    ]


def evaluated(records: Records) -> dict[str, Any]:
    """The parts of an evaluation that are shown as they are; empty if it has none."""
    evaluation = records.files.get("evaluator") or {}
    return {
        "metrics": more_figures(records),
        "against_served": evaluation.get("served"),
        "linear_sample": evaluation.get("linear_sample"),
        "slices": evaluation.get("slices", []),
        "slices_left_out": evaluation.get("slices_left_out") or {},
        "calibration": (
            {"ece": evaluation.get("ece"), "curve": evaluation["calibration"]}
            if evaluation.get("calibration")
            else None
        ),
        "curves": evaluation.get("curves") or {},
        "examples": {name: evaluation.get(name, []) for name in ("hardest", "confidently_wrong")},
    }


def place(example: dict[str, Any]) -> str:
    """Where a listed row is: in the user's own file if that is known, or else in the Examples."""
    source = example.get("source")
    if not source:
        return f"row {example['row'] + 1:,} of {example['shard']} in the Examples"
    if "line" in source:
        return f"{source['file']}:{source['line']}"
    return f"{source['file']}, row {source['row']:,}" if "row" in source else str(source["file"])
