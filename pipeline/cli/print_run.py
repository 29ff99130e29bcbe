"""`seqline show` for people.

A run's stages, where each came from, and its figures in lines that fit a terminal.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.advice import short_path
from pipeline.cli.terminal import print_hanging, print_line
from pipeline.report.units import clock

# Items of a list or of a table that are shown, and characters of a text.
MOST_ITEMS, MOST_CHARACTERS = 8, 300
ALL = "--json for all"
# The widest name of a figure that the others are aligned with.
NAME = 22
VERDICTS = {"finished": "green", "failed": "bold red", "stopped": "yellow", "running": "yellow"}
MARKS = {True: ("passed", "green"), False: ("REFUSED", "bold red"), None: ("-", "dim")}


def print_run(
    out: Console, record: Mapping[str, Any], executions: Mapping[str, Any], folder: Path
) -> None:
    """record.

    A run's. executions: stage -> the record of its artifact, None where that is gone. folder: the
    run's.
    """
    verdict = str(record["verdict"])
    of_model = f" of {record['name']}" if record.get("name") else ""
    print_hanging(
        out, Text(f"run {record['run']}{of_model}: "), Text(verdict, VERDICTS.get(verdict, "")), 4
    )
    if "error" in record:
        print_hanging(out, Text("    "), Text(str(record["error"]).strip()), 4)
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("stage", "key", "took", "why it ran"):
        table.add_column(
            name,
            justify="right" if name == "took" else "left",
            overflow="fold",
            no_wrap=name != "why it ran",
        )
    for stage in record["stages"]:
        took = "cached" if stage["cached"] else clock(stage["seconds"], 1)
        table.add_row(stage["component"], stage["key"], took, Text(stage["reason"]))
    out.print(table)
    for name, execution in executions.items():
        out.print()
        if execution is None:
            print_line(out, Text(name, "bold").append("  its artifact is gone", "default not bold"))
            continue
        sources = ", ".join(
            f"{source['component']} {source['key'][:6]}" for source in execution["inputs"].values()
        )
        print_hanging(
            out,
            Text(name, "bold"),
            Text(f"  from {sources}" if sources else "", "dim"),
            len(name) + 2,
        )
        for label, text in lines(execution["figures"]):
            print_hanging(out, Text(f"  {label:<{NAME}} "), text, NAME + 3)
    print_line(out, Text(f"\nlog: {short_path(folder / 'log.txt')}"))


def lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """(name, value) of each line; a figure of several lines has its name in the first one."""
    for name, value in figures.items():
        for number, text in enumerate(_lines_of(name, value)):
            yield (name if number == 0 else "", text)


def _lines_of(name: str, value: Any) -> Iterable[Text]:
    if name == "gates" and isinstance(value, list):
        return [_gate(gate) for gate in value]
    if (
        isinstance(value, list)
        and value
        and all(isinstance(item, str) for item in value)
        and max(map(len, value)) > 40
    ):
        return [Text(_short(item)) for item in value[:MOST_ITEMS]] + _more(len(value))
    if isinstance(value, Mapping) and any(
        isinstance(item, Mapping) and item for item in value.values()
    ):
        shown = [Text(f"{key}: {plain(item)}") for key, item in list(value.items())[:MOST_ITEMS]]
        return shown + _more(len(value))
    return [Text(plain(value))]


def _gate(gate: Mapping[str, Any]) -> Text:
    mark, style = MARKS[gate.get("passed")]
    return Text(f"{mark:<8}", style).append(
        f"{gate.get('name', '')}: {gate.get('reason', '')}", "default not bold not dim"
    )


def _more(num: int) -> list[Text]:
    return [Text(f"... {num - MOST_ITEMS:,} more ({ALL})", "dim")] if num > MOST_ITEMS else []


def plain(value: Any) -> str:
    """A value in a line: numbers as one reads them, and of what is long the beginning."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, Mapping):
        return _joined(
            (f"{key} {plain(item)}" for key, item in list(value.items())[:MOST_ITEMS]), len(value)
        )
    if any(isinstance(item, Mapping | list) for item in value) and any(
        isinstance(item, Mapping) for item in value
    ):
        return f"{len(value):,} entries ({ALL})"
    return _joined((plain(item) for item in value[:MOST_ITEMS]), len(value))


def _joined(items: Iterable[str], num: int) -> str:
    text = ", ".join(items) or "none"
    return text if num <= MOST_ITEMS else f"{text}, ... {num - MOST_ITEMS:,} more ({ALL})"


def _number(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    return (
        f"{value:.1e}"
        if abs(value) < 1e-4
        else f"{value:,.4g}"
        if abs(value) < 1e4
        else f"{value:,.0f}"
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}... ({ALL})"
