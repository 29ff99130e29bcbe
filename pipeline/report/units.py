"""Figures with their units, each kind written in one way.

An accuracy as `96.3%`, a difference of two as `+0.7 points`.

Accuracy, F1, precision, recall, the areas and probabilities are parts of 1 in the records, and per
cent for people.
"""

from collections.abc import Sequence

from pipeline.report.text import number, seconds, signed

# A share is shown with more decimals where it would be rounded to nothing, or to all.
MAX_DIGITS = 4

SHARE, POINTS, NATS, ROWS, MEGABYTES, SECONDS, LOG_ODDS = (
    "share",
    "points",
    "nats",
    "rows",
    "megabytes",
    "seconds",
    "log-odds",
)
# What a gate's value and threshold are measured in.
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
    "rss_mb": MEGABYTES,
    "median_latency": SECONDS,
    "latency": SECONDS,
    "load_time": SECONDS,
    "p50_seconds": SECONDS,
    "p99_seconds": SECONDS,
    "load_seconds": SECONDS,
    "parity": LOG_ODDS,
    "server": LOG_ODDS,
    "difference": LOG_ODDS,
}
# Gates that count something else: one of it, and several.
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


def share(value: float | None, digits: int = 1) -> str:
    """`96.3%`; `99.98%` rather than 100.0% of what is not all; a dash where there is none."""
    if value is None:
        return "-"
    for more in range(digits, MAX_DIGITS + 1):
        shown = f"{value:.{more}%}"
        if 0 < value < 1 and float(shown[:-1]) in (0, 100):
            continue
        return shown
    return (
        f"<{10**-MAX_DIGITS:.{MAX_DIGITS}f}%"
        if value < 0.5
        else f">{100 - 10**-MAX_DIGITS:.{MAX_DIGITS}f}%"
    )


def share_interval(pair: Sequence[float] | None, digits: int = 1) -> str:
    """`94.0% to 97.7%`"""
    return " to ".join(share(end, digits) for end in pair) if pair else "-"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of two shares: `+0.7 points`, `0.0 points`."""
    return "-" if value is None else f"{signed(round(100 * value, digits) + 0.0, digits)} points"


def points_interval(pair: Sequence[float] | None, digits: int = 1) -> str:
    """`-1.2 to +2.5 points`"""
    return (
        " to ".join(points(end, digits).removesuffix(" points") for end in pair) + " points"
        if pair
        else "-"
    )


def nats(value: float | None, digits: int = 3) -> str:
    """A cross-entropy: `0.132 nats`."""
    return "-" if value is None else f"{number(float(value), digits)} nats"


def rows(count: float | None) -> str:
    """`1 row`, `2,225 rows`."""
    return "-" if count is None else f"{number(count)} {'row' if count == 1 else 'rows'}"


def shown(value: float | None, unit: str | None) -> str:
    """A value with its unit; a plain number where it has none."""
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
        return seconds(value)
    return number(value)


def of_gate(name: str, value: float | None) -> str:
    """A gate's value, or its threshold.

    What is lost against the served version is a loss in the record, and a difference here.
    """
    unit = GATES.get(name)
    if value is not None and name in ("served_accuracy", "served_slice_accuracy"):
        value = -value
    if (
        unit == POINTS
        and value is not None
        and name in ("calibration", "vocabulary_drift", "label_noise")
    ):
        return points(value).removeprefix("+")
    if value is not None and (unit == LOG_ODDS or name in COUNTS):
        return (
            f"{value:.1e} log-odds"
            if unit == LOG_ODDS
            else f"{value:,.0f} {COUNTS[name][value != 1]}"
        )
    return shown(value, unit)
