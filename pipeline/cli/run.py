"""`seqline run` and `seqline plan`."""

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options, usage
from pipeline.cli.options import BeamOptions, Jobs, RunOptions, Track, Verbose

if TYPE_CHECKING:
    from pipeline.runner.plan import Pipeline
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
    from pipeline import report, trackers
    from pipeline.cli import console, launch
    from pipeline.cli.terminal import print_line
    from pipeline.report.reproduce import about
    from pipeline.runner.participant import take_part, wait_for_end
    from pipeline.runner.run import Options
    from pipeline.trackers.following import following

    started = time.monotonic()
    beam_args = options.beam_flags(context, beam)
    trackers.chosen(track or [])
    job.set_tf_config()

    settings = list(common.settings or [])
    if profile:
        settings.append(f"trainer.profile_steps={PROFILE_STEPS}")
    loaded, pipe, store = options.load(replace(common, settings=settings))

    selected = _select(pipe, first, last)
    forced = selected if force else []
    # A stage after the last selected one is not part of this run; one before the first must be
    # finished.
    last_place = [stage.name for stage in pipe.stages].index(selected[-1])
    pipe.stages = pipe.stages[: last_place + 1]

    _check_dataflow(pipe, loaded.root, beam_args, dry_run)
    if dry_run:
        _print_jobs(pipe, store, selected, forced, beam_args)
        return

    out = Console()
    if cluster.is_evaluator():
        launch.listen(out, verbose)
        wait_for_end(
            pipe, store, selected, forced, lambda line: print_line(out, f"evaluator: {line}")
        )
        return

    team = cluster.read()
    if team and not team.is_chief:
        launch.listen(out, verbose)
        name = team.name(team.number)
        take_part(pipe, store, selected, forced, lambda line: print_line(out, f"{name}: {line}"))
        return

    how = Options(
        jobs=jobs,
        fresh=team is not None,
        beam_args=beam_args,
        force=forced,
        verify=verify,
        selected=selected,
        about=lambda done, error: about(loaded, pipe, ["seqline", *sys.argv[1:]]),
    )

    opened = trackers.open_trackers(track or [])
    folder = store.start_run()
    tracked = trackers.TrackedRun(
        folder, pipe, store, loaded.model_dump(mode="json"), ["seqline", *sys.argv[1:]]
    )
    with following(opened, tracked, how, lambda line: print_line(out, f"tracked        {line}")):
        try:
            done = launch.execute(pipe, store, folder, how, out, verbose)
            console.print_summary(out, done, started, loaded.pusher.serving_dir)
        finally:
            page = report.report_run(store, folder, lambda line: print(line, file=sys.stderr))
            if page:
                print_line(out, f"report         {page}")


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
    from pipeline.cli import console
    from pipeline.runner import plan as planning

    loaded, pipe, store = options.load(common, "plan")
    example_gen.check(loaded.example_gen)
    selected = _select(pipe, first, last)
    planned = planning.plan(pipe, store, selected if force else (), verify)
    planned = [stage for stage in planned if stage.stage.name in selected]
    console.print_plan(Console(), planned, planning.from_data(planned, store))


def _select(pipe: "Pipeline", first: str | None, last: str | None) -> list[str]:
    """The names of the stages from the first to the last, which may be None."""
    from seqline.errors import UserError
    from seqline.suggest import suggestion

    names = [stage.name for stage in pipe.stages]
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in names:
            raise UserError(
                f"{flag} {name!r} is not a stage; the stages are"
                f" {', '.join(names)}.{suggestion(name, names)}"
            )

    start = names.index(first) if first else 0
    end = names.index(last) + 1 if last else None
    selected = names[start:end]
    if not selected:
        raise UserError(
            f"--from {first} --to {last} selects no stage; their order is {', '.join(names)}."
        )
    return selected


def _print_jobs(
    pipe: "Pipeline",
    store: "Store",
    selected: list[str],
    forced: list[str],
    beam_args: list[str],
) -> None:
    """Prints the Dataflow jobs that a run would start."""
    from pipeline.dataflow import preflight
    from pipeline.runner import plan as planning

    keys: dict[str, Any] = {}
    for stage in planning.plan(pipe, store, forced):
        if stage.runs and stage.stage.name in selected:
            keys[stage.stage.name] = stage.key
    print(json.dumps(preflight.jobs(pipe, keys, str(store.root), beam_args), indent=2))


app, plan_app = usage.single(run, cls=usage.BeamCommand), usage.single(plan)
