"""Runs the stages whose artifacts are missing, and records the run."""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from pipeline.runner.derivation import Derivation, derive
from pipeline.runner.plan import Pipeline, Stage, known_keys, read_external_digest, reason_to_run
from pipeline.runner.pool import Workers, workers
from pipeline.runner.run import Options, Run, StageResult
from pipeline.runner.stopping import Stop, stopping
from pipeline.runner.worker import StageError
from pipeline.store.folder import Store
from pipeline.store.layout import LOG
from seqline.data.features import IN_SHARDS
from seqline.errors import DataError, StoppedError, UserError
from seqline.host.clock import now
from seqline.jobs import dataflow


def execute(pipeline: Pipeline, store: Store, folder: Path, options: Options) -> list[StageResult]:
    """Runs the stages that are not finished, and records the run.

    Independent stages run at the same time where `jobs` allows.

    Args:
        pipeline: All stages, including those that are not selected.
        store: Where the artifacts are.
        folder: The folder of the run, from `Store.start_run`.
        options: Where and how to run.

    Returns:
        The results of all stages, in the order in which they ended.

    Raises:
        UserError: A stage is not selected, and its artifact does not exist.
        StoppedError: SIGTERM or SIGINT ended the run.
        Exception: What a stage raised, after the stages before it were recorded.
    """
    run = Run(pipeline, store, folder, options)
    run.check()
    need_tensorflow = any("tensorflow" in stage.component.libraries for stage in run.selected)
    need_main = any(stage.component.run.__module__ == "__main__" for stage in run.selected)

    with store.running(folder.name):
        run.save()
        try:
            with (
                stopping("between two stages") as stop,
                workers(
                    folder / LOG, options.jobs, stop, options.fresh, need_tensorflow, need_main
                ) as pool,
            ):
                run.use(known_keys(pipeline, store, {}))
                scheduler = Scheduler(run, pool, stop)
                scheduler.prepare()
                scheduler.run_stages()
        except BaseException as error:
            run.fail(error)
            with suppress(OSError):  # a full disk: what ended the run says more
                run.save()
            raise

        run.finish()
        run.save()
    return list(run.results.values())


@dataclass(frozen=True)
class Making:
    """A stage that a worker process is making, under the lock of its key."""

    derivation: Derivation
    reason: str
    folder: Path  # where it writes; it becomes the artifact
    future: Future
    lock: ExitStack
    started: str
    clock: float  # the same moment, in seconds


