"""The commands."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from components import dataflow
from components.base import StoppedError, UserError
from components.files import is_remote
from components.trainer import cluster
from pipeline import __version__, options, template
from pipeline.doctor.command import doctor
from pipeline.gc.command import gc
from pipeline.options import (
    DEFAULT,
    BeamRunner,
    Config,
    DataDir,
    Image,
    Jobs,
    Project,
    Region,
    Root,
    ServingDir,
    Settings,
    TempLocation,
    Verbose,
)
from pipeline.report.command import compare, history, report
from pipeline.retrain.command import retrain
from pipeline.worker import StageError

app = typer.Typer(
    help="Raw text to a served SimpleRNN text classifier.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

From = Annotated[str | None, typer.Option("--from", help="the first stage that may run; those before it must be finished")]
To = Annotated[str | None, typer.Option("--to", help="the last stage that may run")]
# Of `run --profile`.
PROFILE_STEPS = 50

Model = Annotated[str, typer.Option("--model", "-m", help="a SavedModel, or a folder with versions of one; local or under gs://")]
Force = Annotated[bool, typer.Option("--force", help="run the selected stages again, finished or not")]


def _select(pipe: Any, first: str | None, last: str | None) -> list[str]:
    names = [stage.name for stage in pipe.stages]
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in names:
            raise UserError(f"{flag} {name!r} is no stage; the stages are {', '.join(names)}.")
    selected = names[names.index(first) if first else 0 : names.index(last) + 1 if last else None]
    if not selected:
        raise UserError(f"--from {first} --to {last} selects no stage; their order is {', '.join(names)}.")
    return selected


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def run(
    context: typer.Context,
    config: Config = DEFAULT,
    settings: Settings = None,
    root: Root = None,
    serving_dir: ServingDir = None,
    data_dir: DataDir = None,
    first: From = None,
    last: To = None,
    force: Force = False,
    jobs: Jobs = 1,
    verbose: Verbose = False,
    profile: Annotated[bool, typer.Option("--profile", help=f"write a TensorFlow profile of {PROFILE_STEPS} training steps")] = False,
    runner: BeamRunner = None,
    project: Project = None,
    region: Region = None,
    temp_location: TempLocation = None,
    image: Image = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Dataflow: check everything, print the jobs, send none")] = False,
) -> None:
    """Run the pipeline: what is finished is not done again. What follows `--` goes to Beam.

    With TF_CONFIG, the chief runs it, and the other workers take part in its training.
    """
    from pipeline import console, launch, participant, preflight
    from pipeline import report as reporting
    from pipeline import runner as running
    from pipeline.report.reproduce import about

    started = time.monotonic()
    beam_args = options.beam_flags(
        context.args, runner=runner, project=project, region=region, temp_location=temp_location, sdk_container_image=image
    )
    profiled = [f"trainer.profile_steps={PROFILE_STEPS}"] if profile else []
    loaded, pipe, store = options.load(config, [*(settings or []), *profiled], root, serving_dir, data_dir)
    selected = _select(pipe, first, last)
    # A stage behind the last selected one is not part of this run; one before the first must be finished.
    pipe.stages = pipe.stages[: [stage.name for stage in pipe.stages].index(selected[-1]) + 1]
    if dry_run and not dataflow.is_used(beam_args):
        raise UserError("--dry-run is for --runner=DataflowRunner; `seqline plan` says what a run would do.")
    if dataflow.is_used(beam_args):
        preflight.check(pipe, loaded.root, beam_args)
    if dry_run:
        planned = running.plan(pipe, store, selected if force else ())
        keys = {each.stage.name: each.key for each in planned if each.runs and each.stage.name in selected}
        print(json.dumps(preflight.jobs(pipe, keys, str(store.root), beam_args), indent=2))
        return
    out = Console()
    team = cluster.read()
    if team and not team.is_chief:
        launch.listen(out, verbose)
        participant.take_part(pipe, store, selected, selected if force else (), lambda line: _say(out, team, line))
        return
    how = running.Options(jobs=jobs, fresh=team is not None, beam_args=beam_args, force=selected if force else (), selected=selected)
    how.about = lambda done, error: about(loaded, pipe, ["seqline", *sys.argv[1:]])
    folder = store.start_run()
    try:
        done = launch.execute(pipe, store, folder, how, out, verbose)
        console.print_summary(out, done, started, config, loaded.pusher.serving_dir)
    finally:
        if written := reporting.report_run(store, folder, lambda line: print(line, file=sys.stderr)):
            out.print(f"report         {written}", highlight=False, markup=False, soft_wrap=True)


def _say(out: Console, team: cluster.Cluster, line: str) -> None:
    out.print(f"{team.name(team.number)}: {line}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def plan(
    config: Config = DEFAULT,
    settings: Settings = None,
    root: Root = None,
    serving_dir: ServingDir = None,
    data_dir: DataDir = None,
    first: From = None,
    last: To = None,
    force: Force = False,
) -> None:
    """Print what a run would do, stage by stage, and why. Changes nothing."""
    from pipeline import console, runner

    _, pipe, store = options.load(config, settings, root, serving_dir, data_dir)
    selected = _select(pipe, first, last)
    planned = runner.plan(pipe, store, selected if force else ())
    console.print_plan(Console(), [each for each in planned if each.stage.name in selected])


@app.command()
def show(
    run_id: Annotated[str | None, typer.Argument(help="a run; the last one if none is given")] = None,
    root: Annotated[str, typer.Option("--root", help="where artifacts, records and logs lie: a folder, or gs://bucket/path")] = "artifacts",
    as_json: Annotated[bool, typer.Option("--json", help="the whole record, for machines")] = False,
) -> None:
    """Show a run: its stages, figures and lineage."""
    from pipeline.store import open_store

    if not is_remote(root) and not Path(root).is_dir():
        raise UserError(f"There is no folder {root!r}. Name the root of the run with --root.")
    store = open_store(root)
    runs = {path.name: path for path in store.runs()}
    if not runs:
        raise UserError(f"No run has been recorded under {root!r}. seqline run makes one.")
    if run_id is not None and run_id not in runs:
        raise UserError(f"There is no run {run_id!r} under {root!r}; the last ones are {', '.join(list(runs)[-5:])}.")
    record = json.loads((runs[run_id or max(runs)] / "run.json").read_text())
    executions = {each["component"]: store.execution(each["component"], each["key"]) for each in record["stages"]}
    if as_json:
        print(json.dumps({**record, "executions": executions}, indent=2))
        return
    _print_run(Console(), record, executions, runs[record["run"]])


def _print_run(out: Console, record: Any, executions: Any, folder: Path) -> None:
    name = f" of {record['name']}" if record.get("name") else ""
    out.print(
        f"run {record['run']}{name}: {record['verdict']}{': ' + record['error'] if 'error' in record else ''}",
        markup=False,
        highlight=False,
    )
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("stage", "key", "from", "seconds", "why it ran"):
        table.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
    for each in record["stages"]:
        execution = executions[each["component"]] or {"inputs": {}}
        lineage = ", ".join(f"{source['component']} {source['key'][:6]}" for source in execution["inputs"].values())
        table.add_row(each["component"], each["key"], lineage, "cached" if each["cached"] else str(each["seconds"]), each["reason"])
    out.print(table)
    for name, execution in executions.items():
        out.print(f"\n{name}", style="bold")
        if execution is None:
            out.print("  its artifact is gone")
            continue
        for figure, value in execution["figures"].items():
            out.print(f"  {figure}: {json.dumps(value, ensure_ascii=False)}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"\nlog: {folder / 'log.txt'}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="texts, or what the model reads: JSON lists of tokens or of time steps; from standard input, one a line, if none is given"
        ),
    ] = None,
    model: Model = "serving_dir",
) -> None:
    """Classify rows with the served model, texts, tokens or sequences: one JSON line each."""
    from components.staging import local, path_of
    from pipeline import predict as asking

    try:
        for answer in asking.predict(local(asking.find_model(path_of(model))), texts or _lines()):
            print(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "replace"), flush=True)
    except asking.InputError as error:
        raise UserError(str(error)) from None


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def infer(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="files of rows, as in example_gen.source: a name or a glob, or a folder of .txt")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="the folder for the predictions, local or under gs://; the same again goes on with them")
    ],
    model: Model = "serving_dir",
    text: Annotated[str | None, typer.Option("--text", help="the column with the content")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="a column whose values come along, such as an id; any number")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl or tfrecord")] = None,
    signature: Annotated[str | None, typer.Option("--signature", help="the signature that is asked")] = None,
    config: Config = DEFAULT,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="replace predictions of another model, source or setting")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="also print how far it is")] = False,
) -> None:
    """Classify the rows of files with the served model: JSON lines or TFRecord. What follows `--` goes to Beam."""
    from components.bulk_inferrer import BULK_INFERRER
    from pipeline import config as configuration
    from pipeline import console, preflight
    from pipeline import infer as inferring

    places = {"source": source, "text": text, "format": format_, "signature": signature}
    more = [f"bulk_inferrer.keep={json.dumps(keep)}"] if keep else []
    loaded = configuration.load(
        config, [*(settings or []), *more], {f"bulk_inferrer.{name}": value for name, value in places.items() if value is not None}
    )
    params = loaded.bulk_inferrer.around(loaded.example_gen.row_format)
    if dataflow.is_used(context.args):
        preflight.check_infer(params, model, output, context.args)
    out = Console()
    progress = console.Progress(out, verbose)
    logging.getLogger("seqline").handlers = [progress]
    started = time.monotonic()
    try:
        figures = inferring.infer(model, output, params, force, context.args, lambda: progress.begin(BULK_INFERRER.name))
    finally:
        progress.stop()
    seconds = time.monotonic() - started
    out.print(f"{BULK_INFERRER.describe(figures)}  ({seconds:.1f} s)", markup=False, highlight=False, soft_wrap=True)
    out.print(f"predictions    {output}/predictions.json", markup=False, highlight=False, soft_wrap=True)


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:  # bytes: a row ends in \n only, and may be anything but UTF-8
        yield line.rstrip(b"\n").decode("utf-8", "surrogateescape")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Serve the pushed model by TensorFlow Serving's REST API, and a page to try it; `seqline serve --help` lists the flags."""
    from pipeline.serve import main

    sys.exit(main.main(context.args))


