"""The commands."""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pipeline import __version__, environment, options, usage
from pipeline.options import (
    Alias,
    AsJson,
    BeamRunner,
    ConfigOrData,
    DataDir,
    Image,
    Jobs,
    Label,
    Model,
    Project,
    Region,
    Root,
    RootPlace,
    ServingDir,
    ServingPlace,
    Settings,
    TempLocation,
    Text,
    Verbose,
)
from pipeline.usage import BeamCommand, Lazy

if TYPE_CHECKING:
    from rich.console import Console

    from components.trainer import cluster

# Beside the commands below: those with a module of their own.
LAZY = {
    "init": Lazy("pipeline.init.command", "Look at data and write a configuration for it, with comments."),
    "retrain": Lazy("pipeline.retrain.command", "Train on everything not yet trained on, and push it if every gate lets it pass."),
    "report": Lazy("pipeline.report.command", "Write a run's report anew."),
    "history": Lazy("pipeline.report.command", "List the runs, the newest last, with their verdicts.", "history_app"),
    "compare": Lazy("pipeline.report.command", "Compare two runs: figures, parameters, data, code.", "compare_app"),
    "gc": Lazy("pipeline.gc.command", "Delete what no run needs; asks first."),
    "doctor": Lazy("pipeline.doctor.command", "Say what of this machine stands in the way of a run, and the way out."),
    "template": Lazy("pipeline.template", "Flex Templates of Dataflow: a run started in the cloud.", "commands"),
}
ORDER = (
    *("init", "run", "plan", "retrain", "show", "report", "history", "compare", "predict", "infer", "serve", "versions", "rollback"),
    *("promote", "gc", "doctor", "template", "version"),
)


class Commands(usage.Group):
    lazy = LAZY
    order = ORDER


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def seqline(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Raw text to a served SimpleRNN text classifier.

    First steps: seqline init reviews.csv -o reviews.toml, then seqline run reviews.toml.
    """


From = Annotated[str | None, typer.Option("--from", help="the first stage that may run; those before it must be finished")]
To = Annotated[str | None, typer.Option("--to", help="the last stage that may run")]
# Of `run --profile`.
PROFILE_STEPS = 50

Force = Annotated[bool, typer.Option("--force", help="run the selected stages again, finished or not")]


def _select(pipe: Any, first: str | None, last: str | None) -> list[str]:
    from components.base import UserError
    from pipeline.suggest import suggestion

    names = [stage.name for stage in pipe.stages]
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in names:
            raise UserError(f"{flag} {name!r} is no stage; the stages are {', '.join(names)}.{suggestion(name, names)}")
    selected = names[names.index(first) if first else 0 : names.index(last) + 1 if last else None]
    if not selected:
        raise UserError(f"--from {first} --to {last} selects no stage; their order is {', '.join(names)}.")
    return selected


@app.command(cls=BeamCommand)
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
    from rich.console import Console

    from components import dataflow
    from components.base import UserError
    from components.trainer import cluster
    from pipeline import console, launch, participant, preflight
    from pipeline import report as reporting
    from pipeline import runner as running
    from pipeline.report.reproduce import about

    started = time.monotonic()
    beam_args = options.beam_flags(
        context, runner=runner, project=project, region=region, temp_location=temp_location, sdk_container_image=image
    )
    profiled = [f"trainer.profile_steps={PROFILE_STEPS}"] if profile else []
    loaded, pipe, store = options.load(
        config, [*(settings or []), *profiled], root, serving_dir, data_dir, alias=alias, text=text, label=label
    )
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
        console.print_summary(out, done, started, loaded.name, loaded.pusher.serving_dir)
    finally:
        if written := reporting.report_run(store, folder, lambda line: print(line, file=sys.stderr)):
            out.print(f"report         {written}", highlight=False, markup=False, soft_wrap=True)


def _say(out: "Console", team: "cluster.Cluster", line: str) -> None:
    out.print(f"{team.name(team.number)}: {line}", markup=False, highlight=False, soft_wrap=True)


@app.command()
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
    from pipeline import console, runner

    loaded, pipe, store = options.load(config, settings, root, serving_dir, data_dir, alias=alias, text=text, label=label, command="plan")
    example_gen.check(loaded.example_gen)
    selected = _select(pipe, first, last)
    planned = runner.plan(pipe, store, selected if force else ())
    console.print_plan(Console(), [each for each in planned if each.stage.name in selected])


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=options.RUN_HELP)] = "latest",
    root: RootPlace = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Show a run: its stages, figures and lineage."""
    from rich.console import Console

    from pipeline import show as showing
    from pipeline.report import reference

    store = reference.store_of(root)
    runs = {path.name: path for path in store.runs()}
    record = json.loads((runs[reference.find(store, run_id)] / "run.json").read_text())
    executions = {each["component"]: store.execution(each["component"], each["key"]) for each in record["stages"]}
    if as_json:
        print(json.dumps({**record, "executions": executions}, indent=2))
        return
    showing.print_run(Console(), record, executions, runs[record["run"]])


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
    from components.base import UserError
    from components.staging import local, path_of
    from pipeline import predict as asking

    try:
        for answer in asking.predict(local(asking.find_model(path_of(model))), texts or _lines()):
            print(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "replace"), flush=True)
    except asking.InputError as error:
        raise UserError(str(error)) from None