class Scheduler:
    """Starts the stages of a run when their inputs are finished.

    Attributes:
        waiting: The stages that have not started.
        makings: The stages that are being made, by the future of their figures.
    """

    def __init__(self, run: Run, pool: Workers, stop: Stop) -> None:
        self.run, self.pool, self.stop = run, pool, stop
        self.pipeline, self.store, self.options = run.pipeline, run.store, run.options
        self.waiting = list(run.pipeline.stages)
        self.makings: dict[Future, Making] = {}

    def prepare(self) -> None:
        """Downloads or builds the external data of the selected stages, where it is missing."""
        for stage in self.run.selected:
            component = stage.component
            if not component.prepare or not component.external_digest:
                continue

            if read_external_digest(stage, self.store, {}) is None:
                self.options.on_start(stage)
                future = self.pool.submit(component.prepare, stage.params)
                self.pool.result(future, stage.name)

    def run_stages(self) -> None:
        """Runs all stages. Raises what the first one that fails raises."""
        with ExitStack() as locks:
            while self.waiting or self.makings:
                for stage in self._ready_stages():
                    if len(self.makings) >= self.options.jobs:
                        break
                    if self.stop.by:
                        raise StoppedError(f"before {stage.name}", self.stop.by)
                    self.waiting.remove(stage)
                    self._start(stage, locks.enter_context(ExitStack()))
                if self.makings:
                    for future in wait(self.makings, return_when=FIRST_COMPLETED).done:
                        self._end(self.makings.pop(future))

    def _ready_stages(self) -> list[Stage]:
        """The stages whose inputs are finished, and before which every gate has passed the run."""
        ready = []
        for stage in self.waiting:
            before = self.pipeline.stages[: self.pipeline.stages.index(stage)]
            gates = [earlier for earlier in before if earlier.component.gate]
            needed = [*stage.inputs.values(), *gates]
            if all(needed_stage.name in self.run.results for needed_stage in needed):
                ready.append(stage)
        return ready

    def _start(self, stage: Stage, lock: ExitStack) -> None:
        """Takes the finished artifact of a stage, or has a worker make it."""
        inputs = {
            name: self.run.results[source.name].artifact for name, source in stage.inputs.items()
        }
        derivation = derive(stage, inputs, self.store)
        artifact = derivation.artifact
        keys = {name: result.artifact.key for name, result in self.run.results.items()}
        self.run.use(known_keys(self.pipeline, self.store, {**keys, stage.name: artifact.key}))

        reason = self._reason_to_run(derivation, self.options.verify)
        if reason is not None:
            lock.enter_context(self.store.lock(stage.name, artifact.key))
            # Once more: another run may have made it while this one waited for the lock.
            reason = self._reason_to_run(derivation)
        if reason is None:
            lock.close()
            execution = self.store.execution(stage.name, artifact.key)
            assert execution is not None, "a stage with nothing to run has a record"
            self.run.add(
                StageResult(stage, artifact, execution.figures, execution.seconds, True, "finished")
            )
            return

        if stage not in self.run.selected:
            raise UserError(
                f"{stage.name} is not among the selected stages and would have to run ({reason}). "
                "Widen --from."
            )
        self._check_inputs(derivation)
        self._submit(derivation, reason, lock)

    def _reason_to_run(self, derivation: Derivation, verify: bool = False) -> str | None:
        return reason_to_run(
            derivation.stage,
            derivation.parts,
            self.store,
            self.options.force,
            self.pipeline.name,
            verify,
        )

    def _check_inputs(self, derivation: Derivation, in_full: bool = False) -> None:
        """Checks that the inputs of a stage are still what their stages wrote.

        Args:
            derivation: The stage's.
            in_full: Read every byte. Otherwise files of large artifacts that have kept their size,
                times and inode are trusted.

        Raises:
            DataError: A file changed since the run looked at its artifact.
        """
        stage = derivation.stage
        for name, artifact in derivation.inputs.items():
            source = stage.inputs[name].name
            is_small = artifact.type not in IN_SHARDS
            if damage := self.store.damage(source, artifact.key, in_full or is_small):
                raise DataError(
                    f"{stage.name} cannot use the artifact of {source} in {artifact.uri}: "
                    f"{damage}. Run again: {source} makes it again."
                )

    def _submit(self, derivation: Derivation, reason: str, lock: ExitStack) -> None:
        """Has a worker make a stage's artifact."""
        stage, key = derivation.stage, derivation.artifact.key
        self.options.on_start(stage)

        beam_args: Sequence[str] = ()
        uses_beam = stage.component.takes("beam_args")
        if uses_beam:
            beam_args = dataflow.job_flags(
                self.options.beam_args, stage.name, key, str(self.store.root)
            )

        folder = self.store.begin(stage.name, key, uses_beam, keep=self._is_job_active(beam_args))
        arguments = self._arguments(derivation, beam_args)
        arguments |= {"params": stage.params, "output": folder}

        started, clock = now(), time.monotonic()
        future = self.pool.submit(worker.call, stage.component.run, arguments, stage.name)

        self.makings[future] = Making(derivation, reason, folder, future, lock, started, clock)

    def _is_job_active(self, beam_args: Sequence[str]) -> bool:
        """Whether a Dataflow job that an earlier run submitted is still making the artifact."""
        if not dataflow.is_used(beam_args):
            return False
        name = str(dataflow.option(beam_args, "job_name"))
        self.options.submitted.append(name)
        return dataflow.client(beam_args).active(name) is not None

    def _arguments(self, derivation: Derivation, beam_args: Sequence[str]) -> dict[str, Any]:
        """The inputs of a stage's `run`, and the other arguments that its signature asks for."""
        component, key = derivation.stage.component, derivation.artifact.key
        by_workers = component.takes("beam_args")

        arguments: dict[str, Any] = {
            name: self.store.local_folder(artifact, by_workers)
            for name, artifact in derivation.inputs.items()
        }

        if component.takes("beam_args"):
            arguments["beam_args"] = tuple(beam_args)
        if component.takes("span_cache"):
            arguments["span_cache"] = replace(self.store.span_cache(component), owner=key)
        if component.takes("previous"):
            arguments["previous"] = self._previous(derivation)
        if component.takes("work"):
            arguments["work"] = self.store.work(component.name, key)
        if component.takes("analyses"):
            arguments["analyses"] = self._analyses(derivation)
        return arguments

    def _previous(self, derivation: Derivation) -> Path | None:
        """The artifact that the stage made last, unless it is this one, deleted or damaged."""
        name = derivation.stage.name
        latest = self.store.latest(name, self.pipeline.name)
        if latest is None:
            return None

        self.run.use({name: latest.key})
        if latest.key == derivation.artifact.key or not self.store.execution(name, latest.key):
            return None
        if self.store.changes(name, latest.key):
            return None
        return self.store.path(name, latest.key)

    def _analyses(self, derivation: Derivation) -> dict[str, Any]:
        """The `analyze` of each stage that reads the artifact, by the stage's name."""
        analyses = {}
        for reader in self.pipeline.stages:
            component = reader.component
            if component.analyze and derivation.stage in reader.inputs.values():
                span_cache = replace(
                    self.store.span_cache(component), owner=derivation.artifact.key
                )
                analyses[reader.name] = partial(
                    component.analyze, params=reader.params, span_cache=span_cache
                )
        return analyses

    def _end(self, making: Making) -> None:
        """Commits the artifact of a worker, and records the stage. Raises the worker's error."""
        derivation = making.derivation
        stage = derivation.stage

        try:
            figures = self.pool.result(making.future, stage.name)
            seconds = time.monotonic() - making.clock
            self._check_unchanged(derivation)
            execution = derivation.execution(
                self.pipeline.name, figures, making.started, now(), seconds
            )
            execution = self.store.seal(making.folder, derivation.artifact, stage.name, execution)
            with self.stop.held_back():  # it is either not visible or whole
                self.store.commit(making.folder, derivation.artifact, stage.name, execution)
        except BaseException as error:
            self.store.drop(making.folder)
            self._blame_inputs(derivation, error)
            raise

        making.lock.close()
        self.run.add(
            StageResult(stage, derivation.artifact, figures, seconds, False, making.reason)
        )

    def _blame_inputs(self, derivation: Derivation, error: BaseException) -> None:
        """Raises DataError if a stage failed because an input is damaged in spite of its times.

        The files of large inputs are read for an error that can come from damaged bytes.
        """
        if isinstance(error, DataError | StageError):
            try:
                self._check_inputs(derivation, in_full=True)
            except DataError as damage:
                raise damage from error

    def _check_unchanged(self, derivation: Derivation) -> None:
        """Raises UserError if the external data is no longer what the key was derived from."""
        stage = derivation.stage
        keys = {name: artifact.key for name, artifact in derivation.inputs.items()}
        if read_external_digest(stage, self.store, keys) != derivation.external_digest:
            raise UserError(
                f"The data of {stage.name} changed while it was read; nothing was kept. Run again."
            )
