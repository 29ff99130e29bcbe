"""The records of a run: its own, those of its stages, and small files of its artifacts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.report.files import FILES
from pipeline.store.folder import Store
from pipeline.store.layout import RUN
from pipeline.store.records import Execution, RunRecord
from seqline.errors import UserError
from seqline.storage import records


@dataclass(frozen=True)
class Records:
    """A run, as far as it is still in the store.

    Attributes:
        record: The run's own record.
        executions: Component -> the record of its artifact, if that still exists.
        files: Component -> the content of its JSON file, if that exists.
        damaged: A sentence about each record or file that is damaged, and left out.
    """

    record: RunRecord
    executions: dict[str, Execution] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

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
    """Reads a run's record and those of its artifacts. A damaged one of an artifact is left out.

    Args:
        store: Where the run is.
        run: Its name.
        files: Also read the artifacts' files that a report shows.

    Raises:
        UserError: The run has no record, or a damaged one.
    """
    record = read_run(store, run)
    executions: dict[str, Execution] = {}
    contents: dict[str, Any] = {}
    damaged: list[str] = []

    for stage in record.stages:
        execution = _passing_over(damaged, store.execution, stage.component, stage.key)
        if execution is None:
            continue
        executions[stage.component] = execution

        if files and stage.component in FILES:
            name, kind = FILES[stage.component]
            path = store.path(stage.component, stage.key) / name
            content = _passing_over(damaged, records.read, kind, path, records.MADE_AGAIN)
            if content is not None:
                contents[stage.component] = content

    return Records(record, executions, contents, tuple(damaged))


def read_run(store: Store, run: str) -> RunRecord:
    """Reads the record of a run alone. Raises UserError if it is missing or damaged."""
    path = folder_of(store, run) / RUN
    try:
        record = RunRecord.read(path)
    except FileNotFoundError:
        raise UserError(
            f"There is no run {run!r} under {str(store.root)!r}: {path} does not exist."
        ) from None
    record.run = run  # what the record says is not trusted to be a folder
    return record


def _passing_over(damaged: list[str], read: Callable[..., Any], *arguments: Any) -> Any:
    """What `read` returns; None for a missing file, and for a damaged one, which is noted."""
    try:
        return read(*arguments)
    except FileNotFoundError:
        return None
    except UserError as error:
        damaged.append(str(error))
        return None


def names(store: Store) -> list[str]:
    """The names of the runs that left a record, oldest first."""
    return [path.name for path in store.runs()]
