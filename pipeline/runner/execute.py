"""Executes what a plan says is missing, and records the run."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from pipeline.runner.plan import Guard, Pipeline, Stage, read_external_digest, reason_to_run
from pipeline.runner.pool import Workers, workers
from pipeline.runner.stopping import Stop, stopping
from pipeline.store.folder import Store
from pipeline.store.layout import LOG, key_parts
from seqline.component import Artifact, Figures
from seqline.digests import digest
from seqline.errors import StoppedError, UserError
from seqline.host.clock import now
from seqline.jobs import dataflow


@dataclass(frozen=True)
class Done:
    """How a stage ended: made now, or there from before."""

    stage: Stage
    artifact: Artifact
    figures: Figures
    seconds: float
    cached: bool
    reason: str


@dataclass
class Options:
    """Where and how to run.

    Nothing of it changes a result. fresh: see `pipeline.runner.pool.Workers`.

    submitted: gets the names of the Dataflow jobs that stages may have submitted. about: what the
    run's record says besides, asked when the run has ended, by what is done and what was raised.
    """

    jobs: int = 1
    fresh: bool = False
    beam_args: Sequence[str] = ()
    force: Sequence[str] = ()
    selected: Sequence[str] | None = None
    submitted: list[str] = field(default_factory=list)
    on_start: Callable[[Stage], None] = lambda stage: None
    on_done: Callable[[Done], None] = lambda done: None
    about: Callable[[list[Done], BaseException | None], Mapping[str, Any]] = lambda done, error: {}


def execute(pipeline: Pipeline, store: Store, run: Path, options: Options) -> list[Done]:
    """Runs what is not finished, and records the run.

    Independent stages run at once where `jobs` allows.

    Raises what a stage raises, after the stages before it were recorded; UserError for a selected
    stage whose inputs are not there; StoppedError where SIGTERM or SIGINT ended it.
    """
    selected = [
        stage
        for stage in pipeline.stages
        if options.selected is None or stage.name in options.selected
    ]
    done: dict[str, Done] = {}
    record: dict[str, Any] = {
        "run": run.name,
        "name": pipeline.name,
        "started": now(),
        "verdict": "running",
        "uses": {},
        "stages": [],
    }

    def fail(error: BaseException) -> None:
        record["verdict"] = "stopped" if isinstance(error, StoppedError) else "failed"
        record.update(error=f"{type(error).__name__}: {error}", finished=now())
        record.update(options.about(list(done.values()), error))

    def finish(result: Done) -> None:
        done[result.stage.name] = result
        record["stages"].append(
            {
                "component": result.stage.name,
                "key": result.artifact.key,
                "cached": result.cached,
                "reason": result.reason,
                "seconds": round(result.seconds, 3),
            }
        )
        if not result.cached:
            store.save_run(run, record)
        options.on_done(result)

    def use(keys: Mapping[str, str]) -> None:
        if new := {
            name: key for name, key in keys.items() if key not in record["uses"].get(name, ())
        }:
            record["uses"] |= {
                name: [*record["uses"].get(name, ()), key] for name, key in new.items()
            }
            store.announce(run, record)

    try:
        for stage in selected:
            if stage.component.check:
                stage.component.check(stage.params)
        for guard in _guards(pipeline, selected):
            guard.before()
    except (
        UserError
    ) as error:  # nothing began: a run of which nobody wants to know more leaves no record
        fail(error)
        if record.keys() - {
            "run",
            "name",
            "started",
            "verdict",
            "uses",
            "stages",
            "error",
            "finished",
        }:
            store.save_run(run, record)
        raise
    with store.running(run.name):
        store.save_run(run, record)
        try:
            with stopping() as stop, workers(run / LOG, options.jobs, options.fresh) as pool:
                stop.end_workers = pool.end
                use(_known_keys(pipeline, store, {}))
                _prepare(selected, store, pool, options, stop)
                _run_all(pipeline, selected, store, pool, options, done, finish, stop, use)
        except BaseException as error:
            fail(error)
            store.save_run(run, record)
            raise
        record |= {"verdict": "finished", "finished": now()}
        record |= options.about(list(done.values()), None)
        store.save_run(run, record)
    return list(done.values())


# Gets component -> key of what a run relies on from then on (`Store.announce`); what was read of
# them before is read again.
Use = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class Started:
    """A stage in the making.

    Its future figures, what commits them, and the folder it writes into.
    """

    future: Future
    commit: Callable[[Figures], Done]
    aside: Path


def _prepare(
    stages: Sequence[Stage], store: Store, pool: Workers, options: Options, stop: Stop
) -> None:
    for stage in stages:
        component = stage.component
        if (
            component.prepare
            and component.external_digest
            and read_external_digest(stage, store, {}) is None
        ):
            options.on_start(stage)
            result(pool.submit(component.prepare, stage.params), stage.name, pool, stop)


def _known_keys(pipeline: Pipeline, store: Store, known: Mapping[str, str]) -> dict[str, str]:
    """Component -> key, as far as keys follow from data that is there and from those that are
    known. Reads no record.
    """
    keys: dict[str, str] = {}
    for stage in pipeline.stages:
        if stage.name in known:
            keys[stage.name] = known[stage.name]
        elif not stage.component.compares and all(
            source.name in keys for source in stage.inputs.values()
        ):
            inputs = {name: keys[source.name] for name, source in stage.inputs.items()}
            external_digest = read_external_digest(stage, store, inputs)
            if external_digest is not None or not stage.component.external_digest:
                keys[stage.name] = digest(
                    key_parts(stage.component, stage.params, inputs, external_digest)
                )
    return keys


def _run_all(
    pipeline: Pipeline,
    selected: Sequence[Stage],
    store: Store,
    pool: Workers,
    options: Options,
    done: dict[str, Done],
    finish: Callable[[Done], None],
    stop: Stop,
    use: Use,
) -> None:
    waiting, guards = list(pipeline.stages), _guards(pipeline, selected)
    running: dict[Future, tuple[Started, ExitStack, Stage]] = {}
    with ExitStack() as open_locks:
        while waiting or running:
            for stage in [stage for stage in waiting if _is_ready(stage, pipeline, done)]:
                if len(running) >= options.jobs:
                    break
                if stop.by:
                    raise StoppedError(f"before {stage.name}", stop.by)
                waiting.remove(stage)
                locked = ExitStack()
                open_locks.push(locked)
                started = _start(stage, pipeline, selected, store, pool, options, done, locked, use)
                if isinstance(started, Done):
                    locked.close()
                    finish(started)
                    _pass_gate(started, guards)
                else:
                    running[started.future] = (started, locked, stage)
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    started, locked, stage = running.pop(future)
                    try:
                        made = started.commit(result(future, stage.name, pool, stop))
                    except BaseException:
                        store.drop(started.aside)
                        raise
                    locked.close()
                    finish(made)
                    _pass_gate(made, guards)


def _is_ready(stage: Stage, pipeline: Pipeline, done: Mapping[str, Done]) -> bool:
    """Its inputs are there, and every gate that was added before it let the run pass."""
    before = pipeline.stages[: pipeline.stages.index(stage)]
    gates = [each for each in before if each.component.gate]
    return all(each.name in done for each in (*stage.inputs.values(), *gates))


def _guards(pipeline: Pipeline, selected: Sequence[Stage]) -> list[Guard]:
    return [guard for guard in pipeline.guards if guard.of in [stage.name for stage in selected]]


def _pass_gate(done: Done, guards: Sequence[Guard]) -> None:
    """Raises what the stage's gate raises, or a guard after it.

    Its artifact stays, so that one can look at it.
    """
    if gate := done.stage.component.gate:
        gate(done.artifact.uri, done.stage.params)
    for guard in guards:
        if guard.after == done.stage.name:
            guard.judge(done.artifact.uri)


def _start(
    stage: Stage,
    pipeline: Pipeline,
    selected: Sequence[Stage],
    store: Store,
    pool: Workers,
    options: Options,
    done: Mapping[str, Done],
    locked: ExitStack,
    use: Use,
) -> Done | Started:
    """A finished artifact, or one in the making. Holds the key's lock from here on."""
    component = stage.component
    inputs = {name: done[source.name].artifact for name, source in stage.inputs.items()}
    keys = {name: each.key for name, each in inputs.items()}
    external_digest = read_external_digest(stage, store, keys)
    parts = key_parts(component, stage.params, keys, external_digest)
    artifact = Artifact(component.output, store.path(stage.name, digest(parts)), digest(parts))
    use(
        _known_keys(
            pipeline,
            store,
            {**{name: each.artifact.key for name, each in done.items()}, stage.name: artifact.key},
        )
    )
    reason = reason_to_run(stage, parts, store, options.force, pipeline.name)
    if reason is not None:
        locked.enter_context(store.lock(stage.name, artifact.key))
        # Once more: another run may have made it while this one waited for the lock.
        reason = reason_to_run(stage, parts, store, options.force, pipeline.name)
    if reason is None:
        record = store.execution(stage.name, artifact.key)
        assert record is not None, "a stage with nothing to run has a record"
        return Done(stage, artifact, record["figures"], record["seconds"], True, "finished")
    if stage not in selected:
        raise UserError(
            f"{stage.name} is not among the selected stages and its artifact is not there"
            f" ({reason}). Widen --from."
        )
    options.on_start(stage)
    flags = (
        dataflow.job_flags(options.beam_args, stage.name, artifact.key, str(store.root))
        if component.beam
        else ()
    )
    aside = store.begin(stage.name, artifact.key, component.beam, keep=_goes_on(flags, options))
    arguments: dict[str, Any] = {
        name: store.local_folder(each, component.beam) for name, each in inputs.items()
    }
    arguments |= _extras(stage, pipeline, store, flags, digest(parts), use)
    started, clock = now(), time.monotonic()
    future = pool.submit(
        worker.call,
        component.run,
        {**arguments, "params": stage.params, "output": aside},
        stage.name,
    )

    def commit(figures: Figures) -> Done:
        seconds = time.monotonic() - clock
        if read_external_digest(stage, store, keys) != external_digest:
            raise UserError(
                f"The data of {stage.name} changed while it was read; nothing was kept. Run again."
            )
        record = {
            "component": stage.name,
            "name": pipeline.name,
            "type": component.output,
            "key": artifact.key,
            "key_parts": parts,
            "params": stage.params.model_dump(mode="json"),
            "inputs": {
                name: {"component": stage.inputs[name].name, "key": each.key}
                for name, each in inputs.items()
            },
            "figures": figures,
            "started": started,
            "finished": now(),
            "seconds": round(seconds, 3),
        }
        store.commit(aside, artifact, stage.name, record)
        return Done(stage, artifact, figures, seconds, False, reason)

    return Started(future, commit, aside)


