"""Runs compared: figures, parameters, data, code and libraries, learning curves."""

import math
from collections.abc import Sequence
from typing import Any

from pipeline.report import model, reproduce, verdict
from pipeline.report.contents import digests, seconds_of
from pipeline.report.records import Records

# Figure -> the stage that measured it. Those of `OF_ROWS` say nothing of another data set.
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
OF_ROWS = {*HIGHER_IS_BETTER, "cross_entropy", "ece", "eval_loss"}
CURVES = ("val_accuracy", "val_loss")


def compare(*runs: Records) -> dict[str, Any]:
    """Compares two or more runs. Each difference is a run's value less the first run's.

    Returns:
        {runs, comparable, figures, gains, classes, parameters, digests, history}. comparable:
        whether all were measured on the same Examples; if not, figures that are of their rows have
        no difference and no best. Lists of values have one for each run, None where a run has none.
    """
    examples = [run.executions.get("example_gen") for run in runs]
    keys = [execution.key if execution else None for execution in examples]
    curves = [run.files.get("trainer") or {} for run in runs]
    is_comparable = keys[0] is not None and len(set(keys)) == 1

    return {
        "runs": [_head(run) for run in runs],
        "comparable": is_comparable,
        "figures": _figures(runs, is_comparable),
        "gains": [_gain(runs[0], run) if is_comparable else None for run in runs],
        "classes": _classes(runs, is_comparable),
        "parameters": _different([_parameters(run) for run in runs]),
        "digests": _different([_flat(digests(run)) for run in runs]),
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


def _figures(runs: Sequence[Records], is_comparable: bool) -> list[dict[str, Any]]:
    """The figures that at least one of the runs has, see `_values`, with their 95 % intervals."""
    figures = []
    for names, sign in ((HIGHER_IS_BETTER, 1), (LOWER_IS_BETTER, -1)):
        for name, stage in names.items():
            values = [run.figures(stage).get(name) for run in runs]
            row = _values(name, values, sign, is_comparable or name not in OF_ROWS)
            ends = [run.figures(stage).get(f"{name}_interval") for run in runs]
            figures.append(row | ({"intervals": ends} if any(ends) else {}))

    figures.append(_values("seconds", [seconds_of(run.record) for run in runs], -1))
    return [figure for figure in figures if any(value is not None for value in figure["values"])]


def _values(
    name: str, values: list[float | None], sign: int, is_comparable: bool = True
) -> dict[str, Any]:
    """{name, values, differences, best, and for two runs difference, better}.

    differences: from the first run's value. best: the places of the best values, [] if all are
    equal, or only one is known. better: whether the second run's value is; None if they are equal
    or one is missing. Where values are not comparable, all of these are as if one were missing.
    """
    first = values[0] if is_comparable else None
    differences = [
        None if first is None or value is None else value - first for value in values[1:]
    ]
    known = [value for value in values if value is not None]
    best: list[int] = []
    if is_comparable and len(set(known)) > 1:
        highest = max(known, key=lambda value: value * sign)
        best = [place for place, value in enumerate(values) if value == highest]

    row: dict[str, Any] = {"name": name, "values": values}
    if len(values) == 2:
        change = differences[0]
        row |= {"difference": change, "better": change * sign > 0 if change else None}
    return row | {"differences": [None, *differences], "best": best}


def _gain(first: Records, other: Records) -> dict[str, Any] | None:
    """The gain of accuracy over the first run, which was measured on the same rows.

    If one of the two was measured against the other, which was served then, it is known row by row.
    Otherwise the interval is that of two independent samples (R. Newcombe, Statistics in Medicine
    17, 1998, method 10), which is wider.

    Returns:
        {accuracy, interval, paired, num_gained, num_lost}, the last two None if it is not paired;
        None for the first run, and without an evaluation.
    """
    measured = [run.files["evaluator"] for run in (first, other) if "evaluator" in run.files]
    if first is other or len(measured) < 2:
        return None

    for one, than, sign in ((other, first, 1), (first, other, -1)):
        served = one.files["evaluator"].get("served") or {}
        if served and served.get("digest") == digests(than)["model"]:
            gained, interval = model.gain(served)
            ends = sorted(sign * end for end in interval)
            counts = (served["num_gained"], served["num_lost"])[::sign]
            return _gain_of(sign * gained, ends, *counts)

    (before, (low, high)), (after, (least, most)) = (
        (evaluation["accuracy"], evaluation["accuracy_interval"]) for evaluation in measured
    )
    gained = after - before
    return _gain_of(
        gained,
        [
            gained - math.hypot(after - least, high - before),
            gained + math.hypot(most - after, before - low),
        ],
    )


def _gain_of(
    gained: float,
    interval: Sequence[float],
    num_gained: int | None = None,
    num_lost: int | None = None,
) -> dict[str, Any]:
    return {
        "accuracy": gained,
        "interval": list(interval),
        "paired": num_gained is not None,
        "num_gained": num_gained,
        "num_lost": num_lost,
    }


def _classes(runs: Sequence[Records], is_comparable: bool) -> list[dict[str, Any]]:
    """F1 of each class, see `_values`, those that differ most first."""
    of_runs = [{row["label"]: row["f1"] for row in model.classes(run)} for run in runs]
    rows = []
    for label in dict.fromkeys(label for f1 in of_runs for label in f1):
        values = [f1.get(label) for f1 in of_runs]
        rows.append({"label": label, **_values("f1", values, 1, is_comparable)})
    return sorted(rows, key=lambda row: (-spread(row), row["label"]))


def spread(row: dict[str, Any]) -> float:
    """The distance of the greatest and the smallest value that are known."""
    known = [value for value in row["values"] if value is not None]
    return max(known) - min(known) if known else 0.0


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """The digests as one flat dict, without the artifacts' keys, which follow from the rest."""
    code = {f"code {stage}": digest for stage, digest in run["code"].items()}
    libraries = {f"library {name}": version for name, version in run["libraries"].items()}
    return {"data": run["data"], "model": run["model"], **code, **libraries}


def _different(of_runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """[{name, values}] of the names whose values differ."""
    rows = []
    for name in dict.fromkeys(name for values in of_runs for name in values):
        values = [known.get(name) for known in of_runs]
        if any(value != values[0] for value in values):
            rows.append({"name": name, "values": values})
    return rows
