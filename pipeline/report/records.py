"""What a run left, as it lies in the store.

Its record, the executions of its stages and the small files of their artifacts.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from seqline.errors import UserError

# component -> the JSON file of its artifact that a report reads. Each is bounded by the number of
# classes, slices and spans, not of rows.
FILES = {
    "evaluator": "evaluation.json",
    "trainer": "history.json",
    "statistics_gen": "statistics.json",
    "example_validator": "anomalies.json",
    "example_gen": "examples.json",
}


@dataclass(frozen=True)
class Records:
    """A run. executions.

    Component -> its record; files: component -> what its JSON file holds. What is gone, or never
    was, is not there.
    """

    record: dict[str, Any]
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.record["run"])

    def figures(self, component: str) -> dict[str, Any]:
        return self.executions.get(component, {}).get("figures") or {}

    def params(self, component: str) -> dict[str, Any]:
        return self.executions.get(component, {}).get("params") or {}

    def is_cached(self, component: str) -> bool:
        return any(
            each["component"] == component and each["cached"] for each in self.record["stages"]
        )


def folder_of(store: Store, run: str) -> Path:
    return store.root / "runs" / run


def read(store: Store, run: str, files: bool = True) -> Records:
    """Raises UserError for a run without a record. files: read the artifacts' files, too."""
    place = folder_of(store, run) / RUN
    try:
        record = json.loads(place.read_text())
    except FileNotFoundError:
        raise UserError(
            f"There is no run {run!r} under {str(store.root)!r}: {place} is not there."
        ) from None
    except ValueError as error:
        raise UserError(
            f"{place} is damaged ({error}); nothing can be told of the run {run!r}."
        ) from None
    found, held = {}, {}
    for stage in record.get("stages", []):
        name, key = stage["component"], stage["key"]
        execution = store.execution(name, key)
        if execution is None:
            continue
        found[name] = execution
        if (
            files
            and name in FILES
            and (content := _json(store.path(name, key) / FILES[name])) is not None
        ):
            held[name] = content
    return Records(record, found, held)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def names(store: Store) -> list[str]:
    """The runs that left a record, oldest first."""
    return [path.name for path in store.runs()]
