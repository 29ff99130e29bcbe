"""The command line: its commands, and how each of them ends."""

import os
import sys
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from pipeline import environment
from pipeline.cli import usage
from pipeline.cli.usage import Lazy
from pipeline.runner.stopping import Stop, exit_at_once, stopping
from seqline import __version__
from seqline.errors import StoppedError, UnfinishedError

# In the order of `seqline --help`. The module of a command is imported when the command is called.
COMMANDS = {
    "init": Lazy("pipeline.cli.init", "Look at data and write a commented configuration for it."),
    "run": Lazy("pipeline.cli.run", "Run the pipeline. Finished stages are not run again."),
    "plan": Lazy(
        "pipeline.cli.run", "Print what a run would do, stage by stage, and why.", "plan_app"
    ),
    "retrain": Lazy(
        "pipeline.cli.retrain",
        "Train on data not yet trained on, and push the model if every gate passes it.",
    ),
    "show": Lazy("pipeline.cli.show", "Show a run: its stages, figures and lineage."),
    "report": Lazy("pipeline.cli.report", "Write the report of a run again."),
    "history": Lazy(
        "pipeline.cli.report", "List the runs and their verdicts, newest last.", "history_app"
    ),
    "compare": Lazy(
        "pipeline.cli.report", "Compare two runs: figures, parameters, data, code.", "compare_app"
    ),
    "tensorboard": Lazy(
        "pipeline.cli.tensorboard",
        "Show the trainings in TensorBoard, also those under way, under readable names.",
    ),
    "predict": Lazy(
        "pipeline.cli.predict", "Classify rows with the served model: one JSON line each."
    ),
    "infer": Lazy(
        "pipeline.cli.predict",
        "Classify the rows of files with the served model: JSON lines or TFRecord.",
        "infer_app",
    ),
    "serve": Lazy(
        "pipeline.cli.serving",
        "Serve the pushed model over TensorFlow Serving's REST API, with a page to try it.",
    ),
    "versions": Lazy(
        "pipeline.cli.serving",
        "List the pushed versions: labels, digest, time of the push, test accuracy.",
        "versions_app",
    ),
    "rollback": Lazy(
        "pipeline.cli.serving",
        "Publish an earlier version again, as the next version, and make it stable.",
        "rollback_app",
    ),
    "promote": Lazy(
        "pipeline.cli.serving", "Make the version labelled canary the stable one.", "promote_app"
    ),
    "package": Lazy(
        "pipeline.cli.package",
        "Write a version as a wheel or zip that predicts with TensorFlow alone, or for OpenVINO.",
    ),
    "gc": Lazy("pipeline.cli.gc", "Delete what no run needs. Asks first."),
    "doctor": Lazy(
        "pipeline.cli.doctor",
        "Check this machine for what would stop a run, and say how to fix it.",
    ),
    "template": Lazy(
        "pipeline.cli.template", "Flex Templates of Dataflow: a run started in the cloud."
    ),
}


class Commands(usage.Group):
    lazy = COMMANDS


app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def seqline(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train and serve a SimpleRNN text classifier from raw text.

    To begin: seqline init reviews.csv -o reviews.toml, then seqline run reviews.toml.
    """


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Runs the command line.

    A user's error ends it with one line and the error's exit code, a bug with a traceback. A signal
    ends it with one line and exit code 50, see `pipeline.runner.stopping`.
    """
    with stopping() as stop:
        try:
            _run(stop)
        except UnfinishedError as error:
            _end_early(error)


def _run(stop: Stop) -> None:
    try:
        environment.warn_of_unknown()
        code = app(standalone_mode=False, prog_name="seqline")
    except Exception as error:
        if stop.by:  # a library has put its own error in the place of the stop
            raise StoppedError(stop.where, stop.by) from None
        _end(error)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _end_early(error: UnfinishedError) -> NoReturn:
    """Ends the program with a line. It is not an error: the user wanted it, or has to do nothing.

    At once: the interpreter's own end waits for threads, and half-imported libraries crash in it.
    """
    with suppress(OSError):  # the reader of a pipe may have ended with the same Ctrl-C
        sys.stdout.flush()
    exit_at_once(str(error))


def _end_of_usage(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        sys.exit(usage.EXIT_CODE)
    print(f"error: {usage.sentence(error)}", file=sys.stderr)
    sys.exit(usage.EXIT_CODE)


def _end(error: Exception) -> None:
    """Ends the program as the error says. Raises the error again if it is a bug."""
    if isinstance(error, typer.Abort):
        print("aborted", file=sys.stderr)
        sys.exit(1)
    if isinstance(error, usage.UsageError):
        _end_of_usage(error)
    if isinstance(error, BrokenPipeError):  # `seqline show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)

    from pipeline.runner.worker import StageError
    from seqline.errors import UserError
    from seqline.host import machine_errors

    if not isinstance(error, UserError):
        error = machine_errors.explain(error) or error
    if isinstance(error, UserError):
        from pipeline.cli.console import print_error

        print_error(error)
        sys.exit(error.exit_code)

    if isinstance(error, StageError):
        # A bug in a worker: the worker's traceback says where, this process's would not.
        print(error, file=sys.stderr)
        sys.exit(1)
    raise error


if __name__ == "__main__":
    main()
