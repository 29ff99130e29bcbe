"""What a person sees of a run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.display import Progress as Progress  # `console.Progress`
from pipeline.runner import Done, Planned

# What to ask a model, by what its rows hold.
EXAMPLE = {"text": '"Your text"', "tokens": '"your tokens"', "sequence": "'[[0.1, 0.2], [0.3, 0.4]]'"}


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
        option = "" if serving_dir in (None, "serving_dir") else f"--model {serving_dir} "
        content = figures["transform"]["content"] if "transform" in figures else "text"
        if "://" not in pushed["serving_dir"]:  # predict asks local models
            console.print(f"ask it         seqline predict {option}{EXAMPLE[content]}", highlight=False, markup=False, soft_wrap=True)
    made = sum(not each.cached for each in done)
    console.print(f"{made} of {len(done)} stages ran, {time.monotonic() - started:.1f} s", highlight=False)


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