def _goes_on(flags: Sequence[str], options: Options) -> bool:
    """Whether a Dataflow job that an earlier run submitted is still making the stage's artifact."""
    if not dataflow.is_used(flags):
        return False
    name = str(dataflow.option(flags, "job_name"))
    options.submitted.append(name)
    return dataflow.client(flags).active(name) is not None


def _extras(
    stage: Stage, pipeline: Pipeline, store: Store, beam_args: Sequence[str], key: str, use: Use
) -> dict[str, Any]:
    """The arguments that a component asked for by its flags."""
    component = stage.component
    extras: dict[str, Any] = {}
    if component.beam:
        extras["beam_args"] = tuple(beam_args)
    if component.span_cache:
        extras["span_cache"] = replace(store.span_cache(component), owner=key)
    if component.previous:
        latest = store.latest(stage.name, pipeline.name)
        if latest:
            use({stage.name: latest["key"]})
        is_there = latest and latest["key"] != key and store.execution(stage.name, latest["key"])
        extras["previous"] = store.path(stage.name, latest["key"]) if latest and is_there else None
    if component.resumes:
        extras["work"] = store.work(stage.name, key)
    if component.shares:
        readers = [
            each
            for each in pipeline.stages
            if stage in each.inputs.values() and each.component.analyze
        ]
        extras["analyses"] = {
            each.name: partial(
                each.component.analyze,
                params=each.params,
                span_cache=replace(store.span_cache(each.component), owner=key),
            )
            for each in readers
            if each.component.analyze
        }
    return extras


def result(future: Future, name: str, pool: Workers, stop: Stop) -> Any:
    """What a stage's process returned.

    Raises what it raised, StoppedError where a signal ended it, UserError where it died.
    """
    try:
        return future.result()
    except StoppedError as error:
        raise StoppedError(error.where, stop.by or error.by) from None
    except BrokenProcessPool:
        if stop.by or pool.ended_by_sigterm():
            raise StoppedError(
                f"in {name}, of which nothing half-made was kept,", stop.by or "SIGTERM"
            ) from None
        raise UserError(
            f"The process of {name} died (killed, or out of memory); nothing half-made was kept."
            " Run the same command again."
        ) from None
