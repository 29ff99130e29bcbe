"""Pictures as inline SVG: plain functions from numbers to markup.

Colours are CSS classes, so they follow light and dark mode. Sizes are those of a phone's column
(360 units wide), so letters stay readable there. Every picture has a title and a description. Small
marks next to their numbers in a table say nothing that the table does not, and are hidden from
screen readers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.report.text import shorten
from pipeline.report.units import number

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34
# The labels of an axis of shares.
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
# Width of a mark in a table's cell; its height is 20.
MARK = 120
# The width of a cell of a confusion matrix, and of the names of the classes beside it.
CELL, SIDE = 18, 118
# Characters of a class name on an axis.
NUM_LABEL_CHARS = 14

Interval = Sequence[float] | None


@dataclass(frozen=True)
class Line:
    """A series of a line chart, whose style is a CSS class, s1 or s2."""

    name: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """Maps numbers in [low, high] to coordinates from start to end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> str:
        """The coordinate of a value, clipped to the axis."""
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return f"{self.start + min(max(part, 0.0), 1.0) * (self.end - self.start):.1f}"


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """About `num` round numbers within [low, high]."""
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high), 1e-9):  # floats this close have none between them
        return [low]

    raw = span / num
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(
        factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999
    )

    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(name: str, title: str, lines: Sequence[Line], best: int | None = None) -> Markup:
    """Draws figures by epoch.

    Args:
        name: the picture's id, unique in the page.
        title: of the picture.
        lines: the series, from epoch 1.
        best: an epoch to mark, or None.

    Returns:
        The markup; empty if no series has a value.
    """
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return Markup("")

    num = max(len(line.values) for line in lines)
    low, high = min(known), max(known)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 0.5
    x = Axis(1, num, LEFT, WIDTH - RIGHT)
    y = Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)

    parts = [grid(y, ticks(low - margin, high + margin)), _epochs(x, num)]
    if best:
        parts.append(
            Markup('<line class="best" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                x(best), TOP, HEIGHT - BOTTOM
            )
        )

    for line in lines:
        points = [
            (x(epoch), y(value))
            for epoch, value in enumerate(line.values, start=1)
            if value is not None
        ]
        path = " ".join(f"{px},{py}" for px, py in points)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(line.style, path))
        if num <= 60:
            parts += [
                Markup('<circle class="dot {}" cx="{}" cy="{}" r="2.5"/>').format(
                    line.style, *point
                )
                for point in points
            ]

    description = "; ".join(
        f"{line.name} from {number(line.values[0])} to {number(line.values[-1])}"
        for line in lines
        if line.values
    )

    return svg(name, title, f"By epoch, 1 to {num}: {description}.", WIDTH, HEIGHT, parts)


def grid(
    y: Axis,
    at: Sequence[float],
    names: Sequence[str] = (),
    left: float = LEFT,
    right: float = WIDTH - RIGHT,
) -> Markup:
    """Horizontal lines, labelled with names or, without names, with their values."""
    digits = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in at), default=0)
    names = names or [f"{value:.{digits}f}" for value in at]

    lines = Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="{3}" y="{2}" dy="4"'
        ' class="end">{4}</text>'
    )

    return Markup("").join(
        lines.format(left, right, y(value), left - 6, name)
        for value, name in zip(at, names, strict=True)
    )


def _epochs(x: Axis, num: int) -> Markup:
    """The labels of the axis of epochs, at most 8 of them."""
    at = (
        [value for value in ticks(1, num, min(num, 8)) if value == int(value) and value >= 1]
        if num > 1
        else [1.0]
    )

    text = Markup('<text x="{}" y="{}" class="middle">{}</text>')
    label = text.format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, "epoch")
    return (
        Markup("").join(text.format(x(value), HEIGHT - BOTTOM + 16, int(value)) for value in at)
        + label
    )


