"""Tells tools that users already have of a run: its stages, figures, artifacts and its end.

    open_trackers   the trackers that a user named, each of which has reached its server
    following.py    calls them while a run goes on, and keeps their errors away from it

A tracker reads what a run recorded. It changes no artifact and no key, and a run without any is the
same run. docs/trackers.md is for users.

To add a tracker: its module, a line in `PACKAGES` and in `_open`, its docs and test.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seqline.errors import UserError
from seqline.host import packages
from seqline.suggest import suggestion

if TYPE_CHECKING:
    from pipeline.report.records import Records
    from pipeline.runner.plan import Pipeline
    from pipeline.runner.run import StageResult
    from pipeline.store.folder import Store

MLFLOW, OPENLINEAGE, WANDB = "mlflow", "openlineage", "wandb"
# The name of a tracker -> its extra: module -> requirement.
PACKAGES = {
    MLFLOW: {"mlflow": "mlflow-skinny>=3.4", "pandas": "pandas>=2.2"},
    OPENLINEAGE: {"openlineage.client": "openlineage-python>=1.40"},
    WANDB: {"wandb": "wandb>=0.21"},
}


@dataclass(frozen=True)
class TrackedRun:
    """What is known of a run when it begins.

    Attributes:
        folder: Its folder.
        pipeline: Its stages, those that are not selected, too.
        store: Where its artifacts are.
        config: The configuration, as JSON values.
        command: The command that was called.
    """

    folder: Path
    pipeline: "Pipeline"
    store: "Store"
    config: dict[str, Any]
    command: Sequence[str]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model(self) -> str:
        return self.pipeline.name


@dataclass(frozen=True)
class EndedRun:
    """What is known of a run when it has ended.

    Attributes:
        records: Those of the run and of its stages.
        report: Its report.html; None if none was written.
    """

    records: "Records"
    report: Path | None


class Tracker(Protocol):
    """A tool that is told of a run. What a method raises does not end the run."""

    name: str

    def start(self, run: TrackedRun) -> None:
        """The run begins."""

    def stage_started(self, stage: str) -> None:
        """A stage begins. It is not called for a stage whose artifact is cached."""

    def stage_ended(self, result: "StageResult") -> None:
        """A stage has succeeded, now or in an earlier run."""

    def end(self, ended: EndedRun) -> str:
        """The run has ended: finished, failed or stopped. Returns where it can be seen, or ""."""


def chosen(track: Iterable[str]) -> list[str]:
    """The names of trackers, each once.

    Args:
        track: Names, or several with commas between them.

    Raises:
        UserError: A name is unknown, or the package of a tracker is not installed.
    """
    names = [name.strip() for names in track for name in names.split(",") if name.strip()]
    for name in names:
        if name not in PACKAGES:
            raise UserError(
                f"--track {name!r} is not a tracker; the trackers are {', '.join(PACKAGES)}."
                f"{suggestion(name, PACKAGES)}"
            )
        packages.need(f"--track {name}", PACKAGES[name])
    return list(dict.fromkeys(names))


def open_trackers(track: Iterable[str]) -> list[Tracker]:
    """The trackers of these names, each of which has reached its server.

    Args:
        track: As `chosen` takes it.

    Raises:
        UserError: A name is unknown, a package is missing, or a server does not answer.
    """
    return [_open(name) for name in chosen(track)]


def _open(name: str) -> Tracker:
    if name == MLFLOW:
        from pipeline.trackers.mlflow_runs import MlflowTracker

        return MlflowTracker()
    if name == OPENLINEAGE:
        from pipeline.trackers.openlineage_events import OpenLineageTracker

        return OpenLineageTracker()

    from pipeline.trackers.wandb_runs import WandbTracker

    return WandbTracker()
