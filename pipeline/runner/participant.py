"""The part of a process that is not the chief in a training on several machines.

A worker waits for the trainer's inputs and takes part in the training; an evaluator waits for the
end of the chief's run. Neither writes anything.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from pipeline.runner.plan import Pipeline, Planned, Stage, plan
from pipeline.runner.pool import workers
from pipeline.runner.stopping import Stop, stopping
from pipeline.store.folder import Store
from pipeline.store.layout import LOG, RUN
from pipeline.store.records import FAILED, RUNNING, STOPPED, RunRecord
from seqline.component import Artifact
from seqline.errors import UserError

# How often it looks into the store, and how often it says that it waits.
LOOK_SECONDS = 2.0
SAY_SECONDS = 30.0


def take_part(
    pipeline: Pipeline,
    store: Store,
    selected: Sequence[str],
    force: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Runs the stages that all workers run together, at the same time as the chief.

    Args:
        pipeline: The same pipeline as the chief's.
        store: The store of the chief.
        selected: The names of the stages that may run.
        force: The names of the stages that run even if they are finished.
        say: Is called with a line whenever something begins or ends.

    Raises:
        UserError: The inputs do not appear in the store, or the chief's run has failed before.
        Exception: What the stage raised.
    """
    with (
        stopping("while waiting for the chief") as stop,
        tempfile.TemporaryDirectory(prefix="seqline-") as name,
    ):
        for stage in pipeline.stages:
            if not stage.component.on_all_workers or stage.name not in selected:
                continue

            planned = _wait_for_inputs(stage, pipeline, store, force, say)
            if planned is None:
                say(f"{stage.name}: finished, nothing to take part in")
                continue

            say(f"{stage.name}: taking part")
            _run(stage, planned, store, Path(name), stop)
            say(f"{stage.name}: ended; its artifact is the chief's")


def wait_for_end(
    pipeline: Pipeline,
    store: Store,
    selected: Sequence[str],
    force: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Waits until the chief's run is over, however it ends: what an evaluator task does.

    Args:
        pipeline: The same pipeline as the chief's.
        store: The store of the chief.
        selected: The names of the stages that may run.
        force: The names of the stages that run even if they are finished.
        say: Is called with a line whenever something begins or ends.

    Raises:
        UserError: No run of the chief begins in time.
    """
    started = said = time.monotonic()
    # A run of a chief that was killed has no end: only a younger one counts then.
    before = {path.name for path in store.runs() if _has_ended(path)}
    limit = _wait_seconds(pipeline.stages)
    with stopping("while waiting for the end of the chief's run"):
        while True:
            record = _newest_record(pipeline, store, before)
            if record and record.verdict != RUNNING:
                say(f"the chief's run {record.run} is over: {record.verdict}")
                return
            if record is None and _is_all_finished(pipeline, store, selected, force):
                say("finished, nothing to wait for")
                return

            waited = time.monotonic() - started
            if record is None and waited > limit:
                raise UserError(
                    f"No run of the chief began under {str(store.root)!r} within {limit:.0f} s. "
                    "Does the chief run, with the same root? "
                    "trainer.worker_wait_seconds is the limit."
                )
            if said == started or time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                say(f"waiting for the end of the chief's run, {waited:.0f} s so far")
            time.sleep(LOOK_SECONDS)


def _newest_record(pipeline: Pipeline, store: Store, before: Collection[str]) -> RunRecord | None:
    """The record of this model's last run; None if there is none but those of `before`."""
    for path in reversed(store.runs()):
        record = _record(path) if path.name not in before else None
        if record and record.name == pipeline.name:
            return record
    return None


def _is_all_finished(
    pipeline: Pipeline, store: Store, selected: Sequence[str], force: Sequence[str]
) -> bool:
    """Whether a run of the chief would find all selected stages finished."""
    planned = plan(pipeline, store, force)
    return not any(item.runs for item in planned if item.stage.name in selected)


def _wait_seconds(stages: Sequence[Stage]) -> float:
    limits = [getattr(stage.params, "worker_wait_seconds", None) for stage in stages]
    return max((float(limit) for limit in limits if limit is not None), default=3600.0)


def _run(
    stage: Stage, planned: Mapping[str, Planned], store: Store, folder: Path, stop: Stop
) -> None:
    """Runs a stage whose output, in `folder`, is not kept."""
    output = folder / stage.name
    output.mkdir()
    arguments: dict[str, Any] = {"params": stage.params, "output": output}

    for name, source in stage.inputs.items():
        key = planned[source.name].key
        assert key, "the inputs of a stage that takes part are finished"
        artifact = Artifact(source.component.output, store.path(source.name, key), key)
        arguments[name] = store.local_folder(artifact)

    if stage.component.takes("work"):
        arguments["work"] = store.work(stage.name, str(planned[stage.name].key))

    # The log is deleted with the folder: the chief's log says the same.
    with workers(folder / LOG, 1, stop, fresh=True) as pool:
        future = pool.submit(worker.call, stage.component.run, arguments, stage.name)
        pool.result(future, stage.name)


def _wait_for_inputs(
    stage: Stage, pipeline: Pipeline, store: Store, force: Sequence[str], say: Callable[[str], None]
) -> dict[str, Planned] | None:
    """Waits until a stage's inputs are in the store.

    Returns:
        The plan, by stage; None if the stage's own artifact is finished.
    """
    limit = _wait_seconds([stage])
    started = said = time.monotonic()
    ended_before = {path.name for path in store.runs() if _has_ended(path)}
    while True:
        planned = {item.stage.name: item for item in plan(pipeline, store, force)}
        if not planned[stage.name].runs:
            return None

        names = [source.name for source in stage.inputs.values()]
        missing = [name for name in names if not _is_finished(planned[name], store)]
        if not missing:
            return planned

        _check_chief(stage, [run for run in store.runs() if run.name not in ended_before])

        waited = time.monotonic() - started
        if waited > limit:
            raise UserError(
                f"{missing[0]} of the chief was not in {str(store.root)!r} after {limit:.0f} s. "
                "Does the chief run, with the same configuration, version, data and root? "
                "trainer.worker_wait_seconds is the limit."
            )
        if said == started or time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            say(f"{stage.name}: waiting for {missing[0]} of the chief, {waited:.0f} s so far")
        time.sleep(LOOK_SECONDS)


def _is_finished(planned: Planned, store: Store) -> bool:
    """Whether an artifact is in the store, and whole: the chief makes a damaged one again."""
    name, key = planned.stage.name, planned.key
    if key is None or store.damage(name, key) is not None:
        return False
    return store.execution(name, key) is not None


def _check_chief(stage: Stage, runs: Sequence[Path]) -> None:
    """Raises UserError if one of the runs, which began meanwhile, has failed."""
    for run in runs:
        record = _record(run)
        if record and record.verdict in (FAILED, STOPPED):
            raise UserError(
                f"The chief's run {run.name} did not get to {stage.name}: {record.error}"
            )


def _has_ended(run: Path) -> bool:
    record = _record(run)
    return record is None or record.verdict != RUNNING


def _record(run: Path) -> RunRecord | None:
    """The record of a run; None if `seqline gc` has deleted it meanwhile."""
    with suppress(FileNotFoundError):
        return RunRecord.read(run / RUN)
    return None
