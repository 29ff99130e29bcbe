"""What the evaluator and the trainer found, as a report shows it."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.records import Records
from seqline.intervals import wilson_interval

# Classes up to which the whole confusion matrix is in report.json.
NUM_CLASSES = 200
NUM_PAIRS = 20
FIGURES = ("accuracy", "macro_f1", "cross_entropy")


def compared(records: Records) -> list[dict[str, Any]]:
    """The candidate, the served version and the baselines on the same test rows.

    {role, name, figures and their intervals}.
    """
    found = records.files.get("evaluator")
    if not found:
        return []
    rows = [{"role": "candidate", "name": "this model", **_figures(found)}]
    if served := found.get("served"):
        version = (records.figures("evaluator").get("served") or {}).get("version")
        name = "served version" if version is None else f"served, version {version}"
        rows.append({"role": "served", "name": name, **_figures(served, found["num_rows"])})
    for name, accuracy in found.get("baselines", {}).items():
        rows.append(
            {
                "role": "baseline",
                "name": name,
                **_figures({"accuracy": accuracy}, found["num_rows"]),
            }
        )
    return rows


def better_baseline(compared: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The baseline with the highest accuracy, if that is above the candidate's. compared.

    See `compared`.
    """
    baselines = [
        each
        for each in compared
        if each["role"] == "baseline" and each["accuracy"] > compared[0]["accuracy"]
    ]
    return max(baselines, key=lambda each: each["accuracy"], default=None)


def _figures(found: dict[str, Any], num_rows: int | None = None) -> dict[str, Any]:
    figures = {name: found.get(name) for each in FIGURES for name in (each, f"{each}_interval")}
    if figures["accuracy_interval"] is None and num_rows:
        figures["accuracy_interval"] = wilson_interval(found["accuracy"], num_rows)
    return figures


def gain(served: dict[str, Any]) -> tuple[float, tuple[float, float]]:
    """The difference of accuracy to the served version, and its 95 % interval. served.

    As in evaluation.json, which tells of losses.
    """
    low, high = served["loss_interval"]
    return -served["loss_of_accuracy"] + 0.0, (-high + 0.0, -low + 0.0)


def more_figures(records: Records) -> dict[str, float | None]:
    """Of the candidate alone."""
    found = records.files.get("evaluator") or {}
    names = ("roc_auc", "pr_auc", "ece")
    figures = {name: found[name] for name in names if name in found}
    return figures | {
        f"top_{k}_accuracy": value for k, value in found.get("top_k_accuracy", {}).items()
    }


def training(records: Records) -> dict[str, Any] | None:
    """{history: figure -> its value in each epoch, and the trainer's figures}."""
    history, figures = records.files.get("trainer"), records.figures("trainer")
    return {"history": history or {}, **figures} if history or figures else None


def classes(records: Records) -> list[dict[str, Any]]:
    found = (records.files.get("evaluator") or {}).get("classes", {})
    return [{"label": label, **figures} for label, figures in found.items()]


def confusion(records: Records) -> dict[str, Any] | None:
    """{labels, matrix [true][predicted] or None where it is too large, pairs.

    The most frequent confusions, num_pairs and num_wrong: of all}.
    """
    found = records.files.get("evaluator") or {}
    if "confusion_matrix" not in found:
        return None
    labels, matrix = list(found["classes"]), found["confusion_matrix"]
    wrong = [
        count
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    told = {"pairs": pairs(labels, matrix), "num_pairs": len(wrong), "num_wrong": sum(wrong)}
    return {"labels": labels, "matrix": matrix if len(labels) <= NUM_CLASSES else None, **told}


def pairs(
    labels: Sequence[str], matrix: Sequence[Sequence[int]], num: int = NUM_PAIRS
) -> list[dict[str, Any]]:
    """The classes that are most often taken for another.

    {label, predicted, num_rows, share: of the label's rows}.
    """
    cells = [
        (-count, row, column)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return [
        {
            "label": labels[row],
            "predicted": labels[column],
            "num_rows": -count,
            "share": -count / sum(matrix[row]),
        }
        for count, row, column in sorted(cells)[:num]
    ]


def evaluated(records: Records) -> dict[str, Any]:
    """The parts of an evaluation that are shown as they are; empty where it has none."""
    found = records.files.get("evaluator") or {}
    return {
        "metrics": more_figures(records),
        "against_served": found.get("served"),
        "slices": found.get("slices", []),
        "calibration": (
            {"ece": found.get("ece"), "curve": found["calibration"]}
            if found.get("calibration")
            else None
        ),
        "examples": {name: found.get(name, []) for name in ("hardest", "confidently_wrong")},
    }


def place(example: dict[str, Any]) -> str:
    """Where a listed row is.

    In the user's own file where that is known, otherwise in the Examples.
    """
    source = example.get("source")
    if not source:
        return f"row {example['row'] + 1:,} of {example['shard']} in the Examples"
    if "line" in source:
        return f"{source['file']}:{source['line']}"
    return f"{source['file']}, row {source['row']:,}" if "row" in source else str(source["file"])
