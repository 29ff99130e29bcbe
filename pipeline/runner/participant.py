"""What a worker does that is not the chief.

It waits for the trainer's inputs, takes part in the training, and writes nothing.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.runner import worker
from pipeline.runner.execute import result
from pipeline.runner.plan import Pipeline, Planned, Stage, plan
from pipeline.runner.pool import workers
from pipeline.runner.stopping import stopping
from pipeline.store.folder import Store
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
    """Runs the stages that all workers run together, at the chief's side.

    Raises UserError where their inputs do not come, or the chief's run fails before; else what the
    stage raises.
    """
    with stopping() as stop, tempfile.TemporaryDirectory(prefix="seqline-") as folder:
        for stage in pipeline.stages:
            if not stage.component.on_all_workers or stage.name not in selected:
                continue
            planned = _wait_for_inputs(stage, pipeline, store, force, say)
            if planned is None:
                say(f"{stage.name}: finished, nothing to take part in")
                continue
            say(f"{stage.name}: taking part")
            output = Path(folder) / stage.name
            output.mkdir()
            arguments = {
                name: store.local_folder(
                    Artifact(source.component.output, store.path(source.name, key), key)
                )
                for name, source in stage.inputs.items()
                if (key := str(planned[source.name].key))
            }
            if stage.component.takes("work"):
                arguments["work"] = store.work(stage.name, str(planned[stage.name].key))
            # The log goes with the folder: what the chief's holds is the same.
            with workers(Path(folder) / "log.txt", 1, fresh=True) as pool:
                stop.end_workers = pool.end
                future = pool.submit(
                    worker.call,
                    stage.component.run,
                    {**arguments, "params": stage.params, "output": output},
                    stage.name,
                )
                result(future, stage.name, pool, stop)
            say(f"{stage.name}: ended; its artifact is the chief's")


def _wait_for_inputs(
    stage: Stage, pipeline: Pipeline, store: Store, force: Sequence[str], say: Callable[[str], None]
) -> dict[str, Planned] | None:
    """The plan, as soon as the stage's inputs are in the store.

    None where its own artifact is there already.
    """
    limit = float(getattr(stage.params, "worker_wait_seconds", 3600.0))
    started = said = time.monotonic()
    ended_before = {path.name for path in store.runs() if _record(path).get("verdict") != "running"}
    while True:
        planned = {each.stage.name: each for each in plan(pipeline, store, force)}
        if not planned[stage.name].runs:
            return None
        missing = [
            name
            for name in (source.name for source in stage.inputs.values())
            if not _is_there(planned[name], store)
        ]
        if not missing:
            return planned
        for path in store.runs():
            if path.name not in ended_before and _record(path).get("verdict") in (
                "failed",
                "stopped",
            ):
                raise UserError(
                    f"The chief's run {path.name} did not get to {stage.name}:"
                    f" {_record(path).get('error')}"
                )
        waited = time.monotonic() - started
        if waited > limit:
            raise UserError(
                f"{missing[0]} of the chief was not in {str(store.root)!r} after {limit:.0f} s."
                " Does the chief run, with the same configuration, version, data and root?"
                " trainer.worker_wait_seconds is the limit."
            )
        if said == started or time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            say(f"{stage.name}: waiting for {missing[0]} of the chief, {waited:.0f} s so far")
        time.sleep(LOOK_SECONDS)


def _is_there(planned: Planned, store: Store) -> bool:
    return planned.key is not None and store.execution(planned.stage.name, planned.key) is not None


def _record(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / "run.json").read_text())
    except FileNotFoundError:  # `seqline gc` took an old run away
        return {}
