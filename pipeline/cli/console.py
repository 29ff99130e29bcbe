"""Prints the end of a run, errors with their advice, plans and versions."""

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from components.example_validator import ANOMALIES
from components.pusher.labels import CANARY
from pipeline.cli.advice import short_path
from pipeline.cli.terminal import plain_table, print_hanging, print_line
from pipeline.report.advice import better_baselines
from pipeline.report.reproduce import example
from pipeline.report.units import duration
from pipeline.report.verdict import not_blessed
from pipeline.runner.plan import Planned
from pipeline.runner.run import StageResult
from seqline.errors import UserError
from serving import predict

# Warnings that are printed at the end of a run. Files hold all of them.
MOST_WARNINGS = 5
# Columns of the labels of a summary.
LABEL = 15
# Labels of advice whose text is to be copied.
COPIED = ("the model", "ask it", "server log", "all anomalies", "to let it pass")


def print_summary(
    console: Console, done: Sequence[StageResult], started: float, serving_dir: str | None
) -> None:
    """Prints what a finished run has made, and how to ask the model.

    Args:
        console: where to print.
        done: the stages of the run.
        started: when the run started, by the monotonic clock.
        serving_dir: where it published the model.
    """
    table = plain_table("made", "artifact")  # an artifact's path begins with its stage
    for stage in done:
        table.add_row(stage.artifact.type, escape(short_path(stage.artifact.uri)))
    console.print()
    console.print(table)
    console.print()

    figures = {stage.stage.name: stage.figures for stage in done}
    if "evaluator" in figures:
        _print_accuracy(console, figures["evaluator"])
    if "pusher" in figures:
        transformed = figures.get("transform", {})
        row = example(transformed.get("content", "text"), transformed.get("dim"))
        pusher = next(stage.stage for stage in done if stage.stage.name == "pusher")
        params = pusher.params.model_dump()
        _print_pushed(console, figures["pusher"], serving_dir, row, str(params["label"]))
    elif refusal := not_blessed(figures):
        head = Text(f"{'not blessed':<{LABEL}}", "red")
        print_hanging(console, head, Text(refusal, "red"), LABEL)

    print_warnings(console, done)
    num_ran = sum(not stage.cached for stage in done)
    took = duration(time.monotonic() - started, 0)
    print_line(console, f"{num_ran} of {len(done)} stages ran, {took} in all")


def _print_accuracy(console: Console, evaluation: Mapping[str, Any]) -> None:
    low, high = evaluation["accuracy_interval"]
    accuracy = f"{evaluation['accuracy']:.3f}  (95 %: {low:.3f} to {high:.3f})"
    print_line(console, f"{'test accuracy':<{LABEL}}{accuracy}")

    better = better_baselines(evaluation)
    for name, value in evaluation["baselines"].items():
        is_better = name in better
        line = f"{'  baseline':<{LABEL}}{value:.3f}  {name}"
        if is_better:
            line += ", better than the model"
        print_line(console, Text(line, "yellow" if is_better else ""))


def _print_pushed(
    console: Console,
    pushed: Mapping[str, Any],
    serving_dir: str | None,
    row: str,
    label: str,
) -> None:
    print_line(console, f"{'served model':<{LABEL}}{pushed['serving_dir']}/{pushed['version']}")
    if label == CANARY and pushed["pushed"]:
        line = (
            "a server of the newest version answers with it at once; one that is started with"
            f" --model_config_file={pushed['serving_dir']}/models.config has both, by their labels"
        )
        print_hanging(console, Text(f"{CANARY:<{LABEL}}"), Text(line), LABEL)
    if "://" not in pushed["serving_dir"]:
        is_default = serving_dir is None or _is_default(serving_dir)
        option = "" if is_default else f"--model {shlex.quote(str(serving_dir))} "
        print_line(console, f"{'ask it':<{LABEL}}seqline predict {option}{row}")


