"""`seqline compare` for people: tables of what differs between runs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.terminal import plain_table, print_hanging
from pipeline.report import comparison as texts
from pipeline.report import text, units
from pipeline.report.compare import spread

# Columns between two columns of a table.
GAP = 2
# The fewest columns of a setting's value, where many runs are compared.
MIN_VALUE_CHARS = 8


def print_comparison(out: Console, comparison: dict[str, Any]) -> None:
    """Prints what `pipeline.report.compare` returns."""
    names = texts.names_of(len(comparison["runs"]))
    for name, run in zip(names, comparison["runs"], strict=True):
        out.print(Text("  ".join(texts.head(name, run))))
    if not comparison["comparable"]:
        out.print(Text(texts.WARNING, "yellow"))

    print_figures = _print_two if len(names) == 2 else _print_many
    print_figures(out, "figure", names, comparison["figures"])
    if gains := texts.gains(comparison):
        out.print()
        for sentence in gains:
            print_hanging(out, Text(""), Text(sentence), 2)

    classes = [row for row in comparison["classes"] if spread(row)][: texts.NUM_CLASSES]
    labelled = [{**row, "label": text.shorten(row["label"], 40)} for row in classes]
    print_figures(out, "F1 of", names, labelled)

    for title in ("parameters", "digests"):
        _print_settings(out, title, names, comparison[title])
    _print_curves(out, names, comparison["history"])


def _print_two(
    out: Console, title: str, names: Sequence[str], figures: list[dict[str, Any]]
) -> None:
    """The figures of two runs with their difference."""
    if not figures:
        return

    last = f"{names[1]} - {names[0]}"
    is_known = any(figure["difference"] is not None for figure in figures)
    columns = [title, *names, *([last] if is_known else [])]
    table = plain_table(*columns, right=tuple(columns[1:]))
    for figure in figures:
        unit = units.FIGURES.get(figure["name"])
        cells = [Text(texts.with_unit(value, unit)) for value in figure["values"]]
        change = figure["difference"]
        style = "" if figure["better"] is None else "green" if figure["better"] else "red"
        shown = "" if change is None else texts.difference(change, unit)
        label = Text(figure.get("label") or figure["name"])
        table.add_row(label, *cells, *([Text(shown, style)] if is_known else []))

    out.print()
    out.print(table)


def _print_many(
    out: Console, title: str, names: Sequence[str], figures: list[dict[str, Any]]
) -> None:
    """The figures of several runs. The best has a star, and below it stands the interval."""
    rows: list[list[Text]] = []
    for figure in figures:
        unit = units.FIGURES.get(figure["name"])
        cells = [Text(figure.get("label") or figure["name"])]
        for place, value in enumerate(figure["values"]):
            is_best = place in figure["best"]
            shown = ("*" if is_best else "") + texts.bare(value, unit)
            cells.append(Text(shown, "bold green" if is_best else ""))
        rows.append(cells)

        if "intervals" in figure:
            ends = [texts.interval(pair, unit) for pair in figure["intervals"]]
            rows.append([Text("  95%", "dim"), *(Text(shown, "dim") for shown in ends)])

    _print_columns(out, title, names, rows)
    notes = ["* the best"] if any(figure["best"] for figure in figures) else []
    notes += [told] if (told := texts.units_of(figures)) else []
    if notes:
        print_hanging(out, Text(""), Text("; ".join(notes), "dim"), 2)


def _print_settings(
    out: Console, title: str, names: Sequence[str], settings: list[dict[str, Any]]
) -> None:
    if not settings:
        out.print(Text(f"\nNo difference in {title}.", "dim"))
        return

    chars = 60
    if len(names) > 2:
        longest = max(len(text.clean(row["name"])) for row in settings)
        chars = (out.width - longest) // len(names) - GAP
        chars = texts.NUM_DIGEST_CHARS if title == "digests" else max(MIN_VALUE_CHARS, chars)

    rows = []
    for row in settings:
        values = [Text(texts.value(value, chars)) for value in row["values"]]
        rows.append([Text(text.clean(row["name"])), *values])
    _print_columns(out, title.removesuffix("s"), names, rows, is_right=False)


def _print_columns(
    out: Console,
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Text]],
    is_right: bool = True,
) -> None:
    """Prints a table; columns that do not fit into the terminal follow in a table of their own."""
    if not rows:
        return

    first = max(len(title), *(len(row[0]) for row in rows))
    widths = [
        max(len(name), *(len(row[column]) for row in rows))
        for column, name in enumerate(names, start=1)
    ]
    start = 0
    while start < len(names):
        end, used = start + 1, first + GAP + widths[start]
        while end < len(names) and used + GAP + widths[end] <= out.width:
            used += GAP + widths[end]
            end += 1
        if len(names) == 2:  # what is too wide is folded
            end = 2

        shown = names[start:end]
        table = plain_table(title, *shown, right=tuple(shown) if is_right else ())
        for row in rows:
            table.add_row(row[0], *row[1 + start : 1 + end])
        out.print()
        out.print(table)
        start = end


def _print_curves(
    out: Console, names: Sequence[str], history: dict[str, list[list[float]]]
) -> None:
    num_epochs = max(len(values) for of_runs in history.values() for values in of_runs)
    if not num_epochs:
        return

    if len(names) == 2:
        columns = [f"{figure} {name}" for figure in history for name in names]
        rows = _epochs(num_epochs, list(history.items()))
        _print_columns(out, "epoch", columns, rows)
        return
    for figure, of_runs in history.items():
        _print_columns(out, figure, names, _epochs(num_epochs, [(figure, of_runs)], texts.bare))


def _epochs(
    num_epochs: int,
    history: Iterable[tuple[str, list[list[float]]]],
    shown: Callable[[float | None, str | None], str] = texts.with_unit,
) -> list[list[Text]]:
    """A row for each epoch, with the value of each figure of each run."""
    rows = []
    for epoch in range(num_epochs):
        cells = [Text(str(epoch + 1))]
        for figure, of_runs in history:
            unit = units.FIGURES.get(figure)
            for values in of_runs:
                value = values[epoch] if epoch < len(values) else None
                cells.append(Text("" if value is None else shown(value, unit)))
        rows.append(cells)
    return rows
