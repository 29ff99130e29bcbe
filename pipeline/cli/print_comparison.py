"""`seqline compare` for people: tables of what differs between two runs."""

from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.cli.terminal import plain_table
from pipeline.report import text, units

# Classes whose F1 differs most.
NUM_CLASSES = 10

# (name, of A, of B, difference, style)
Row = tuple[str, str, str, str, str]


def print_comparison(out: Console, comparison: dict[str, Any]) -> None:
    """Prints what `pipeline.report.compare` returns."""
    for name, run in zip("AB", comparison["runs"], strict=True):
        started = str(run["started"])[:16].replace("T", " ")
        parts = [name, run["run"], started, run["verdict"], run["model"]]
        out.print(Text("  ".join(text.clean(part) for part in parts if part)))

    if not comparison["comparable"]:
        warning = "Measured on different data: the figures of the models cannot be compared."
        out.print(Text(warning, "yellow"))

    figures = [_row(figure["name"], figure) for figure in comparison["figures"]]
    _print_table(out, "figure", figures)
    classes = [row for row in comparison["classes"] if row["difference"]][:NUM_CLASSES]
    _print_table(out, "F1 of", [_row(text.shorten(row["label"], 40), row) for row in classes])

    for title in ("parameters", "digests"):
        rows: list[Row] = []
        for row in comparison[title]:
            one, other = (_value(value) for value in row["values"])
            rows.append((text.clean(row["name"]), one, other, "", ""))
        _print_table(out, title.removesuffix("s"), rows)
        if not rows:
            out.print(Text(f"\nNo difference in {title}.", "dim"))

    _print_curves(out, comparison["history"])


def _row(name: str, figure: dict[str, Any]) -> Row:
    """A figure's two values and their difference, each with its unit."""
    unit = units.FIGURES.get(figure["name"])
    one, other = (_with_unit(value, unit) for value in figure["values"])
    difference = figure["difference"]
    shown = "" if difference is None else _difference_with_unit(difference, unit)
    style = "" if figure["better"] is None else "green" if figure["better"] else "red"
    return name, one, other, shown, style


def _with_unit(value: float | None, unit: str | None) -> str:
    """A value with its unit, and one decimal more than elsewhere: two runs may differ by little."""
    if unit == units.SHARE:
        return units.share(value, 2)
    if unit == units.POINTS:
        return units.points(value, 2).removeprefix("+")
    return units.nats(value, 4) if unit == units.NATS else units.shown(value, unit)


def _difference_with_unit(difference: float, unit: str | None) -> str:
    if unit in (units.SHARE, units.POINTS):
        return units.points(difference, 2)
    if unit == units.NATS:
        return f"{units.signed(difference, 4)} nats"
    shown = units.shown(abs(difference), unit)
    return shown if not difference else f"{'+' if difference > 0 else '-'}{shown}"


def _value(value: Any) -> str:
    return "-" if value is None else text.shorten(value, 60)


def _print_table(out: Console, title: str, rows: list[Row]) -> None:
    if not rows:
        return

    if any(difference for _, _, _, difference, _ in rows):
        table = plain_table(title, "A", "B", "B - A", right=("A", "B", "B - A"))
        for name, one, other, difference, style in rows:
            table.add_row(Text(name), Text(one), Text(other), Text(difference, style))
    else:
        table = plain_table(title, "A", "B")
        for name, one, other, *_ in rows:
            table.add_row(Text(name), Text(one), Text(other))

    out.print()
    out.print(table)


def _print_curves(out: Console, history: dict[str, list[list[float]]]) -> None:
    num_epochs = max(len(values) for both in history.values() for values in both)
    if not num_epochs:
        return

    names = ["epoch", *(f"{name} {run}" for name in history for run in "AB")]
    table = plain_table(*names, right=tuple(names))

    for epoch in range(num_epochs):
        cells = [str(epoch + 1)]
        for name, both in history.items():
            for values in both:
                value = values[epoch] if epoch < len(values) else None
                cells.append("" if value is None else _with_unit(value, units.FIGURES.get(name)))
        table.add_row(*cells)

    out.print()
    out.print(table)
