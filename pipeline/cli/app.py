"""The command line: which commands there are, and how each one ends."""

import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from pipeline import environment
from pipeline.cli import usage
from pipeline.cli.usage import Lazy
from seqline import __version__

# In the order in which `seqline --help` lists them. The module of a command is imported when the
# command is called.
COMMANDS = {
    "init": Lazy(
        "pipeline.cli.init", "Look at data and write a configuration for it, with comments."
    ),
    "run": Lazy("pipeline.cli.run", "Run the pipeline: what is finished is not done again."),
    "plan": Lazy(
        "pipeline.cli.run", "Print what a run would do, stage by stage, and why.", "plan_app"
    ),
    "retrain": Lazy(
        "pipeline.cli.retrain",
        "Train on everything not yet trained on, and push it if every gate lets it pass.",
    ),
    "show": Lazy("pipeline.cli.show", "Show a run: its stages, figures and lineage."),
    "report": Lazy("pipeline.cli.report", "Write a run's report anew."),
    "history": Lazy(
        "pipeline.cli.report", "List the runs, the newest last, with their verdicts.", "history_app"
    ),
    "compare": Lazy(
        "pipeline.cli.report", "Compare two runs: figures, parameters, data, code.", "compare_app"
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
        "Serve the pushed model by TensorFlow Serving's REST API, and a page to try it.",
    ),
    "versions": Lazy(
        "pipeline.cli.serving",
        "List the pushed versions: labels, digest, when they were pushed, test accuracy.",
        "versions_app",
    ),
    "rollback": Lazy(
        "pipeline.cli.serving",
        "Publish an earlier version again, as the next one and as stable.",
        "rollback_app",
    ),
    "promote": Lazy(
        "pipeline.cli.serving", "Make the version labelled canary the stable one.", "promote_app"
    ),
    "gc": Lazy("pipeline.cli.gc", "Delete what no run needs; asks first."),
    "doctor": Lazy(
        "pipeline.cli.doctor",
        "Say what of this machine stands in the way of a run, and the way out.",
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
    """Raw text to a served SimpleRNN text classifier.

    First steps: seqline init reviews.csv -o reviews.toml, then seqline run reviews.toml.
    """


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """The console script.

    A user's error is one line and its exit code, anything else a traceback.
    """
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
    from pipeline.runner.worker import StageError
    from seqline.errors import StoppedError, UserError

    if isinstance(error, StoppedError):  # no error: somebody wanted it
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(error, UserError):
        from pipeline.cli.console import print_error

        print_error(error)
        sys.exit(error.exit_code)
    if isinstance(
        error, StageError
    ):  # a bug: where it happened in the worker, not how the word of it came here
        print(error, file=sys.stderr)
        sys.exit(1)
    raise error


if __name__ == "__main__":
    main()
