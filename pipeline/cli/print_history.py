"""`seqline history` for people: two lines for each run, how it ended and why."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.terminal import print_hanging, print_line
from pipeline.report import text, units, verdict

STYLES = {
    verdict.GOOD: "green",
    verdict.CAUTION: "yellow",
    verdict.BAD: "red",
    verdict.NEUTRAL: "yellow",
}
# Columns that are shown if the runs are sorted by them, with their units.
MORE = {"macro_f1": units.SHARE, "cross_entropy": units.NATS}
# The most characters of a model's name.
MAX_MODEL_CHARS = 16


def print_history(out: Console, entries: Sequence[dict[str, Any]], sort: str | None = None) -> None:
    """Prints what `pipeline.report.history` lists.

    A run is named by the end of its name, which every command takes.

    Args:
        out: where to print.
        entries: what to print.
        sort: the column that they are sorted by. It is shown, too.
    """
    if not entries:
        print_line(out, Text("No run matches.", "yellow"))
        return

    has_models = any(entry["model"] for entry in entries)
    names = ("when (UTC)", "run", *(["model"] if has_models else []), "verdict")
    more = [sort] if sort in MORE else []
    head = (*names, "accuracy", *more, "served", "version", "took")
    rows = [_cells(entry, has_models, more) for entry in entries]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    verdict_column = len(names) - 1
    start = sum(widths[:verdict_column]) + 2 * verdict_column
    print_line(out, Text(_columns(head, widths, len(names)), "bold"))
    for entry, cells in zip(entries, rows, strict=True):
        line = Text(_columns(cells, widths, len(names)))
        line.stylize(STYLES[entry["tone"]], start, start + widths[verdict_column])
        print_line(out, line)
        if entry["why"]:
            print_hanging(out, Text("    "), Text(text.shorten(entry["why"], 300), "dim"), 4)


def _cells(entry: dict[str, Any], has_models: bool, more: Sequence[str]) -> tuple[str, ...]:
    model = [text.shorten(entry["model"], MAX_MODEL_CHARS)] if has_models else []
    return (
        text.clean(str(entry["when"] or "")[:16].replace("T", " ")),
        text.clean(entry["run"] or "")[-4:],
        *model,
        text.clean(entry["verdict"]),
        "" if entry["accuracy"] is None else units.share(entry["accuracy"]),
        *("" if entry[name] is None else units.shown(entry[name], MORE[name]) for name in more),
        "" if entry["gain"] is None else units.points(entry["gain"]),
        str(entry["version"] or ""),
        "" if entry["seconds"] is None else units.duration(entry["seconds"]),
    )


def _columns(cells: Sequence[str], widths: Sequence[int], num_names: int) -> str:
    """Aligns the first `num_names` cells to the left, and the others, numbers, to the right."""
    aligned = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        aligned.append(f"{cell:<{width}}" if column < num_names else f"{cell:>{width}}")
    return "  ".join(aligned)