Served = Annotated[str, typer.Option("--serving-dir", help="where versions are published, a folder or gs://")]


@app.command()
def versions(
    serving_dir: Served = "serving_dir",
    as_json: Annotated[bool, typer.Option("--json", help="a list, for machines")] = False,
) -> None:
    """List the pushed versions: labels, digest, when they were pushed, test accuracy."""
    from components.pusher import publish
    from pipeline import console, identity

    found = publish.listing(identity.find_versions(serving_dir))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        console.print_versions(Console(), found)


@app.command()
def rollback(
    to: Annotated[int | None, typer.Option("--to", help="a version; the last one before with other content if none is given")] = None,
    serving_dir: Served = "serving_dir",
) -> None:
    """Publish an earlier version again, as the next one and as stable."""
    from components.pusher import publish
    from pipeline import identity, owner

    place = identity.find_versions(serving_dir)
    done = publish.rollback(place, to, owner.who())
    print(f"{place}/{done['version']} has the files of version {done['rollback_of']} and is stable")


@app.command()
def promote(serving_dir: Served = "serving_dir") -> None:
    """Make the version labelled canary the stable one."""
    from components.pusher import publish
    from pipeline import identity, owner

    place = identity.find_versions(serving_dir)
    print(f"{place}/{publish.promote(place, by=owner.who())} is stable")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


# The commands with a module of their own.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})(retrain)
app.command()(report)
app.command()(history)
app.command()(compare)
app.command()(gc)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(doctor)
app.add_typer(template.commands, name="template")


def main() -> None:
    """The console script: a user's error is one line and its exit code, anything else a traceback."""
    try:
        app()
    except StoppedError as stopped:  # no error: somebody wanted it
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except StageError as error:  # a bug: where it happened in the worker, not how the word of it came here
        print(error, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `seqline show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