def reliability(name: str, title: str, curve: Sequence[dict[str, Any]]) -> Markup:
    """Draws how often the model is right by its confidence, and below, the number of rows."""
    size, foot = 300, 64
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, TOP + size, TOP)
    below = TOP + size + 10

    parts = [grid(y, QUARTERS, [f"{value:.0%}" for value in QUARTERS])]
    parts.append(
        Markup('<line class="even" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            x(0), y(0), x(1), y(1)
        )
    )

    most = max(bin_["num_rows"] for bin_ in curve)
    for bin_ in curve:
        low, high = bin_["accuracy_interval"]
        parts.append(
            Markup('<line class="whisker s1" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                x(bin_["confidence"]), y(low), y(high)
            )
        )
        tall = max(1.0, (foot - 22) * bin_["num_rows"] / most)
        parts.append(_rows_bar(x, bin_, below + foot - 22, tall))

    path = " ".join(f"{x(bin_['confidence'])},{y(bin_['accuracy'])}" for bin_ in curve)
    parts.append(Markup('<polyline class="line s1" points="{}"/>').format(path))
    parts += [
        Markup('<circle class="dot s1" cx="{}" cy="{}" r="3.5"/>').format(
            x(bin_["confidence"]), y(bin_["accuracy"])
        )
        for bin_ in curve
    ]

    text = Markup('<text x="{}" y="{}" class="middle">{}</text>')
    parts += quarters(x, below + foot - 6)
    parts.append(
        text.format(
            (LEFT + WIDTH - RIGHT) / 2,
            below + foot + 10,
            "probability of the predicted class; bars: rows",
        )
    )

    description = (
        f"{len(curve)} bins; on the dotted line the model would be right as often as it says."
    )
    return svg(name, title, description, WIDTH, below + foot + 14, parts)


def quarters(x: Axis, height: float) -> list[Markup]:
    """The labels of an axis of shares; the last one ends where the picture does."""
    text = Markup('<text x="{}" y="{}" class="{}">{}</text>')
    places = [(value, x(value), "middle") for value in QUARTERS[:-1]]
    places.append((1, str(WIDTH), "end"))
    return [text.format(place, height, style, f"{value:.0%}") for value, place, style in places]


def _rows_bar(x: Axis, bin_: dict[str, Any], bottom: float, tall: float) -> Markup:
    """A bar as wide as a bin, which stands on `bottom`."""
    bar = (
        x(bin_["low"]),
        f"{float(x(bin_['high'])) - float(x(bin_['low'])) - 1:.1f}",
        f"{bottom - tall:.1f}",
        f"{tall:.1f}",
    )
    return Markup('<rect class="bar" x="{0}" width="{1}" y="{2}" height="{3}"/>').format(*bar)


def heatmap(
    name: str, title: str, labels: Sequence[str], matrix: Sequence[Sequence[int]]
) -> Markup:
    """Draws a confusion matrix [true][predicted]; a shade is the share of the row."""
    num = len(labels)
    whole = SIDE + num * CELL + 4
    parts = _class_names(labels)

    for row, counts in enumerate(matrix):
        total = sum(counts)
        for column, count in enumerate(counts):
            if count:
                parts.append(_cell(labels, row, column, count, total))

    parts.append(
        Markup('<rect class="frame" x="{0}" y="{0}" width="{1}" height="{1}"/>').format(
            SIDE - 0.5, num * CELL
        )
    )
    return svg(
        name,
        title,
        "Rows are the true class, columns the predicted one; the darker, the larger the share of"
        " the row.",
        whole,
        whole,
        parts,
    )


def _class_names(labels: Sequence[str]) -> list[Markup]:
    """The names of the classes, to the left of the rows and above the columns."""
    parts = []
    for index, label in enumerate(labels):
        at = SIDE + index * CELL + CELL / 2
        shown = _middle_out(label)
        parts.append(
            Markup('<text x="{}" y="{}" dy="4" class="end">{}</text>').format(SIDE - 6, at, shown)
        )
        parts.append(
            Markup('<text transform="translate({} {}) rotate(-90)" dy="4">{}</text>').format(
                at, SIDE - 6, shown
            )
        )
    return parts


