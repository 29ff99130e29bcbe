"""A comparison as texts, for the terminal, Markdown and HTML alike."""

from collections.abc import Sequence
from typing import Any

from pipeline.report import text, units

NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Classes whose F1 differs most.
NUM_CLASSES = 10
# Characters of a digest that are shown, where more than two runs are compared.
NUM_DIGEST_CHARS = 10
# A difference of two durations that no clock here can tell.
SAME_SECONDS = 1e-5
WARNING = "Measured on different data: the figures of the models cannot be compared."


def names_of(num_runs: int) -> list[str]:
    """A, B, C, ...; numbers for more runs than there are letters."""
    if num_runs <= len(NAMES):
        return list(NAMES[:num_runs])
    return [str(number) for number in range(1, num_runs + 1)]


def head(name: str, run: dict[str, Any]) -> list[str]:
    """The parts of the line that says which run has a name."""
    started = str(run["started"])[:16].replace("T", " ")
    parts = [name, run["run"], started, run["verdict"], run["model"]]
    return [text.clean(part) for part in parts if part]


def with_unit(value: float | None, unit: str | None) -> str:
    """A value with its unit, and one decimal more than elsewhere: two runs may differ by little."""
    if unit == units.SHARE:
        return units.share(value, 2)
    if unit == units.POINTS:
        return units.points(value, 2).removeprefix("+")
    return units.nats(value, 4) if unit == units.NATS else units.shown(value, unit)


def difference(change: float, unit: str | None) -> str:
    if unit in (units.SHARE, units.POINTS):
        return units.points(change, 2)
    if unit == units.NATS:
        return f"{units.signed(change, 4)} nats"
    if unit == units.SECONDS and abs(change) < SAME_SECONDS:
        return "0 ms"
    shown = units.shown(abs(change), unit)
    return shown if not change else f"{'+' if change > 0 else '-'}{shown}"


def interval(ends: Sequence[float] | None, unit: str | None) -> str:
    """`90.1-93.2`, in the unit of the value above it."""
    if not ends:
        return ""
    if unit == units.SHARE:
        return "-".join(f"{100 * end:.1f}" for end in ends)
    return "-".join(f"{end:.2f}" for end in ends)


def bare(value: float | None, unit: str | None) -> str:
    """A value in few columns: without nats and points, and a duration as a clock has it."""
    if unit == units.SECONDS and value is not None and value >= 60:
        return units.clock(value)
    return with_unit(value, unit).removesuffix(" nats").removesuffix(" points")


def units_of(figures: Sequence[dict[str, Any]]) -> str:
    """Says the units that `bare` leaves out, such as `cross_entropy in nats`; empty for none."""
    told = []
    for unit in (units.NATS, units.POINTS):
        names = [row["name"] for row in figures if units.FIGURES.get(row["name"]) == unit]
        if names:
            told.append(f"{', '.join(names)} in {unit}")
    return "; ".join(told)


def gain(name: str, first: str, gained: dict[str, Any]) -> str:
    """The sentence on a gain of accuracy over the first run."""
    shown = units.points(gained["accuracy"], 2)
    ends = units.points_interval(gained["interval"], 2).removesuffix(" points")
    how = "from independent samples"
    if gained["paired"]:
        rows = f"{gained['num_gained']:,} rows gained, {gained['num_lost']:,} lost"
        how = f"row by row, {rows}"
    return f"accuracy {name} - {first}: {shown} (95%: {ends}), {how}"


def gains(comparison: dict[str, Any]) -> list[str]:
    names = names_of(len(comparison["runs"]))
    return [
        gain(name, names[0], gained)
        for name, gained in zip(names, comparison["gains"], strict=True)
        if gained
    ]


def value(given: Any, chars: int = 60) -> str:
    return "-" if given is None else text.shorten(given, chars)
