"""Figures as text, each kind written in one way.

Accuracy, F1, precision, recall, areas under curves and probabilities are fractions of 1 in the
records and per cent for people: an accuracy is `96.3%`, a difference of two `+0.7 points`.
"""

import math
from collections.abc import Sequence

# A share has up to this many decimals if fewer would round it to nothing or to all.
MAX_DIGITS = 4

SHARE, POINTS, NATS, ROWS = "share", "points", "nats", "rows"
MEGABYTES, SECONDS, LOG_ODDS = "megabytes", "seconds", "log-odds"
# Gate -> the unit of its value and its threshold.
GATES = {
    "finite": ROWS,
    "accuracy": SHARE,
    "macro_f1": SHARE,
    "slice_accuracy": SHARE,
    "cross_entropy": NATS,
    "calibration": POINTS,
    "gain_over_majority": POINTS,
    "gain_over_linear": POINTS,
    "served_accuracy": POINTS,
    "served_slice_accuracy": POINTS,
    "vocabulary_drift": POINTS,
    "label_noise": POINTS,
    "size": MEGABYTES,
    "memory": MEGABYTES,
    "median_latency": SECONDS,
    "latency": SECONDS,
    "load_time": SECONDS,
    "parity": LOG_ODDS,
    "server": LOG_ODDS,
}
# Gates that count something else: its singular and plural.
COUNTS = {"anomalies": ("error", "errors"), "classes": ("class", "classes")}
# Figures that `seqline compare` lists.
FIGURES = {
    **dict.fromkeys(
        ("accuracy", "macro_f1", "roc_auc", "pr_auc", "eval_accuracy", "f1", "val_accuracy"), SHARE
    ),
    **dict.fromkeys(("cross_entropy", "eval_loss", "val_loss"), NATS),
    "ece": POINTS,
    "rss_mb": MEGABYTES,
    **dict.fromkeys(("p50_seconds", "p99_seconds", "load_seconds", "seconds"), SECONDS),
}


def number(value: float | None, digits: int = 3) -> str:
    """`0.881`, `1,234`, `2.4e-07`; a dash for None and for what is not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.064`, `-0.012`, `0.000`."""
    if isinstance(value, float) and value == 0:
        value = 0.0  # a negative zero is zero
    return f"+{number(value, digits)}" if value and value > 0 else number(value, digits)


def duration(seconds: float | None, digits: int = 1) -> str:
    """`11 ms`, `12.3 s`, `3 min 5 s`, `2 h 4 min`; a dash for None.

    Args:
        seconds: the duration.
        digits: decimals of a duration under a minute; with 0 there are no milliseconds either.
    """
    if seconds is None:
        return "-"
    if digits and 0 < seconds < 0.1:
        return f"{1000 * seconds:.3g} ms" if seconds >= 1e-5 else "<0.01 ms"
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float, digits: int = 0) -> str:
    """`12.3 s`, `3:05`, `1:02:45`: a duration in few columns."""
    if seconds < 99.5:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def about(seconds: float) -> str:
    """`about 40 s`, `about 3 min`, `about 2 h`: no more precise than an estimate is."""
    if seconds < 10:
        return f"about {seconds:.0f} s"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s"

    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {round(seconds / 3600)} h"


def share(value: float | None, digits: int = 1) -> str:
    """`96.3%`; `99.98%`, not `100.0%`, of what is not all; a dash for None."""
    if value is None:
        return "-"

    for more in range(digits, MAX_DIGITS + 1):
        shown = f"{value:.{more}%}"
        if 0 < value < 1 and float(shown[:-1]) in (0, 100):
            continue
        return shown
    least = 10**-MAX_DIGITS
    return f"<{least:.{MAX_DIGITS}f}%" if value < 0.5 else f">{100 - least:.{MAX_DIGITS}f}%"


def share_interval(pair: Sequence[float] | None, digits: int = 1) -> str:
    """`94.0% to 97.7%`"""
    return " to ".join(share(end, digits) for end in pair) if pair else "-"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of two shares: `+0.7 points`, `0.0 points`."""
    return "-" if value is None else f"{signed(round(100 * value, digits) + 0.0, digits)} points"


def points_interval(pair: Sequence[float] | None, digits: int = 1) -> str:
    """`-1.2 to +2.5 points`"""
    if not pair:
        return "-"
    return f"{' to '.join(points(end, digits).removesuffix(' points') for end in pair)} points"


def nats(value: float | None, digits: int = 3) -> str:
    """A cross-entropy: `0.132 nats`."""
    return "-" if value is None else f"{number(float(value), digits)} nats"


def rows(count: float | None) -> str:
    """`1 row`, `2,225 rows`."""
    return "-" if count is None else f"{number(count)} {'row' if count == 1 else 'rows'}"


def shown(value: float | None, unit: str | None) -> str:
    """A value with its unit, or a plain number if it has none."""
    if value is None:
        return "-"
    if unit == SHARE:
        return share(value)
    if unit == POINTS:
        return points(value)
    if unit == NATS:
        return nats(value)
    if unit == ROWS:
        return rows(int(value))
    if unit == MEGABYTES:
        return f"{number(float(value), 1)} MB"
    if unit == SECONDS:
        return duration(value)
    return number(value)


def of_gate(name: str, value: float | None) -> str:
    """A gate's value or threshold with its unit.

    A loss against the served version is shown as a difference, with the opposite sign.
    """
    unit = GATES.get(name)
    if value is None:
        return shown(value, unit)

    if name in ("served_accuracy", "served_slice_accuracy"):
        value = -value
    if name in ("calibration", "vocabulary_drift", "label_noise"):  # not a gain or a loss
        return points(value).removeprefix("+")
    if name in COUNTS:
        return f"{value:,.0f} {COUNTS[name][value != 1]}"
    return f"{value:.1e} log-odds" if unit == LOG_ODDS else shown(value, unit)
