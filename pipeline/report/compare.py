"""Two runs compared: figures, parameters, data, code and libraries, learning curves."""

from typing import Any

from pipeline.report import model, reproduce, verdict
from pipeline.report.contents import digests, seconds_of
from pipeline.report.records import Records

# Figure -> the stage that measured it.
HIGHER_IS_BETTER = {
    "accuracy": "evaluator",
    "macro_f1": "evaluator",
    "roc_auc": "evaluator",
    "pr_auc": "evaluator",
    "eval_accuracy": "trainer",
}
LOWER_IS_BETTER = {
    "cross_entropy": "evaluator",
    "ece": "evaluator",
    "eval_loss": "trainer",
    "num_parameters": "trainer",
    "num_bytes": "exporter",
    "p50_seconds": "infra_validator",
    "p99_seconds": "infra_validator",
    "rss_mb": "infra_validator",
    "load_seconds": "infra_validator",
}
CURVES = ("val_accuracy", "val_loss")


def compare(first: Records, second: Records) -> dict[str, Any]:
    """Compares two runs. Each difference is the second run's value less the first run's.

    Returns:
        {runs, comparable, figures, classes, parameters, digests, history}. comparable: whether both
        were measured on the same Examples; if not, no difference of their figures means anything.
    """
    both = (first, second)
    examples = [run.executions.get("example_gen") for run in both]
    keys = [execution.key if execution else None for execution in examples]
    curves = [run.files.get("trainer") or {} for run in both]

    return {
        "runs": [_head(run) for run in both],
        "comparable": keys[0] is not None and keys[0] == keys[1],
        "figures": _figures(first, second),
        "classes": _classes(first, second),
        "parameters": _different(_parameters(first), _parameters(second)),
        "digests": _different(_flat(digests(first)), _flat(digests(second))),
        "history": {name: [curve.get(name, []) for curve in curves] for name in CURVES},
    }


def _head(run: Records) -> dict[str, Any]:
    return {
        "run": run.name,
        "model": reproduce.name_of(run),
        "verdict": verdict.name_of(run),
        "started": run.record.started,
    }


def _parameters(run: Records) -> dict[str, Any]:
    return {parameter["name"]: parameter["value"] for parameter in reproduce.parameters(run)}


def _figures(first: Records, second: Records) -> list[dict[str, Any]]:
    """[{name, values, difference, better}] of the figures that at least one of the runs has.

    better: whether the second run's is; None if they are equal or one is missing.
    """
    figures = []
    for names, sign in ((HIGHER_IS_BETTER, 1), (LOWER_IS_BETTER, -1)):
        for name, stage in names.items():
            values = (first.figures(stage).get(name), second.figures(stage).get(name))
            figures.append(_difference(name, *values, sign))

    seconds = (seconds_of(first.record), seconds_of(second.record))
    figures.append(_difference("seconds", *seconds, -1))

    return [figure for figure in figures if figure["values"] != [None, None]]


def _difference(name: str, one: float | None, other: float | None, sign: int) -> dict[str, Any]:
    difference = None if one is None or other is None else other - one
    return {
        "name": name,
        "values": [one, other],
        "difference": difference,
        "better": difference * sign > 0 if difference else None,
    }


def _classes(first: Records, second: Records) -> list[dict[str, Any]]:
    """F1 of each class, the greatest differences first."""
    ones = {row["label"]: row["f1"] for row in model.classes(first)}
    others = {row["label"]: row["f1"] for row in model.classes(second)}
    rows = [
        {"label": label, **_difference("f1", ones.get(label), others.get(label), 1)}
        for label in {**ones, **others}
    ]
    return sorted(rows, key=lambda row: (-abs(row["difference"] or 0), row["label"]))


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """The digests as one flat dict, without the artifacts' keys, which follow from the rest."""
    code = {f"code {stage}": digest for stage, digest in run["code"].items()}
    libraries = {f"library {name}": version for name, version in run["libraries"].items()}
    return {"data": run["data"], "model": run["model"], **code, **libraries}


def _different(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """[{name, values}] of the names whose values differ."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return [{"name": name, "values": [one.get(name), other.get(name)]} for name in names]
