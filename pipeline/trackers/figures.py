"""The figures of a run as the flat names and numbers that trackers take."""

import json
import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.report.files import FILES
from pipeline.report.records import Records
from pipeline.store.records import Execution
from seqline.component import Figures
from seqline.storage import records

INTERVAL = "_interval"
EPOCHS, TEST = "epochs", "test"
# Other characters are refused by a tracker.
NOT_IN_A_NAME = re.compile(r"[^\w ./-]")


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as `trainer.rnn_units` -> "128"; anything that is not a text as JSON."""
    flat = {}
    for section, values in config.items():
        rows = values.items() if isinstance(values, dict) else [("", values)]
        for name, value in rows:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[f"{section}.{name}" if name else section] = text
    return flat


def of_stage(stage: str, figures: Figures, seconds: float) -> dict[str, float]:
    """The numbers of a stage: `trainer/num_parameters`, `trainer/seconds`.

    Those of the evaluator are those of the test split, see `of_test`.
    """
    named = {"seconds": seconds}
    if stage != "evaluator":
        named |= dict(_numbers(figures))
    return {_name(f"{stage}/{name}"): value for name, value in named.items()}


def of_epochs(history: Mapping[str, list[float]]) -> list[dict[str, float]]:
    """The figures of each epoch: `epochs/val_accuracy`. A number that is not finite is left out."""
    epochs: list[dict[str, float]] = [{} for _ in max(history.values(), key=len, default=[])]
    for name, values in history.items():
        for epoch, value in zip(epochs, values, strict=False):
            if math.isfinite(value):
                epoch[f"{EPOCHS}/{name}"] = value
    return epochs


def of_test(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The figures of the test split, with the ends of their intervals.

    `test/accuracy`, `test/accuracy_low`, `test/accuracy_high`, `test/baseline majority class`.
    """
    named = dict(_numbers(evaluation))
    for name, value in evaluation.items():
        if name.endswith(INTERVAL) and value:
            figure = name.removesuffix(INTERVAL)
            named[f"{figure}_low"], named[f"{figure}_high"] = value
    for name, value in (evaluation.get("baselines") or {}).items():
        named[f"baseline {name}"] = value
    for name, value in _numbers(evaluation.get("served") or {}):
        named[f"served {name}"] = value
    return {_name(f"{TEST}/{name}"): value for name, value in named.items()}


def file_of(stage: str, artifact: Path) -> Any:
    """The content of the file of an artifact that a report shows; None if there is none."""
    if stage not in FILES:
        return None
    name, kind = FILES[stage]
    try:
        return records.read(kind, artifact / name, records.MADE_AGAIN)
    except FileNotFoundError:
        return None


def not_told(records: Records, told: set[str]) -> Iterator[tuple[Execution, Any]]:
    """The stages of a run that a tracker was not told of, each with the content of `file_of`."""
    for stage in records.record.stages:
        name = stage.component
        if name in records.executions and name not in told:
            yield records.executions[name], records.files.get(name)


def git_commit(folder: str) -> str | None:
    """The commit that is checked out in a folder; None if it is in no repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value):
            yield name, value


def _name(text: str) -> str:
    return NOT_IN_A_NAME.sub("_", text)
