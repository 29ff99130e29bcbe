"""`seqline show` for people: a run's stages, why each ran, and its figures in short lines."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.advice import short_path
from pipeline.cli.display import clock, print_hanging, print_line
from pipeline.report.records import Records
from pipeline.store.layout import LOG
from pipeline.store.records import FAILED, FINISHED, RUNNING, STOPPED, RunRecord

# The items of a list or a mapping that are shown, and the characters of a text.
MAX_ITEMS, MAX_CHARACTERS = 8, 300
ALL = "--json for all"
# Values are aligned after names of up to this width.
NAME_WIDTH = 22
STYLES = {FINISHED: "green", FAILED: "bold red", STOPPED: "yellow", RUNNING: "yellow"}
MARKS = {True: ("passed", "green"), False: ("REFUSED", "bold red"), None: ("-", "dim")}


def print_run(out: Console, run: Records, folder: Path) -> None:
    """Prints a run: its verdict, its stages, and the figures of each.

    Args:
        out: Where to print.
        run: The run. Its artifacts' files are not needed.
        folder: The folder of the run.
    """
    record = run.record
    of_model = f" of {record.name}" if record.name else ""
    verdict = Text(record.verdict, STYLES.get(record.verdict, ""))
    print_hanging(out, Text(f"run {record.run}{of_model}: "), verdict, 4)

    if record.error is not None:
        print_hanging(out, Text("    "), Text(record.error.strip()), 4)

    out.print(_table(record))
    for stage in record.stages:
        out.print()
        _print_stage(out, stage.component, run)

    if run.damaged:
        out.print()
    for sentence in run.damaged:
        print_line(out, Text(f"note: {sentence}"))
    print_line(out, Text(f"\nlog: {short_path(folder / LOG)}"))


def _table(record: RunRecord) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("stage", "key", "took", "why it ran"):
        table.add_column(
            name,
            justify="right" if name == "took" else "left",
            overflow="fold",
            no_wrap=name != "why it ran",
        )

    for stage in record.stages:
        took = "cached" if stage.cached else clock(stage.seconds, 1)
        table.add_row(stage.component, stage.key, took, Text(stage.reason))
    return table


def _print_stage(out: Console, component: str, run: Records) -> None:
    head = Text(component, "bold")
    execution = run.executions.get(component)
    if execution is None:
        state = "gone or damaged, see below" if run.damaged else "gone"
        print_line(out, head.append(f"  its artifact is {state}", "default not bold"))
        return

    sources = [f"{source.component} {source.key[:6]}" for source in execution.inputs.values()]
    origin = Text(f"  from {', '.join(sources)}" if sources else "", "dim")
    print_hanging(out, head, origin, len(component) + 2)

    for name, text in lines(execution.figures):
        print_hanging(out, Text(f"  {name:<{NAME_WIDTH}} "), text, NAME_WIDTH + 3)


def lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """Yields (name, text) for each line. A figure of several lines has its name in the first."""
    for name, value in figures.items():
        for number, text in enumerate(_lines_of(name, value)):
            yield (name if number == 0 else "", text)


def _lines_of(name: str, value: Any) -> list[Text]:
    if name == "gates" and isinstance(value, list):
        return [_gate(gate) for gate in value]
    if _has_sentences(value):
        return [Text(_short(item)) for item in value[:MAX_ITEMS]] + _more(len(value))
    if _is_nested(value):
        first = list(value.items())[:MAX_ITEMS]
        return [Text(f"{key}: {plain(item)}") for key, item in first] + _more(len(value))
    return [Text(plain(value))]


def _has_sentences(value: Any) -> bool:
    """Whether a value is a list of texts, one of which needs a line of its own."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return False
    return any(len(item) > 40 for item in value)


def _is_nested(value: Any) -> bool:
    """Whether a value is a mapping that holds a mapping."""
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(item, Mapping) and item for item in value.values())


def _gate(gate: Mapping[str, Any]) -> Text:
    mark, style = MARKS[gate.get("passed")]
    sentence = f"{gate.get('name', '')}: {gate.get('reason', '')}"
    return Text(f"{mark:<8}", style).append(sentence, "default not bold not dim")


def _more(num: int) -> list[Text]:
    return [Text(f"... {num - MAX_ITEMS:,} more ({ALL})", "dim")] if num > MAX_ITEMS else []


def plain(value: Any) -> str:
    """A value in one line: numbers as people write them, and the beginning of what is long."""
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
        first = list(value.items())[:MAX_ITEMS]
        return _joined((f"{key} {plain(item)}" for key, item in first), len(value))
    if any(isinstance(item, Mapping) for item in value):
        return f"{len(value):,} entries ({ALL})"
    return _joined((plain(item) for item in value[:MAX_ITEMS]), len(value))


def _joined(items: Iterable[str], num: int) -> str:
    text = ", ".join(items) or "none"
    return text if num <= MAX_ITEMS else f"{text}, ... {num - MAX_ITEMS:,} more ({ALL})"


def _number(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}... ({ALL})"