def _is_default(serving_dir: str) -> bool:
    """Whether `seqline predict` asks this model if none is named."""
    try:
        return os.path.samefile(predict.find_versions(Path(predict.SERVING_DIR), ""), serving_dir)
    except (predict.InputError, OSError):
        return False


def print_warnings(console: Console, done: Sequence[StageResult]) -> None:
    """Prints warnings about the data, such as rows that were skipped, and anomalies."""
    warnings = [(warning, stage) for stage in done for warning in warnings_of(stage)]
    head = Text(f"{'warning':<{LABEL}}", "yellow")

    for warning, _ in warnings[:MOST_WARNINGS]:
        print_hanging(console, head, Text(warning, "yellow"), LABEL)

    num_more = len(warnings) - MOST_WARNINGS
    if num_more > 0:
        place = short_path(warnings[-1][1].artifact.uri / ANOMALIES)
        print_line(console, Text(f"{'':<{LABEL}}and {num_more} more in {place}", "yellow"))


def warnings_of(done: StageResult) -> list[str]:
    """The warnings of a stage about the data: sentences."""
    figures = done.figures
    if "warnings" in figures:
        return [str(warning) for warning in figures["warnings"]]

    if done.stage.name == "example_gen" and figures.get("num_bad_rows"):
        place = short_path(done.artifact.uri / "bad_rows")
        return [
            f"{figures['num_bad_rows']:,} of {figures['num_read']:,} rows cannot be used and were"
            f" skipped. They are listed in {place}."
        ]

    if done.stage.name == "example_validator":
        return [f"{line.rstrip('.')}." for line in figures["lines"][figures["num_errors"] :]]
    return []


def print_error(error: UserError) -> None:
    """Prints an error on standard error, and the advice that came with it."""
    console = Console(stderr=True)
    print_hanging(console, Text("error: ", "bold red"), Text(str(error)), 7)
    for label, text in getattr(error, "advice", ()):
        print_advice(console, label, text)


def print_advice(console: Console, label: str, text: str) -> None:
    """Prints a line of advice. A path or a command that is to be copied stays in one line."""
    head = Text(f"{label:<{LABEL}}", "bold")
    if label in COPIED:
        print_line(console, Text.assemble(head, (text, "cyan")))
    else:
        print_hanging(console, head, Text(text), LABEL + 2 * text.startswith("- "))


def print_versions(console: Console, versions: Sequence[Mapping[str, Any]]) -> None:
    """Prints a line for each version under serving_dir, oldest first."""
    table = plain_table(
        *("version", "labels", "digest", "pushed (UTC)", "accuracy", ""),
        right=("version", "accuracy"),
    )

    for version in versions:
        accuracy = version["accuracy"]
        cells = (
            str(version["version"]),
            ", ".join(version["labels"]),
            (version["digest"] or ("" if version["damaged"] else "not ours"))[:12],
            (version["pushed"] or "")[:16].replace("T", " "),
            "" if accuracy is None else f"{accuracy:.3f}",
            _state(version),
        )
        table.add_row(*map(escape, cells))
    console.print(table)


def _state(version: Mapping[str, Any]) -> str:
    """What is special about a version of the listing."""
    if version["damaged"]:
        return f"damaged: {version['damaged']} {version['problem']}"
    return f"rollback to {version['rollback_of']}" if version["rollback_of"] else ""


def print_plan(
    console: Console, planned: Sequence[Planned], settings: Mapping[str, str] | None = None
) -> None:
    """Prints a line for each stage: whether it runs, its key, and why.

    Args:
        console: Where to print.
        planned: The stages.
        settings: Name of a setting that the data decide -> what is known of it.
    """
    table = plain_table("stage", "", "key", "why")
    for stage in planned:
        does = "runs" if stage.runs else "cached"
        key = stage.key or "not known yet"
        table.add_row(stage.stage.name, does, key, escape(stage.reason))
    console.print(table)

    if settings:
        console.print()
    for name, value in (settings or {}).items():
        print_hanging(console, Text(f"{name}  "), Text(value), len(name) + 2)
