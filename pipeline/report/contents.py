"""A report as data: what report.html and report.md show, and report.json holds as it is.

docs/reports.md describes it.
"""

import math
from datetime import datetime
from typing import Any

from pipeline.report import data, model, next_steps, reproduce, tuning, verdict
from pipeline.report.records import Records
from pipeline.store.records import RunRecord
from seqline import __version__
from seqline.component import Component

FORMAT = "seqline-report/2"
# Stages that not every pipeline has. They are not expected of a run that did not record its plan.
ON_DEMAND = ("tuner", "span_validator", "bulk_inferrer")


def contents(records: Records, root: str) -> dict[str, Any]:
    """The report of a run.

    Args:
        records: the run's.
        root: where the run's store is, as it is shown.

    Returns:
        JSON values only: a number that is not finite is None.
    """
    record = records.record
    report = {
        "format": FORMAT,
        "run": records.name,
        "model": reproduce.name_of(records),
        "root": root,
        "started": record.started,
        "finished": record.finished,
        "seconds": seconds_of(record),
        "seqline": record.about.get("seqline"),
        "python": record.about.get("python"),
        "reported_by": __version__,
        "verdict": verdict.verdict(records),
        "next_steps": next_steps.next_steps(records, root),
        "warnings": [*records.damaged, *data.warnings(records)],
        "compared": model.compared(records),
        **model.evaluated(records),
        "gates": verdict.gates(records),
        "tuning": tuning.tuning(records),
        "training": model.training(records),
        "classes": model.classes(records),
        "confusion": model.confusion(records),
        "data": data.data(records),
        "stages": stages(records),
        "digests": digests(records),
        "parameters": reproduce.parameters(records),
        "commands": reproduce.commands(records, root),
    }
    return _finite(report)


def seconds_of(record: RunRecord) -> float | None:
    """How long a run took; None if its record does not say."""
    if not record.started or not record.finished:
        return None
    started = datetime.fromisoformat(record.started)
    finished = datetime.fromisoformat(record.finished)
    return round((finished - started).total_seconds(), 3)


def stages(records: Records) -> list[dict[str, Any]]:
    """The stages in the order of the pipeline.

    Returns:
        [{component, state, seconds, key, reason, line}]. state: made, cached, gone or not reached.
        seconds: None for a cached stage, which took no time. line: the line that the run printed.
    """
    components = _components()
    reached = {}
    for stage in records.record.stages:
        name = stage.component
        state = "cached" if stage.cached else "made"
        reached[name] = {
            "component": name,
            "state": state if name in records.executions else "gone",
            "seconds": None if stage.cached else stage.seconds,
            "key": stage.key,
            "reason": stage.reason,
            "line": _line(components.get(name), records.figures(name)),
        }

    planned = records.record.about.get("pipeline")
    if not planned:
        planned = [name for name in components if name not in ON_DEMAND]
    names = [name for name in components if name in planned or name in reached]
    names += [name for name in reached if name not in names]
    not_reached = {
        "state": "not reached",
        "seconds": None,
        "key": None,
        "reason": None,
        "line": "",
    }
    return [reached.get(name) or {"component": name, **not_reached} for name in names]


def _components() -> dict[str, Component]:
    """name -> component, in the order of the configuration's sections."""
    from pipeline import definition

    order = list(definition.Config.model_fields)
    components = {
        component.name: component
        for component in vars(definition).values()
        if isinstance(component, Component)
    }

    names = sorted(components, key=lambda name: order.index(name) if name in order else len(order))
    return {name: components[name] for name in names}


def _line(component: Component | None, figures: dict[str, Any]) -> str:
    try:
        return component.describe(figures) if component and figures else ""
    except (KeyError, TypeError):  # figures of another version of the component
        return ""


def digests(records: Records) -> dict[str, Any]:
    """The digests of data, model, code and artifacts, and the versions of libraries."""
    parts = {name: execution.key_parts for name, execution in records.executions.items()}
    libraries: dict[str, Any] = {}
    for key_parts in parts.values():
        libraries |= key_parts.get("libraries") or {}

    model_digest = records.figures("infra_validator").get("digest") or records.figures(
        "pusher"
    ).get("digest")

    return {
        "data": parts.get("example_gen", {}).get("data"),
        "model": model_digest,
        "code": {name: key_parts.get("code") for name, key_parts in parts.items()},
        "artifacts": {stage.component: stage.key for stage in records.record.stages},
        "libraries": dict(sorted(libraries.items())),
    }


def _finite(value: Any) -> Any:
    """Replaces numbers that are not finite by None, at any depth."""
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
