"""Runs a pipeline for a person: its lines as they come, advice after a refusal.

A run on Dataflow that is stopped asks what becomes of its job.
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

from pipeline.cli import advice, console, display
from pipeline.cli.terminal import print_line
from pipeline.runner.execute import execute as execute_pipeline
from pipeline.runner.plan import Pipeline, Stage
from pipeline.runner.run import Options, StageResult
from pipeline.store.folder import Store
from pipeline.store.layout import LOG
from seqline.errors import StoppedError, UserError
from seqline.jobs import dataflow


def listen(
    out: Console,
    verbose: bool,
    names: Sequence[str] = (),
    line_seconds: float = display.LINE_SECONDS,
) -> display.Progress:
    """Prints what stages say from now on: see `Progress`."""
    progress = display.Progress(out, verbose, names, line_seconds)
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
    line_seconds: float = display.LINE_SECONDS,
) -> list[StageResult]:
    """Runs the pipeline and prints a line for each stage.

    Args:
        pipe: the stages.
        store: where their artifacts are kept.
        folder: the run's, see `Store.start_run`.
        options: how to run; its callbacks are called after those that print.
        out: where to print.
        verbose: whether to print the stages' messages, too.
        watch: wraps the callback that is called with each stage that has ended.
        line_seconds: between two lines of a running stage, in a pipe.

    Returns:
        The stages in the order in which they ended.

    Raises:
        UserError: an error that the user can repair, with advice.
        Exception: a bug, after the path of the log has been printed.
    """
    names = [
        stage.name
        for stage in pipe.stages
        if options.selected is None or stage.name in options.selected
    ]

    progress = listen(out, verbose, names, line_seconds)
    ended: list[StageResult] = []
    tell_of_start, tell_of_end = options.on_start, options.on_done

    def on_start(stage: Stage) -> None:
        progress.start(stage)
        tell_of_start(stage)

    def on_done(done: StageResult) -> None:
        ended.append(done)
        progress.done(done)
        tell_of_end(done)

    options.on_start, options.on_done = on_start, watch(on_done)
    try:
        with _warnings_go_to(folder / LOG):
            return execute_pipeline(pipe, store, folder, options)
    except StoppedError as stopped:
        progress.stop()
        for job in options.submitted:
            _ask_what_becomes_of(job, options.beam_args, stopped)
        raise
    except UserError as error:
        progress.stop()
        console.print_warnings(out, ended)
        error.advice = advice.advise(error, ended)
        raise
    except Exception:
        print_line(out, f"The log is in {store.log(folder)}")
        raise
    finally:
        progress.stop()


@contextmanager
def _warnings_go_to(log: Path) -> Iterator[None]:
    """Writes libraries' warnings in this process to the log, as those of the workers are."""

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


def _ask_what_becomes_of(job: str, beam_args: Sequence[str], stopped: StoppedError) -> None:
    """Cancels the Dataflow job of a run that was stopped, or leaves it to the next run.

    It asks after Ctrl-C at a terminal. After anything else the job is left running.
    """
    service = dataflow.client(beam_args)
    try:
        if service.active(job) is None:
            return
    except UserError as error:  # not raised: the command ends with the stop
        print(
            f"it is not known whether the Dataflow job {job} is running: {error}", file=sys.stderr
        )
        return

    asks = stopped.by == "SIGINT" and sys.stdin.isatty() and sys.stdout.isatty()
    cancels = asks and typer.confirm(
        f"The Dataflow job {job} is running. Cancel it?", default=False
    )
    left = dataflow.leave(service, job, cancels)
    print(left or f"the Dataflow job {job} has ended", file=sys.stderr)
