"""A run with somebody who looks on.

Its lines as they come, its log where it fails, a question where it is stopped.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from pipeline.cli import advice, console
from pipeline.runner.execute import execute as execute_pipeline
from pipeline.runner.plan import Pipeline
from pipeline.runner.run import Options, StageResult
from pipeline.store.folder import Store
from pipeline.store.layout import LOG
from seqline.errors import StoppedError, UserError
from seqline.jobs import dataflow


def listen(out: Console, verbose: bool, names: Sequence[str] = ()) -> console.Progress:
    """Prints what stages say from now on. names: of the stages of the run, in their order."""
    progress = console.Progress(out, verbose, names)
    logging.getLogger("seqline").handlers = [progress]
    return progress


def execute(
    pipe: Pipeline,
    store: Store,
    folder: Path,
    options: Options,
    out: Console,
    verbose: bool,
    watch: Callable[
        [Callable[[StageResult], None]], Callable[[StageResult], None]
    ] = lambda on_done: on_done,
) -> list[StageResult]:
    """Runs the pipeline with a line for each stage. folder.

    The run's, see `Store.start_run`. watch: wraps what hears of each stage. Raises what a run
    raises; where that is a bug, the log's place is printed.
    """
    names = [
        stage.name
        for stage in pipe.stages
        if options.selected is None or stage.name in options.selected
    ]
    progress = listen(out, verbose, names)
    ended: list[StageResult] = []

    def on_done(done: StageResult) -> None:
        ended.append(done)
        progress.done(done)

    options.on_start, options.on_done = progress.start, watch(on_done)
    try:
        with _warnings_go_to(folder / LOG):
            return execute_pipeline(pipe, store, folder, options)
    except StoppedError as stopped:
        progress.stop()
        for name in options.submitted:
            _ask_what_becomes_of(name, options.beam_args, stopped)
        raise
    except UserError as error:
        progress.stop()
        console.print_warnings(out, ended)
        error.advice = advice.advise(error, ended)
        raise
    except Exception:
        out.print(f"The log is in {store.log(folder)}", markup=False, soft_wrap=True)
        raise
    finally:
        progress.stop()


@contextmanager
def _warnings_go_to(log: Path) -> Iterator[None]:
    """What libraries warn of in this process is nobody's to look at while a run is shown.

    The log keeps it, as that of the workers.
    """

    def write(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        with suppress(OSError), log.open("a", encoding="utf-8") as opened:
            opened.write(warnings.formatwarning(message, category, filename, lineno, line))

    before, warnings.showwarning = warnings.showwarning, write
    try:
        yield
    finally:
        warnings.showwarning = before


def _ask_what_becomes_of(name: str, beam_args: Sequence[str], stopped: StoppedError) -> None:
    """The Dataflow job of a run that was stopped.

    Ctrl-C at a terminal asks, anything else leaves it running for the next run.
    """
    service = dataflow.client(beam_args)
    try:
        if service.active(name) is None:
            return
    except UserError as error:  # the stop is what the command ends with
        print(f"whether the Dataflow job {name} is running is not known: {error}", file=sys.stderr)
        return
    asks = stopped.by == "SIGINT" and sys.stdin.isatty() and sys.stdout.isatty()
    cancels = asks and typer.confirm(
        f"The Dataflow job {name} is running. Cancel it?", default=False
    )
    print(
        dataflow.leave(service, name, cancels) or f"the Dataflow job {name} has ended",
        file=sys.stderr,
    )
