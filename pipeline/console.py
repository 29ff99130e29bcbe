"""What a person sees of a run."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from pipeline import predict
from pipeline.runner import Done, Planned, Stage

# What to ask a model, by what its rows hold.
EXAMPLE = {"text": '"Your text"', "tokens": '"your tokens"', "sequence": "'[[0.1, 0.2], [0.3, 0.4]]'"}


class Progress(logging.Handler):
    """One line a stage; on a terminal also what the running stage says (its log messages), in place."""

    def __init__(self, console: Console, verbose: bool) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.verbose = verbose
        self.status: Status | None = None
        self.stage = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if self.verbose or record.levelno > logging.INFO:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            self.console.print(f"  {message}", style=style, markup=False, highlight=False, soft_wrap=True)
        elif self.status:
            self.status.update(f"{self.stage}: {escape(message)}")

    def start(self, stage: Stage) -> None:
        self.begin(stage.name)

    def begin(self, name: str) -> None:
        self.stage = name
        if self.console.is_terminal and not self.status:
            self.status = self.console.status(self.stage)
            self.status.start()
        elif self.status:
            self.status.update(self.stage)

    def done(self, done: Done) -> None:
        self.stop()
        took = "cached" if done.cached else f"{done.seconds:.1f} s"
        text = f"{done.stage.name:<17} {took:>7}  {done.stage.component.describe(done.figures)}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        if self.status:
            self.status.stop()
            self.status = None


def print_summary(console: Console, done: Sequence[Done], started: float, config: str, serving_dir: str | None) -> None:
    """The table of a finished run, and what to do next."""
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("made", "artifact"):  # its path begins with the stage
        table.add_column(name, overflow="fold")
    for each in done:
        table.add_row(each.artifact.type, escape(_short_path(each.artifact.uri)))
    console.print()
    console.print(table)
    figures = {each.stage.name: each.figures for each in done}
    console.print()
    if "evaluator" in figures:
        low, high = figures["evaluator"]["accuracy_interval"]
        console.print(f"test accuracy  {figures['evaluator']['accuracy']:.3f}  (95 %: {low:.3f} to {high:.3f})", highlight=False)
        for name, value in figures["evaluator"]["baselines"].items():
            console.print(f"  beside it    {value:.3f}  {name}", highlight=False, markup=False)
    if "pusher" in figures:
        pushed = figures["pusher"]
        console.print(f"served model   {pushed['serving_dir']}/{pushed['version']}", highlight=False, markup=False, soft_wrap=True)
        option = "" if serving_dir is None or _is_found(serving_dir) else f"--model {serving_dir} "
        content = figures["transform"]["content"] if "transform" in figures else "text"
        if "://" not in pushed["serving_dir"]:  # predict asks local models
            console.print(f"ask it         seqline predict {option}{EXAMPLE[content]}", highlight=False, markup=False, soft_wrap=True)
    made = sum(not each.cached for each in done)
    console.print(f"{made} of {len(done)} stages ran, {time.monotonic() - started:.1f} s", highlight=False)


def _is_found(serving_dir: str) -> bool:
    """Whether `seqline predict` asks this model where none is named."""
    try:
        return os.path.samefile(predict.find_versions(Path(predict.SERVING_DIR), ""), serving_dir)
    except (predict.InputError, OSError):
        return False


def print_versions(console: Console, versions: Sequence[Mapping[str, Any]]) -> None:
    """A line a version under serving_dir, oldest first."""
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("version", "labels", "digest", "pushed", "accuracy", ""):
        table.add_column(name, justify="right" if name in ("version", "accuracy") else "left", overflow="fold")
    for each in versions:
        accuracy = "" if each["accuracy"] is None else f"{each['accuracy']:.3f}"
        rollback = f"rollback to {each['rollback_of']}" if each["rollback_of"] else ""
        shown = (", ".join(each["labels"]), (each["digest"] or "not ours")[:12], each["pushed"] or "", accuracy, rollback)
        table.add_row(str(each["version"]), *map(escape, shown))
    console.print(table)


def print_plan(console: Console, planned: Sequence[Planned]) -> None:
    """A line a stage: does it run, its key, and why."""
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("stage", "", "key", "why"):
        table.add_column(name, overflow="fold")
    for each in planned:
        table.add_row(each.stage.name, "runs" if each.runs else "cached", each.key or "not known yet", escape(each.reason))
    console.print(table)


def _short_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
