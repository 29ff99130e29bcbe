"""Pictures of points and of curves between shares, as `pipeline.report.charts` draws others."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.report.charts import (
    BOTTOM,
    LEFT,
    QUARTERS,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    grid,
    quarters,
    svg,
    ticks,
)
from pipeline.report.text import shorten
from pipeline.report.units import share

Point = tuple[float, float]

SIZE = 260  # of the square between the axes, in the units of WIDTH
# A small picture, of which several are next to each other.
SMALL_WIDTH, SMALL_HEIGHT, SMALL_LEFT = 240, 150, 46
# Values of a setting that are named on the axis.
MAX_NAMED = 6


@dataclass(frozen=True)
class NamedLine:
    """A curve: its name, empty for the mean of all; CSS class (s1, s2, thin); points; area."""

    name: str
    style: str
    points: Sequence[Point]
    area: float | None = None

    @property
    def told(self) -> str:
        name = shorten(self.name, 60) if self.name else "mean of the classes"
        return name if self.area is None else f"{name}: area {share(self.area)}"


def share_chart(
    name: str, title: str, lines: Sequence[NamedLine], diagonal: bool = False
) -> Markup:
    """Draws curves between two shares, both from 0 to 100 %.

    Args:
        name: the picture's id, unique in the page.
        title: of the picture.
        lines: the curves; later ones are drawn over earlier ones. Its name appears where a pointer
            rests on a line.
        diagonal: whether to draw the line from corner to corner, on which a guess would be.
    """
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, TOP + SIZE, TOP)
    parts = [grid(y, QUARTERS, [f"{value:.0%}" for value in QUARTERS])]
    parts += quarters(x, TOP + SIZE + 16)
    if diagonal:
        even = '<line class="even" x1="{}" y1="{}" x2="{}" y2="{}"/>'
        parts.append(Markup(even).format(x(0), y(0), x(1), y(1)))

    for line in lines:
        path = " ".join(f"{x(across)},{y(up)}" for across, up in line.points)
        shape = '<polyline class="line {}" points="{}"><title>{}</title></polyline>'
        parts.append(Markup(shape).format(line.style, path, line.told))

    told = "; ".join(line.told for line in lines[-3:])
    return svg(
        name, title, f"{len(lines)} lines, among them {told}.", WIDTH, TOP + SIZE + 22, parts
    )


@dataclass(frozen=True)
class Dot:
    """A point of a small picture: the value of a setting, a height, a CSS class, a tooltip."""

    value: Any
    height: float
    style: str
    told: str


def small_chart(
    name: str,
    title: str,
    dots: Sequence[Dot],
    choices: Sequence[Any] | None = None,
    log: bool = False,
) -> Markup:
    """Draws shares against the values of a setting.

    Args:
        name: the picture's id, unique in the page.
        title: of the picture.
        dots: the points; later ones are drawn over earlier ones.
        choices: the values, if they are not numbers on a line; each has a place of its own.
        log: whether the axis is logarithmic.
    """
    low, high = min(dot.height for dot in dots), max(dot.height for dot in dots)
    margin = (high - low) * 0.08 or 0.01
    bottom = SMALL_HEIGHT - BOTTOM + 8
    y = Axis(low - margin, high + margin, bottom, TOP - 4)
    at = ticks(low - margin, high + margin, 3)
    digits = 0 if high - low > 0.1 else 1 if high - low > 0.01 else 2
    names = [f"{value:.{digits}%}" for value in at]
    parts = [grid(y, at, names, SMALL_LEFT, SMALL_WIDTH - RIGHT)]

    places, named = _places([dot.value for dot in dots], choices, log)
    x = Axis(0, 1, SMALL_LEFT + 10, SMALL_WIDTH - RIGHT - 10)
    text = Markup('<text x="{}" y="{}" class="middle">{}</text>')
    parts += [text.format(x(part), bottom + 16, shown) for part, shown in named]
    shape = Markup('<circle class="dot {}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>')
    for dot in dots:
        across = x(places[json.dumps(dot.value)])
        radius = 5 if dot.style == "s2" else 3.5
        parts.append(shape.format(dot.style, across, y(dot.height), radius, dot.told))

    description = f"{len(dots)} trials, from {share(low)} to {share(high)}."
    return svg(name, title, description, SMALL_WIDTH, SMALL_HEIGHT, parts)


def _places(
    values: Sequence[Any], choices: Sequence[Any] | None, log: bool
) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Places of values on an axis from 0 to 1.

    Returns:
        (a value as JSON -> its place, the places that are named with their names).
    """
    numbers = [value for value in values if isinstance(value, int | float)]
    if choices is not None or len(numbers) < len(values):
        # Values that are no choices are those of the trainer.
        keys = list(dict.fromkeys(json.dumps(value) for value in [*(choices or []), *values]))
        places = {key: (index + 0.5) / len(keys) for index, key in enumerate(keys)}
        chars = max(3, 26 // len(keys))
        every = math.ceil(len(keys) / MAX_NAMED)
        named = [(places[key], shorten(key.strip('"'), chars)) for key in keys[::every]]
        return places, named

    is_log = log and min(numbers) > 0
    scaled = {json.dumps(value): math.log(value) if is_log else value for value in numbers}
    low, high = min(scaled.values()), max(scaled.values())
    width = (high - low) or 1.0
    places = {key: (value - low) / width if high > low else 0.5 for key, value in scaled.items()}
    if high == low:
        return places, [(0.5, f"{numbers[0]:.3g}")]

    middle = (low + high) / 2
    named = [
        (part, f"{math.exp(value) if is_log else value:.2g}")
        for part, value in ((0.0, low), (0.5, middle), (1.0, high))
    ]
    return places, named
