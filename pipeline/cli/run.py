"""`seqline run` and `seqline plan`."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import chosen, options, usage
from pipeline.cli.options import BeamOptions, Jobs, RunOptions, Track, Verbose

if TYPE_CHECKING:
    from pipeline.api.prepare import Prepared
    from pipeline.runner.plan import Pipeline
    from pipeline.runner.run import StageResult
    from pipeline.store.folder import Store

# Training steps in the profile of `run --profile`.
PROFILE_STEPS = 50

From = Annotated[
    str | None,
    typer.Option("--from", help="first stage that may run; the stages before it must be finished"),
]
To = Annotated[str | None, typer.Option("--to", help="last stage that may run")]
Force = Annotated[
    bool, typer.Option("--force", help="run the selected stages again even if they are finished")
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="read every file of the finished artifacts, and make damaged ones again"
    ),
]


def run(
    context: typer.Context,
    common: RunOptions,
    beam: BeamOptions,
    first: From = None,
    last: To = None,
    force: Force = False,
    verify: Verify = False,
    jobs: Jobs = 1,
    verbose: Verbose = False,
    track: Track = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help=f"write a TensorFlow profile of {PROFILE_STEPS} training steps"
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Dataflow: check everything and print the jobs, but start none"
        ),
    ] = False,
) -> None:
    """Run the pipeline. Finished stages are not run again. Flags for Beam follow `--`.

    If TF_CONFIG is set, the chief runs the pipeline, the other workers take part in its training,
    and an evaluator waits for its end.
    """
    from rich.console import Console

    from components.trainer.distributed import cluster, job
    from pipeline import trackers
    from pipeline.api.prepare import Show, carry_out, prepare
    from pipeline.cli import console, launch
    from pipeline.cli.terminal import print_line
    from pipeline.runner.participant import take_part, wait_for_end
    from pipeline.runner.run import Options

    started = time.monotonic()
    beam_args = options.beam_flags(context, beam)
    trackers.chosen(track or [])
    job.set_tf_config()

    settings = list(common.settings or [])
    if profile:
        settings.append(f"trainer.profile_steps={PROFILE_STEPS}")
    loaded = chosen.read(replace(common, settings=settings))
    ready = prepare(loaded, first, last, force)

    _check_dataflow(ready.pipe, loaded.root, beam_args, dry_run)
    if dry_run:
        _print_jobs(ready, beam_args)
        return

    out = Console()
    if cluster.is_evaluator():
        launch.listen(out, verbose)
        wait_for_end(
            ready.pipe,
            ready.store,
            ready.selected,
            ready.forced,
            lambda line: print_line(out, f"evaluator: {line}"),
        )
        return

    team = cluster.read()
    if team and not team.is_chief:
        launch.listen(out, verbose)
        name = team.name(team.number)
        take_part(
            ready.pipe,
            ready.store,
            ready.selected,
            ready.forced,
            lambda line: print_line(out, f"{name}: {line}"),
        )
        return

    how = Options(
        jobs=jobs,
        fresh=team is not None,
        beam_args=beam_args,
        force=ready.forced,
        verify=verify,
        selected=ready.selected,
    )

    def execute(
        pipe: "Pipeline", store: "Store", folder: Path, how: Options
    ) -> "list[StageResult]":
        done = launch.execute(pipe, store, folder, how, out, verbose)
        console.print_summary(out, done, started, loaded.pusher.serving_dir)
        return done

    show = Show(
        execute,
        on_report=lambda page: print_line(out, f"report         {page}"),
        on_tracked=lambda line: print_line(out, f"tracked        {line}"),
        warn=lambda line: print(line, file=sys.stderr),
    )
    carry_out(ready, how, show, track or [], ["seqline", *sys.argv[1:]])


def _check_dataflow(pipe: "Pipeline", root: str, beam_args: list[str], dry_run: bool) -> None:
    """Checks a run on Dataflow before it begins, and that --dry-run is not given for another."""
    from pipeline.dataflow import preflight
    from seqline.errors import UserError
    from seqline.jobs import dataflow

    if dataflow.is_used(beam_args):
        preflight.check(pipe, root, beam_args)
    elif dry_run:
        raise UserError(
            "--dry-run is for --runner=DataflowRunner; `seqline plan` says what a run would do."
        )


def plan(
    common: RunOptions,
    first: From = None,
    last: To = None,
    force: Force = False,
    verify: Verify = False,
) -> None:
    """Print what a run would do, stage by stage, and why. Changes nothing."""
    from rich.console import Console

    from components import example_gen
    from pipeline.api.prepare import prepare
    from pipeline.cli import console
    from pipeline.runner import plan as planning

    loaded = chosen.read(common, "plan")
    ready = prepare(loaded, first, last, force)
    example_gen.check(loaded.example_gen)
    planned = planning.plan(ready.pipe, ready.store, ready.forced, verify)
    planned = [stage for stage in planned if stage.stage.name in ready.selected]
    console.print_plan(Console(), planned, planning.from_data(planned, ready.store))


def _print_jobs(ready: "Prepared", beam_args: list[str]) -> None:
    """Prints the Dataflow jobs that a run would start."""
    from pipeline.dataflow import preflight
    from pipeline.runner import plan as planning

    keys: dict[str, Any] = {}
    for stage in planning.plan(ready.pipe, ready.store, ready.forced):
        if stage.runs and stage.stage.name in ready.selected:
            keys[stage.stage.name] = stage.key
    root = str(ready.store.root)
    print(json.dumps(preflight.jobs(ready.pipe, keys, root, beam_args), indent=2))


app, plan_app = usage.single(run, cls=usage.BeamCommand), usage.single(plan)
