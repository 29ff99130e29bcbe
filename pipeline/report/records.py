"""The records of a run: its own, those of its stages, and small files of its artifacts."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from pipeline.store.records import Execution, RunRecord
from seqline.errors import UserError

# Component -> the JSON file of its artifact that a report reads. The size of each follows from the
# number of classes, slices and spans, not of rows.
FILES = {
    "evaluator": "evaluation.json",
    "trainer": "history.json",
    "statistics_gen": "statistics.json",
    "example_validator": "anomalies.json",
    "example_gen": "examples.json",
}


@dataclass(frozen=True)
class Records:
    """A run, as far as it is still in the store.

    Attributes:
        record: The run's own record.
        executions: Component -> the record of its artifact, if that still exists.
        files: Component -> the content of its JSON file, if that exists.
    """

    record: RunRecord
    executions: dict[str, Execution] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.record.run

    def figures(self, component: str) -> dict[str, Any]:
        return self.executions[component].figures if component in self.executions else {}

    def params(self, component: str) -> dict[str, Any]:
        return self.executions[component].params if component in self.executions else {}

    def is_cached(self, component: str) -> bool:
        return any(stage.component == component and stage.cached for stage in self.record.stages)


def folder_of(store: Store, run: str) -> Path:
    return store.root / "runs" / run


def read(store: Store, run: str, files: bool = True) -> Records:
    """Reads a run's record and those of its artifacts.

    Args:
        store: Where the run is.
        run: Its name.
        files: Also read the artifacts' files that a report shows.

    Raises:
        UserError: The run has no record, or a record is damaged.
    """
    path = folder_of(store, run) / RUN
    try:
        record = RunRecord.read(path)
    except FileNotFoundError:
        raise UserError(
            f"There is no run {run!r} under {str(store.root)!r}: {path} does not exist."
        ) from None

    executions, contents = {}, {}
    for stage in record.stages:
        execution = store.execution(stage.component, stage.key)
        if execution is None:
            continue
        executions[stage.component] = execution
        if files and stage.component in FILES:
            content = _json(store.path(stage.component, stage.key) / FILES[stage.component])
            if content is not None:
                contents[stage.component] = content
    return Records(record, executions, contents)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def names(store: Store) -> list[str]:
    """The names of the runs that left a record, oldest first."""
    return [path.name for path in store.runs()]
