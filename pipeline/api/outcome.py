"""Run: what a run has made, read from its records."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline import report
from pipeline.report import records, reference
from pipeline.report.records import Records, folder_of
from pipeline.store.folder import Store
from pipeline.store.layout import LOG
from seqline.errors import UserError

if TYPE_CHECKING:
    from pipeline.api.model import Model


@dataclass(frozen=True)
class RunStage:
    """A stage of a run.

    Attributes:
        name: Its name.
        state: made, cached, gone (its artifact was deleted since) or not reached.
        seconds: How long it took; None if it was not made in this run.
        key: The key of its artifact; None if it was not reached.
        reason: Why it ran; "finished" if it did not have to.
        summary: Its figures in a line.
    """

    name: str
    state: str
    seconds: float | None
    key: str | None
    reason: str | None
    summary: str


class Run:
    """A run under a root, as its records tell it. A notebook shows it as a small page.

    Attributes:
        name: The name of the run, such as 20261129T180102000000-1a2b.
        root: Where its artifacts and records are.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self.root = str(store.root)

    @cached_property
    def _records(self) -> Records:
        return records.read(self._store, self.name)

    @cached_property
    def _contents(self) -> dict[str, Any]:
        return report.build(self._records, self.root)

    @property
    def verdict(self) -> str:
        """How it ended: pushed, finished, nothing new, not pushed, refused, data rejected, failed,
        interrupted; or running.
        """
        return str(self._contents["verdict"]["name"])

    @property
    def error(self) -> str | None:
        """The error that ended it, in one line; None if there was none."""
        error: str | None = self._contents["verdict"]["error"]
        return error

    @property
    def warnings(self) -> list[str]:
        """Sentences about the data and the model that a person should read."""
        cautions = [*self._contents["verdict"]["cautions"], *self._contents["warnings"]]
        return [str(sentence) for sentence in cautions]

    @property
    def stages(self) -> tuple[RunStage, ...]:
        """Its stages in the order of the pipeline."""
        return tuple(
            RunStage(
                stage["component"],
                stage["state"],
                stage["seconds"],
                stage["key"],
                stage["reason"],
                stage["line"],
            )
            for stage in self._contents["stages"]
        )

    @property
    def summaries(self) -> dict[str, dict[str, Any]]:
        """Stage -> its figures, such as run.summaries["trainer"]["eval_accuracy"]."""
        return {name: dict(record.figures) for name, record in self._records.executions.items()}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The content of evaluation.json; None if the run did not get to the evaluator."""
        evaluation: dict[str, Any] | None = self._records.files.get("evaluator")
        return evaluation

    @property
    def artifacts(self) -> Mapping[str, Path]:
        """Stage -> the folder of its artifact, as far as they still exist."""
        kept = self._records.executions
        return MappingProxyType(
            {
                stage.component: self._store.path(stage.component, stage.key)
                for stage in self._records.record.stages
                if stage.component in kept
            }
        )

    @property
    def report(self) -> Path:
        """The path of its report, an HTML file."""
        return folder_of(self._store, self.name) / report.HTML

    @property
    def log(self) -> Path:
        """The path of its log, with what the libraries have printed."""
        return folder_of(self._store, self.name) / LOG

    def model(self) -> "Model":
        """The model that it exported, ready to be asked.

        Raises:
            UserError: It did not get so far, or the model was deleted since.
        """
        from pipeline.api.model import load

        exported = self.artifacts.get("exporter")
        if exported is None:
            raise UserError(
                f"The run {self.name} exported no model (its verdict: {self.verdict}). Run it to"
                " the exporter or further, and leave its artifacts in place."
            )
        return load(exported)

    def __repr__(self) -> str:
        parts = [f"{self.name}: {self.verdict}"]
        if self.evaluation:
            parts.append(f"test accuracy {self.evaluation['accuracy']:.3f}")
        num_made = sum(stage.state == "made" for stage in self.stages)
        num_reached = sum(stage.state != "not reached" for stage in self.stages)
        parts.append(f"{num_made} of {num_reached} stages ran")
        return f"<Run {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        from pipeline.api.display import run_html

        return run_html(self._contents)


def open_run(name: str = "latest", root: str | Path = "artifacts") -> Run:
    """The record of a run that was made before, by a call or by a command.

    Args:
        name: Its name, or the beginning or end of it; latest, previous or served; or the version
            that it pushed.
        root: Where it was made; a folder, or a place in a bucket.

    Raises:
        UserError: There is no such run.
    """
    store = reference.store_of(str(root))
    return Run(store, reference.find(store, name))
