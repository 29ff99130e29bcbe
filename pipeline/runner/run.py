"""A run: its options, the results of its stages, and its record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runner.plan import Pipeline, Stage
from pipeline.store.folder import Store
from pipeline.store.records import FAILED, FINISHED, RUNNING, STOPPED, RunRecord, StageRecord
from seqline.component import Artifact, Figures
from seqline.errors import UnfinishedError, UserError
from seqline.host.clock import now


@dataclass(frozen=True)
class StageResult:
    """A stage that has succeeded.

    Attributes:
        stage: The stage.
        artifact: Its artifact, made now or in an earlier run.
        figures: The figures that its `run` returned.
        seconds: How long the making took.
        cached: Whether the artifact is from an earlier run.
        reason: Why it ran; "finished" if it is cached.
    """

    stage: Stage
    artifact: Artifact
    figures: Figures
    seconds: float
    cached: bool
    reason: str


@dataclass
class Options:
    """Where and how to run. No option changes a result.

    Attributes:
        jobs: The largest number of stages that run at the same time.
        fresh: Each stage gets a process of its own, see `pipeline.runner.pool.Workers`.
        beam_args: The flags that say where Beam runs.
        force: The names of stages that run even if they are finished.
        verify: Every file of the finished artifacts is read, see `Store.changes`.
        selected: The names of the stages that may run; None for all.
        submitted: A list for the names of the Dataflow jobs that stages may have submitted.
        on_start: Called when a stage starts.
        on_done: Called when a stage has succeeded.
        about: Called when the run has ended, with its results and the error that ended it.
            Returns further fields of run.json.
    """

    jobs: int = 1
    fresh: bool = False
    beam_args: Sequence[str] = ()
    force: Sequence[str] = ()
    verify: bool = False
    selected: Sequence[str] | None = None
    submitted: list[str] = field(default_factory=list)
    on_start: Callable[[Stage], None] = lambda stage: None
    on_done: Callable[[StageResult], None] = lambda result: None
    about: Callable[[list[StageResult], BaseException | None], Mapping[str, Any]] = (
        lambda results, error: {}
    )


class Run:
    """A run and its record.

    Attributes:
        pipeline: All stages.
        store: Where the artifacts are.
        folder: Where the run's record and log are written.
        options: Where and how it runs.
        selected: The stages that may run.
        guards: The guards of the selected stages.
        results: The stages that have succeeded, by name, in that order.
        record: The content of run.json, as the next `save` writes it.
    """

    def __init__(self, pipeline: Pipeline, store: Store, folder: Path, options: Options) -> None:
        self.pipeline, self.store, self.folder, self.options = pipeline, store, folder, options
        chosen = options.selected

        self.selected = [
            stage for stage in pipeline.stages if chosen is None or stage.name in chosen
        ]

        names = [stage.name for stage in self.selected]
        self.guards = [guard for guard in pipeline.guards if guard.of in names]
        self.results: dict[str, StageResult] = {}

        self.record = RunRecord(
            run=folder.name, name=pipeline.name, started=now(), verdict=RUNNING, stages=[]
        )

    def check(self) -> None:
        """Asks the checks and the guards before anything begins.

        Raises:
            UserError: A check or a guard refused. Such a run leaves a record only if
                `options.about` returns something.
        """
        try:
            for stage in self.selected:
                if stage.component.check:
                    stage.component.check(stage.params)
            for guard in self.guards:
                guard.before()
        except UserError as error:
            self.fail(error)
            if self.record.about:
                self.save()
            raise

    def use(self, keys: Mapping[str, str]) -> None:
        """Announces artifacts that the run relies on from now on, so that no clean-up deletes them.

        If they were read before, they must be read again.

        Args:
            keys: Component -> key.
        """
        uses = self.record.uses
        new = {name: key for name, key in keys.items() if key not in uses.get(name, ())}
        for name, key in new.items():
            uses.setdefault(name, []).append(key)

        if new:
            self.store.announce(self.folder, self.record)

    def add(self, result: StageResult) -> None:
        """Records a stage that has succeeded, and asks its gate and the guards.

        Raises what they raise. The artifact stays, so that a person can look at it.
        """
        name = result.stage.name
        self.results[name] = result
        self.record.stages.append(
            StageRecord(
                name, result.artifact.key, result.cached, result.reason, round(result.seconds, 3)
            )
        )

        if not result.cached:
            self.save()
        self.options.on_done(result)

        if result.stage.component.gate:
            result.stage.component.gate(result.artifact.uri, result.stage.params)
        for guard in self.guards:
            if guard.after == name:
                guard.judge(result.artifact.uri)

    def fail(self, error: BaseException) -> None:
        is_stopped = isinstance(error, UnfinishedError | KeyboardInterrupt)
        self._end(STOPPED if is_stopped else FAILED, error)

    def finish(self) -> None:
        self._end(FINISHED, None)

    def _end(self, verdict: str, error: BaseException | None) -> None:
        self.record.verdict = verdict
        self.record.error = f"{type(error).__name__}: {error}" if error else None
        self.record.finished = now()
        self.record.about |= self.options.about(list(self.results.values()), error)

    def save(self) -> None:
        self.store.save_run(self.folder, self.record)
