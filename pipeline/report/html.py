"""report.html: one file with everything in it.

It has no script and makes no request: a policy in its head forbids both.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from pipeline.report import charts, curves, model, text, tuning, units
from pipeline.report.compiled import CompiledTemplates

# Up to this many classes the confusion matrix is a table of numbers, and up to this many a picture;
# of more classes, those with the most errors are drawn.
NUM_TABLE_CLASSES, NUM_PICTURE_CLASSES, NUM_WORST_CLASSES = 10, 40, 24
# Rows of a table that are shown at once; the others are folded.
NUM_ROWS = 20
NUM_PAIRS, NUM_WARNINGS = 10, 8
OTHERS = "(all others)"
DASH, MINUS = "\u2013", "\u2212"

# Section -> (the part of the report that it needs, the stage that the part comes from).
NEEDS = {
    "compared": ("compared", "evaluator"),
    "tuning": ("tuning", "tuner"),
    "training": ("training", "trainer"),
    "classes": ("classes", "evaluator"),
    "confusion": ("confusion", "evaluator"),
    "slices": ("compared", "evaluator"),
    "calibration": ("calibration", "evaluator"),
    "data": ("data", "example_gen"),
    "examples": ("compared", "evaluator"),
}
SECTIONS = {
    "next": "Next steps",
    "warnings": "Warnings",
    "compared": "Comparison",
    "gates": "Gates",
    "tuning": "Tuning",
    "training": "Learning curves",
    "classes": "Classes",
    "confusion": "Confusion matrix",
    "slices": "Slices",
    "curves": "ROC and precision-recall",
    "calibration": "Calibration",
    "data": "Data and drift",
    "examples": "Wrong and uncertain answers",
    "stages": "Stages",
    "digests": "Digests, parameters",
    "commands": "Commands",
}


def render(report: dict[str, Any]) -> str:
    """Renders a report, see `pipeline.report.contents`.

    Every text in it is escaped, and made visible by `pipeline.report.text.clean`.
    """
    template = environment().get_template("report.html.jinja")
    missing = _missing(report)
    absent = {name for group in missing for name in group["sections"]}
    if not report["next_steps"]:
        absent.add("next")
    if not report["warnings"]:
        absent.add("warnings")
    if not report["curves"]:
        absent.add("curves")
    if not report["tuning"]:
        absent.add("tuning")

    confusion, calibration = report["confusion"], report["calibration"]
    reliability = None
    if calibration:
        reliability = charts.reliability(
            "picture-calibration", "Calibration curve", calibration["curve"]
        )

    page = template.render(
        report=report,
        sections=SECTIONS,
        shown={name: title for name, title in SECTIONS.items() if name not in absent},
        missing_sections=missing,
        style=Markup(read_template("style.css")),  # ours
        better=model.better_baseline(report["compared"]),
        axis=_axis(report["compared"]),
        gates=_by_stage(report["gates"]),
        slices=_slices(report["slices"]),
        learning=_learning(report["training"]),
        curves=curves.drawn(report["curves"], report["classes"]),
        tuned=tuning.drawn(report["tuning"]),
        matrix=_matrix(confusion) if confusion and confusion["matrix"] else None,
        reliability=reliability,
        slowest=max((stage["seconds"] or 0.0 for stage in report["stages"]), default=0.0),
    )

    # A text may hold half of a surrogate pair.
    return page.encode("utf-8", "replace").decode()


def read_template(name: str) -> str:
    return (resources.files("pipeline.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    from jinja2 import FunctionLoader

    environment = Environment(
        loader=FunctionLoader(read_template),
        bytecode_cache=CompiledTemplates(),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )

    environment.filters |= {
        "number": _number,
        "seconds": _seconds,
        "share": _share,
        "share_interval": _share_interval,
        "points": _points,
        "points_interval": _points_interval,
        "nats": _nats,
        "rows": units.rows,
        "place": model.place,
        "moment": _moment,
        "words": _words,
        "lines": _lines,
        "shorten": text.shorten,
        "as_json": _as_json,
        "setting": _setting,
    }

    environment.globals |= {
        "mark": charts.mark,
        "bar": charts.bar,
        "shade": charts.shade,
        "num_rows": NUM_ROWS,
    }
    environment.globals |= {
        "num_pairs": NUM_PAIRS,
        "num_warnings": NUM_WARNINGS,
        "of_gate": _of_gate,
        "gain": model.gain,
    }
    return environment


def _visible(value: Any) -> str:
    """Makes every character visible, before it is escaped; our own markup stays as it is."""
    if isinstance(value, Markup):
        return value
    return "" if value is None else text.clean(value)


def _typeset(number: str) -> str:
    """Puts a minus sign as wide as the plus, and a dash that can be seen, in place of a hyphen."""
    if number == "-":
        return DASH
    return f"{MINUS}{number[1:]}" if number.startswith("-") else number


def _number(value: float | None, digits: int = 3) -> str:
    return _typeset(units.number(value, digits))


def _seconds(value: float | None) -> str:
    return _typeset(units.duration(value))


def _share(value: float | None, digits: int = 1) -> str:
    return _typeset(units.share(value, digits))


def _share_interval(pair: Sequence[float] | None) -> str:
    return _typeset(units.share_interval(pair))


def _points(value: float | None) -> str:
    return _typeset(units.points(value))


def _points_interval(pair: Sequence[float] | None) -> str:
    return units.points_interval(pair).replace("-", MINUS) if pair else DASH


def _nats(value: float | None) -> str:
    return _typeset(units.nats(value))


def _of_gate(name: str, value: float | None) -> str:
    return _typeset(units.of_gate(name, value))


def _moment(value: str | None) -> str:
    return f"{value[:19].replace('T', ' ')} UTC" if value else DASH


def _words(name: str) -> str:
    return name.replace("_", " ")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _setting(value: Any) -> str:
    """The value of a setting, a float with few digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return DASH if value is None else text.shorten(_as_json(value), 40)


