"""A report as data.

Everything that report.html and report.md show, and report.json as it is. docs/reports.md describes
it.
"""

import math
from datetime import datetime
from typing import Any

from pipeline.report import data, model, next_steps, reproduce, verdict
from pipeline.report.records import Records
from pipeline.store.records import RunRecord
from seqline import __version__
from seqline.component import Component

FORMAT = "seqline-report/2"
# Stages that not every pipeline has: a run that does not say what it planned is not asked for them.
ON_DEMAND = ("tuner", "span_validator", "bulk_inferrer")


def contents(records: Records, root: str) -> dict[str, Any]:
    """JSON values only: what is no number (NaN, infinite) is null."""
    record = records.record
    found = {
        "format": FORMAT,
        "run": records.name,
        "model": reproduce.name_of(records),
        "root": root,
        "started": record.started,
        "finished": record.finished,
        "seconds": duration(record),
        "seqline": record.about.get("seqline"),
        "python": record.about.get("python"),
        "reported_by": __version__,
        "verdict": verdict.verdict(records),
        "next_steps": next_steps.next_steps(records, root),
        "warnings": data.warnings(records),
        "compared": model.compared(records),
        **model.evaluated(records),
        "gates": verdict.gates(records),
        "training": model.training(records),
        "classes": model.classes(records),
        "confusion": model.confusion(records),
        "data": data.data(records),
        "stages": stages(records),
        "digests": digests(records),
        "parameters": reproduce.parameters(records),
        "commands": reproduce.commands(records, root),
    }
    return _finite(found)


def duration(record: RunRecord) -> float | None:
    if not record.started or not record.finished:
        return None
    return round(
        (
            datetime.fromisoformat(record.finished) - datetime.fromisoformat(record.started)
        ).total_seconds(),
        3,
    )


def stages(records: Records) -> list[dict[str, Any]]:
    """[{component, state.

    Made | cached | gone | not reached, seconds, key, reason, line}] in the order of the pipeline.

    seconds of a cached one are None: it took none. line: what the run's table said of it.
    """
    components = _components()
    found = {}
    for stage in records.record.stages:
        name = stage.component
        state = "gone" if name not in records.executions else "cached" if stage.cached else "made"
        line = _line(components.get(name), records.figures(name))
        seconds = None if stage.cached else stage.seconds
        found[name] = {
            "component": name,
            "state": state,
            "seconds": seconds,
            "key": stage.key,
            "reason": stage.reason,
            "line": line,
        }
    planned = records.record.about.get("pipeline") or [
        name for name in components if name not in ON_DEMAND
    ]
    not_reached: dict[str, Any] = {
        "state": "not reached",
        "seconds": None,
        "key": None,
        "reason": None,
        "line": "",
    }
    names = [name for name in components if name in planned or name in found]
    return [
        found.get(name) or {"component": name, **not_reached}
        for name in [*names, *(name for name in found if name not in names)]
    ]


def _components() -> dict[str, Component]:
    """In the order of the pipeline's definition, which is that of its imports but for the alphabet."""
    from pipeline import definition

    there = {each.name: each for each in vars(definition).values() if isinstance(each, Component)}
    order = list(definition.Config.model_fields)
    return dict(
        sorted(
            there.items(), key=lambda each: order.index(each[0]) if each[0] in order else len(order)
        )
    )


def _line(component: Component | None, figures: dict[str, Any]) -> str:
    try:
        return component.describe(figures) if component and figures else ""
    except (KeyError, TypeError):  # figures of another version of the component
        return ""


def digests(records: Records) -> dict[str, Any]:
    """Of the data's content, of each stage's code, of the libraries, of the artifacts, of the model
    that is served.
    """
    parts = {name: execution.key_parts for name, execution in records.executions.items()}
    libraries = {
        library: version
        for each in parts.values()
        for library, version in (each.get("libraries") or {}).items()
    }
    return {
        "data": parts.get("example_gen", {}).get("data"),
        "model": (
            records.figures("infra_validator").get("digest")
            or records.figures("pusher").get("digest")
        ),
        "code": {name: each.get("code") for name, each in parts.items()},
        "artifacts": {stage.component: stage.key for stage in records.record.stages},
        "libraries": dict(sorted(libraries.items())),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
