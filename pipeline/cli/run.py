"""`seqline run` and `seqline plan`."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options, usage
from pipeline.cli.options import (
    Alias,
    BeamRunner,
    ConfigOrData,
    DataDir,
    Image,
    Jobs,
    Label,
    Project,
    Region,
    Root,
    ServingDir,
    Settings,
    TempLocation,
    Text,
    Verbose,
)

if TYPE_CHECKING:
    from rich.console import Console

    from components.trainer.distributed import cluster

From = Annotated[
    str | None,
    typer.Option("--from", help="the first stage that may run; those before it must be finished"),
]
To = Annotated[str | None, typer.Option("--to", help="the last stage that may run")]
# Of `run --profile`.
PROFILE_STEPS = 50

Force = Annotated[
    bool, typer.Option("--force", help="run the selected stages again, finished or not")
]


def _select(pipe: Any, first: str | None, last: str | None) -> list[str]:
    from seqline.errors import UserError
    from seqline.suggest import suggestion

    names = [stage.name for stage in pipe.stages]
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in names:
            raise UserError(
                f"{flag} {name!r} is no stage; the stages are"
                f" {', '.join(names)}.{suggestion(name, names)}"
            )
    selected = names[names.index(first) if first else 0 : names.index(last) + 1 if last else None]
    if not selected:
        raise UserError(
            f"--from {first} --to {last} selects no stage; their order is {', '.join(names)}."
        )
    return selected


def run(
    context: typer.Context,
    config: ConfigOrData = None,
    alias: Alias = None,
    text: Text = None,
    label: Label = None,
    settings: Settings = None,
    root: Root = None,
    serving_dir: ServingDir = None,
    data_dir: DataDir = None,
    first: From = None,
    last: To = None,
    force: Force = False,
    jobs: Jobs = 1,
    verbose: Verbose = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help=f"write a TensorFlow profile of {PROFILE_STEPS} training steps"
        ),
    ] = False,
    runner: BeamRunner = None,
    project: Project = None,
    region: Region = None,
    temp_location: TempLocation = None,
    image: Image = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Dataflow: check everything, print the jobs, send none"),
    ] = False,
) -> None:
    """Run the pipeline: what is finished is not done again. What follows `--` goes to Beam.

    With TF_CONFIG, the chief runs it, and the other workers take part in its training.
    """
    from rich.console import Console

    from components.trainer.distributed import cluster
    from pipeline import report as reporting
    from pipeline.cli import console, launch
    from pipeline.dataflow import preflight
    from pipeline.report.reproduce import about
    from pipeline.runner import participant
    from pipeline.runner import plan as planning
    from pipeline.runner.run import Options
    from seqline.errors import UserError
    from seqline.jobs import dataflow

    started = time.monotonic()
    beam_args = options.beam_flags(
        context,
        runner=runner,
        project=project,
        region=region,
        temp_location=temp_location,
        sdk_container_image=image,
    )
    profiled = [f"trainer.profile_steps={PROFILE_STEPS}"] if profile else []
    loaded, pipe, store = options.load(
        config,
        [*(settings or []), *profiled],
        root,
        serving_dir,
        data_dir,
        alias=alias,
        text=text,
        label=label,
    )
    selected = _select(pipe, first, last)
    # A stage behind the last selected one is not part of this run; one before the first must be
    # finished.
    pipe.stages = pipe.stages[: [stage.name for stage in pipe.stages].index(selected[-1]) + 1]
    if dry_run and not dataflow.is_used(beam_args):
        raise UserError(
            "--dry-run is for --runner=DataflowRunner; `seqline plan` says what a run would do."
        )
    if dataflow.is_used(beam_args):
        preflight.check(pipe, loaded.root, beam_args)
    if dry_run:
        planned = planning.plan(pipe, store, selected if force else ())
        keys = {
            each.stage.name: each.key
            for each in planned
            if each.runs and each.stage.name in selected
        }
        print(json.dumps(preflight.jobs(pipe, keys, str(store.root), beam_args), indent=2))
        return
    out = Console()
    team = cluster.read()
    if team and not team.is_chief:
        launch.listen(out, verbose)
        participant.take_part(
            pipe, store, selected, selected if force else (), lambda line: _say(out, team, line)
        )
        return
    how = Options(
        jobs=jobs,
        fresh=team is not None,
        beam_args=beam_args,
        force=selected if force else (),
        selected=selected,
    )
    how.about = lambda done, error: about(loaded, pipe, ["seqline", *sys.argv[1:]])
    folder = store.start_run()
    try:
        done = launch.execute(pipe, store, folder, how, out, verbose)
        console.print_summary(out, done, started, loaded.name, loaded.pusher.serving_dir)
    finally:
        if written := reporting.report_run(
            store, folder, lambda line: print(line, file=sys.stderr)
        ):
            out.print(f"report         {written}", highlight=False, markup=False, soft_wrap=True)


def _say(out: "Console", team: "cluster.Cluster", line: str) -> None:
    out.print(f"{team.name(team.number)}: {line}", markup=False, highlight=False, soft_wrap=True)


def plan(
    config: ConfigOrData = None,
    alias: Alias = None,
    text: Text = None,
    label: Label = None,
    settings: Settings = None,
    root: Root = None,
    serving_dir: ServingDir = None,
    data_dir: DataDir = None,
    first: From = None,
    last: To = None,
    force: Force = False,
) -> None:
    """Print what a run would do, stage by stage, and why. Changes nothing."""
    from rich.console import Console

    from components import example_gen
    from pipeline.cli import console
    from pipeline.runner import plan as planning

    loaded, pipe, store = options.load(
        config,
        settings,
        root,
        serving_dir,
        data_dir,
        alias=alias,
        text=text,
        label=label,
        command="plan",
    )
    example_gen.check(loaded.example_gen)
    selected = _select(pipe, first, last)
    planned = planning.plan(pipe, store, selected if force else ())
    console.print_plan(Console(), [each for each in planned if each.stage.name in selected])


app, plan_app = usage.single(run, cls=usage.BeamCommand), usage.single(plan)