def _cell(labels: Sequence[str], row: int, column: int, count: int, total: int) -> Markup:
    """A cell of a confusion matrix, shaded by its share of the `total` rows of the true class."""
    place = (SIDE + column * CELL, SIDE + row * CELL, CELL - 1)
    style = f"{'right' if row == column else 'wrong'} {shade(count, total)}"
    tooltip = (
        f"{shorten(labels[row], 60)} taken for {shorten(labels[column], 60)}: {count:,}"
        f" rows, {count / total:.0%}"
    )
    rect = Markup(
        '<rect class="{4}" x="{0}" y="{1}" width="{2}" height="{2}"><title>{3}</title></rect>'
    )
    return rect.format(*place, tooltip, style)


def _middle_out(label: str) -> str:
    """Shortens a name in its middle: names of classes often differ only at their ends."""
    shown, half = shorten(label, 200), NUM_LABEL_CHARS // 2
    return shown if len(shown) <= NUM_LABEL_CHARS else f"{shown[:half]}…{shown[-half + 1 :]}"


def shade(count: int, total: int) -> str:
    """A CSS class, h0 to h10, by the root of the share, so that rare confusions can be seen."""
    return f"h{math.ceil(10 * math.sqrt(count / total)) if total else 0}"


def mark(
    value: float | None,
    interval: Interval,
    low: float,
    high: float,
    style: str = "s1",
    other: float | None = None,
) -> Markup:
    """Draws a point with its interval for a table's cell, and a second point as a stroke.

    A value outside [low, high] is an arrow.
    """
    if value is None:
        return Markup("")

    if not low <= value <= high:
        path = "M7 5 L2 10 L7 15" if value < low else f"M{MARK - 7} 5 L{MARK - 2} 10 L{MARK - 7} 15"
        return _hidden([Markup('<path class="line {}" d="{}"/>').format(style, path)])

    x = Axis(low, high, 6, MARK - 6)
    parts = [Markup('<line class="grid" x1="6" x2="{}" y1="10" y2="10"/>').format(MARK - 6)]

    if other is not None:
        parts.append(
            Markup('<line class="other" x1="{0}" x2="{0}" y1="2" y2="18"/>').format(x(other))
        )

    if interval:
        parts.append(
            Markup('<line class="whisker {}" x1="{}" x2="{}" y1="10" y2="10"/>').format(
                style, x(interval[0]), x(interval[1])
            )
        )

    parts.append(Markup('<circle class="dot {}" cx="{}" cy="10" r="4.5"/>').format(style, x(value)))
    return _hidden(parts)


def bar(value: float | None, most: float, start: float = 0.0, style: str = "s1") -> Markup:
    """Draws a bar from `start` on an axis from 0 to `most`, for a table's cell."""
    if value is None or not most:
        return Markup("")

    x = Axis(0, most, 0, MARK)
    width = max(1.0, float(x(start + value)) - float(x(start)))
    return _hidden(
        [
            Markup('<rect class="bar {}" x="{}" y="4" width="{}" height="12" rx="2"/>').format(
                style, x(start), f"{width:.1f}"
            )
        ]
    )


def _hidden(parts: Sequence[Markup]) -> Markup:
    """A mark for a table's cell, hidden from screen readers."""
    return Markup('<svg class="mark" viewBox="0 0 {} 20" aria-hidden="true">{}</svg>').format(
        MARK, Markup("").join(parts)
    )


def svg(
    name: str, title: str, description: str, width: float, height: float, parts: Sequence[Markup]
) -> Markup:
    """A picture with a title and a description, which screen readers read."""
    head = Markup(
        '<svg id="{0}" viewBox="0 0 {1} {2}" width="{1}" height="{2}" role="img"'
        ' aria-labelledby="{0}-title {0}-desc">'
    )
    labels = Markup('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>').format(
        name, title, description
    )
    return head.format(name, width, height) + labels + Markup("").join(parts) + Markup("</svg>")