@app.command(cls=BeamCommand)
def infer(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="files of rows, as in example_gen.source: a name or a glob, or a folder of .txt")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="the folder for the predictions, local or under gs://; the same again goes on with them")
    ],
    model: Model = "serving_dir",
    text: Text = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="a column whose values come along, such as an id; any number")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl or tfrecord")] = None,
    signature: Annotated[str | None, typer.Option("--signature", help="the signature that is asked")] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help=f"how rows are read: {options.CONFIG_HELP}; not needed")] = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="replace predictions of another model, source or setting")] = False,
    verbose: Verbose = False,
) -> None:
    """Classify the rows of files with the served model: JSON lines or TFRecord. What follows `--` goes to Beam."""
    import logging

    from rich.console import Console

    from components import dataflow
    from components.bulk_inferrer import BULK_INFERRER
    from pipeline import console, preflight
    from pipeline import infer as inferring

    beam_args = options.beam_flags(context)
    given = {"source": source, "text": text, "keep": keep or None, "format": format_, "signature": signature}
    laid = {f"bulk_inferrer.{name}": value for name, value in given.items()}
    loaded = options.read_if_named(None, config, settings, laid, "infer")
    params = loaded.bulk_inferrer.around(loaded.example_gen.row_format)
    if dataflow.is_used(beam_args):
        preflight.check_infer(params, model, output, beam_args)
    out = Console()
    progress = console.Progress(out, verbose)
    logging.getLogger("seqline").handlers = [progress]
    started = time.monotonic()
    try:
        figures = inferring.infer(model, output, params, force, beam_args, lambda: progress.begin(BULK_INFERRER.name))
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


@app.command()
def versions(
    serving_dir: ServingPlace = "serving_dir",
    as_json: AsJson = False,
) -> None:
    """List the pushed versions: labels, digest, when they were pushed, test accuracy."""
    from rich.console import Console

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
    serving_dir: ServingPlace = "serving_dir",
) -> None:
    """Publish an earlier version again, as the next one and as stable."""
    from components.pusher import publish
    from pipeline import identity, owner

    place = identity.find_versions(serving_dir)
    done = publish.rollback(place, to, owner.who())
    print(f"{place}/{done['version']} has the files of version {done['rollback_of']} and is stable")


@app.command()
def promote(serving_dir: ServingPlace = "serving_dir") -> None:
    """Make the version labelled canary the stable one."""
    from components.pusher import publish
    from pipeline import identity, owner

    place = identity.find_versions(serving_dir)
    print(f"{place}/{publish.promote(place, by=owner.who())} is stable")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """The console script: a user's error is one line and its exit code, anything else a traceback."""
    environment.warn_of_unknown()
    try:
        code = app(standalone_mode=False, prog_name="seqline")
    except typer.Abort:
        print("aborted", file=sys.stderr)
        sys.exit(1)
    except usage.UsageError as error:
        _end_of_usage(error)
    except BrokenPipeError:  # `seqline show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _end(error)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _end_of_usage(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        sys.exit(usage.EXIT_CODE)
    print(f"error: {usage.sentence(error)}", file=sys.stderr)
    sys.exit(usage.EXIT_CODE)


def _end(error: Exception) -> NoReturn:
    """Ends the program as the error says. Raises it again where it is a bug."""
    from components.base import StoppedError, UserError
    from pipeline.worker import StageError

    if isinstance(error, StoppedError):  # no error: somebody wanted it
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(error, UserError):
        from pipeline.console import print_error

        print_error(error)
        sys.exit(error.exit_code)
    if isinstance(error, StageError):  # a bug: where it happened in the worker, not how the word of it came here
        print(error, file=sys.stderr)
        sys.exit(1)
    raise error


if __name__ == "__main__":
    main()