def _lines(value: str) -> Markup:
    """A text that keeps its line breaks."""
    return Markup("\n").join(text.clean(line) for line in value.splitlines())


def _axis(compared: list[dict[str, Any]]) -> tuple[float, float]:
    """The ends of the axis of accuracies. The majority class, which is far off, may lie outside."""
    near = [row for row in compared if row["name"] != "majority class"]
    return around(
        [
            end
            for row in near
            for end in row["accuracy_interval"] or [row["accuracy"]]
            if end is not None
        ]
    )


def around(values: list[float]) -> tuple[float, float]:
    """Round numbers below and above all the shares."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    step = 0.1 if high - low > 0.2 else 0.05 if high - low > 0.08 else 0.02
    return max(0.0, int(low / step) * step), min(1.0, (int(high / step - 1e-9) + 1) * step)


def _slices(slices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """[{feature, rows, folded, low, high}]; `folded` has the better slices, if they are many."""
    shown = []
    for feature in dict.fromkeys(row["feature"] for row in slices):
        rows = [row for row in slices if row["feature"] == feature]
        ends = [end for row in rows if row["judged"] for end in row["accuracy_interval"]]
        ends += [row["served"]["accuracy"] for row in rows if row["judged"] and row["served"]]
        low, high = around(ends or [row["accuracy"] for row in rows])
        if len(rows) > NUM_ROWS:
            rows.sort(key=lambda row: (not row["judged"], row["accuracy"]))

        shown.append(
            {
                "feature": feature,
                "rows": rows[:NUM_ROWS],
                "folded": rows[NUM_ROWS:],
                "low": low,
                "high": high,
            }
        )
    return shown


def _missing(report: dict[str, Any]) -> list[dict[str, Any]]:
    """[{stage, why, sections}]: the sections that lack a result, by the stage it comes from."""
    states = {stage["component"]: stage["state"] for stage in report["stages"]}
    why = {"not reached": "which the run did not reach", "gone": "whose artifact is gone"}

    sections: dict[str, list[str]] = {}
    for name, (part, stage) in NEEDS.items():
        # A run without a tuner lacks nothing.
        if not report[part] and (name != "tuning" or stage in states):
            sections.setdefault(stage, []).append(name)

    return [
        {"stage": stage, "why": why.get(states.get(stage, ""), "which has none"), "sections": names}
        for stage, names in sections.items()
    ]


def _by_stage(gates: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(stage, list(group)) for stage, group in groupby(gates, key=lambda gate: gate["stage"])]


def _learning(training: dict[str, Any] | None) -> list[Markup]:
    history = (training or {}).get("history") or {}
    drawn = []

    for figure, title in (("loss", "Loss (nats) by epoch"), ("accuracy", "Accuracy (%) by epoch")):
        factor = 100 if figure == "accuracy" else 1
        named = (
            ("train", "s2", history.get(figure, [])),
            ("eval", "s1", history.get(f"val_{figure}", [])),
        )
        lines = [
            charts.Line(name, style, [value and value * factor for value in values])
            for name, style, values in named
        ]

        picture = charts.line_chart(
            f"picture-{figure}", title, lines, (training or {}).get("best_epoch")
        )
        if picture:
            drawn.append(picture)
    return drawn


def _matrix(confusion: dict[str, Any]) -> dict[str, Any]:
    """{labels, rows, picture, left_out}: a table or a picture; how many classes are combined."""
    labels, matrix = confusion["labels"], confusion["matrix"]
    if len(labels) <= NUM_TABLE_CLASSES:
        return {"labels": labels, "rows": matrix, "picture": None, "left_out": 0}

    left_out = 0
    if len(labels) > NUM_PICTURE_CLASSES:
        left_out = len(labels) - NUM_WORST_CLASSES
        labels, matrix = worst(labels, matrix, NUM_WORST_CLASSES)

    picture = charts.heatmap("picture-confusion", "Confusion matrix", labels, matrix)
    return {"labels": labels, "rows": None, "picture": picture, "left_out": left_out}


def worst(
    labels: list[str], matrix: list[list[int]], num: int
) -> tuple[list[str], list[list[int]]]:
    """Keeps the classes with the most errors, and combines all others into one.

    Args:
        labels: of the classes.
        matrix: [true][predicted], numbers of rows.
        num: how many classes to keep.

    Returns:
        (the labels, the matrix), each with one class more than `num`, for the others.
    """
    errors = [
        sum(row) + sum(other[index] for other in matrix) - 2 * row[index]
        for index, row in enumerate(matrix)
    ]

    chosen = sorted(sorted(range(len(labels)), key=lambda index: (-errors[index], index))[:num])
    rest = [index for index in range(len(labels)) if index not in chosen]
    groups = [*([index] for index in chosen), rest]

    small = [
        [sum(matrix[row][column] for row in rows for column in columns) for columns in groups]
        for rows in groups
    ]
    return [*(labels[index] for index in chosen), OTHERS], small
