"""What a person sees of a run."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.example_validator import ANOMALIES
from pipeline.cli.advice import EXAMPLE
from pipeline.cli.advice import short_path as _short_path
from pipeline.cli.display import Progress as Progress  # `console.Progress`
from pipeline.cli.display import better_than, duration, print_hanging, print_line
from pipeline.runner.plan import Planned
from pipeline.runner.run import StageResult
from seqline.errors import UserError
from serving import predict

# Warnings that are printed at the end of a run; files have all of them.
MOST_WARNINGS = 5
# Where the texts of a summary begin.
LABEL = 15


def print_summary(
    console: Console,
    done: Sequence[StageResult],
    started: float,
    config: str,
    serving_dir: str | None,
) -> None:
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
        console.print(
            f"test accuracy  {figures['evaluator']['accuracy']:.3f}  (95 %: {low:.3f} to"
            f" {high:.3f})",
            highlight=False,
        )
        better = better_than(figures["evaluator"])
        for name, value in figures["evaluator"]["baselines"].items():
            text = (
                f"  beside it    {value:.3f} "
                f" {name}{', better than the model' if name in better else ''}"
            )
            console.print(
                text, style="yellow" if name in better else "", highlight=False, markup=False
            )
    if "pusher" in figures:
        pushed = figures["pusher"]
        console.print(
            f"served model   {pushed['serving_dir']}/{pushed['version']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        option = "" if serving_dir is None or _is_found(serving_dir) else f"--model {serving_dir} "
        content = figures["transform"]["content"] if "transform" in figures else "text"
        if "://" not in pushed["serving_dir"]:  # predict asks local models
            console.print(
                f"ask it         seqline predict {option}{EXAMPLE[content]}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    made = sum(not each.cached for each in done)
    print_warnings(console, done)
    console.print(
        f"{made} of {len(done)} stages ran, {duration(time.monotonic() - started)} in all",
        highlight=False,
    )


def print_warnings(console: Console, done: Sequence[StageResult]) -> None:
    """What was found wrong with the data and did not stop the run, so that it is seen.

    Rows that were skipped, anomalies.
    """
    found = [(warning, each) for each in done for warning in warnings_of(each)]
    for warning, _ in found[:MOST_WARNINGS]:
        print_hanging(
            console, Text(f"{'warning':<{LABEL}}", "yellow"), Text(warning, "yellow"), LABEL
        )
    if len(found) > MOST_WARNINGS:
        place = _short_path(found[-1][1].artifact.uri / ANOMALIES)
        print_line(
            console,
            Text(f"{'':<{LABEL}}and {len(found) - MOST_WARNINGS} more in {place}", "yellow"),
        )


def warnings_of(done: StageResult) -> list[str]:
    """The warnings of a stage of data: sentences."""
    figures = done.figures
    if "warnings" in figures:
        return [str(each) for each in figures["warnings"]]
    if done.stage.name == "example_gen" and figures.get("num_bad_rows"):
        place = _short_path(done.artifact.uri / "bad_rows")
        return [
            f"{figures['num_bad_rows']:,} of {figures['num_read']:,} rows cannot be used and were"
            f" skipped: they are listed in {place}."
        ]
    if done.stage.name == "example_validator":
        return [f"{line.rstrip('.')}." for line in figures["lines"][figures["num_errors"] :]]
    return []


def print_error(error: UserError) -> None:
    """A user's error on standard error.

    What is wrong in one line, and under it what `pipeline.cli.advice` says, if it was asked.
    """
    console = Console(stderr=True)
    print_hanging(console, Text("error: ", "bold red"), Text(str(error)), 7)
    for label, text in getattr(error, "advice", ()):
        print_advice(console, label, text)


def print_advice(console: Console, label: str, text: str) -> None:
    """A line of advice. What one copies, a path or a command, stays in one line."""
    head = Text(f"{label:<{LABEL}}", "bold")
    if label in ("the model", "ask it", "all anomalies", "to let it pass"):
        print_line(console, Text.assemble(head, (text, "cyan")))
    else:
        print_hanging(console, head, Text(text), LABEL + 2 * text.startswith("- "))


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
        table.add_column(
            name, justify="right" if name in ("version", "accuracy") else "left", overflow="fold"
        )
    for each in versions:
        accuracy = "" if each["accuracy"] is None else f"{each['accuracy']:.3f}"
        rollback = f"rollback to {each['rollback_of']}" if each["rollback_of"] else ""
        shown = (
            ", ".join(each["labels"]),
            (each["digest"] or "not ours")[:12],
            each["pushed"] or "",
            accuracy,
            rollback,
        )
        table.add_row(str(each["version"]), *map(escape, shown))
    console.print(table)


def print_plan(console: Console, planned: Sequence[Planned]) -> None:
    """A line a stage: does it run, its key, and why."""
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("stage", "", "key", "why"):
        table.add_column(name, overflow="fold")
    for each in planned:
        table.add_row(
            each.stage.name,
            "runs" if each.runs else "cached",
            each.key or "not known yet",
            escape(each.reason),
        )
    console.print(table)
