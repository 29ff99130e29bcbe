"""`seqline compare A B`.

Two runs side by side: figures with their difference, what differs in parameters, data, code and
libraries, learning curves.
"""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.report import model, reproduce, text, units, verdict
from pipeline.report.contents import digests, duration
from pipeline.report.records import Records

# Figure -> the stage whose figures have it. Of the first group more is better, of the second less.
MORE = {
    "accuracy": "evaluator",
    "macro_f1": "evaluator",
    "roc_auc": "evaluator",
    "pr_auc": "evaluator",
    "eval_accuracy": "trainer",
}
LESS = {
    "cross_entropy": "evaluator",
    "ece": "evaluator",
    "eval_loss": "trainer",
    "num_parameters": "trainer",
    "num_bytes": "exporter",
    "p50_seconds": "infra_validator",
    "p99_seconds": "infra_validator",
    "rss_mb": "infra_validator",
    "load_seconds": "infra_validator",
}
CURVES = ("val_accuracy", "val_loss")
NUM_CLASSES = 10


def compare(first: Records, second: Records) -> dict[str, Any]:
    """{runs, comparable, figures, classes, parameters, digests, history}.

    Each difference is the second less the first.

    comparable: whether both were measured on the same Examples; where they were not, no difference
    of their figures means anything.
    """
    both = (first, second)
    keys = [
        run.executions["example_gen"].key if "example_gen" in run.executions else None
        for run in both
    ]
    return {
        "runs": [
            {
                "run": run.name,
                "model": reproduce.name_of(run),
                "verdict": verdict.name_of(run),
                "started": run.record.started,
            }
            for run in both
        ],
        "comparable": keys[0] is not None and keys[0] == keys[1],
        "figures": _figures(first, second),
        "classes": _classes(first, second),
        "parameters": _different(
            *({each["name"]: each["value"] for each in reproduce.parameters(run)} for run in both)
        ),
        "digests": _different(*(_flat(digests(run)) for run in both)),
        "history": {
            name: [(run.files.get("trainer") or {}).get(name, []) for run in both]
            for name in CURVES
        },
    }


def _figures(first: Records, second: Records) -> list[dict[str, Any]]:
    """[{name, values, difference, better.

    Whether the second is; None where they are equal or one is missing}]
    """
    found = []
    for names, sign in ((MORE, 1), (LESS, -1)):
        for name, stage in names.items():
            found.append(
                _difference(
                    name, first.figures(stage).get(name), second.figures(stage).get(name), sign
                )
            )
    return [
        each
        for each in [
            *found,
            _difference("seconds", duration(first.record), duration(second.record), -1),
        ]
        if _is_known(each)
    ]


def _is_known(figure: dict[str, Any]) -> bool:
    return any(value is not None for value in figure["values"])


def _difference(name: str, one: float | None, other: float | None, sign: int) -> dict[str, Any]:
    difference = None if one is None or other is None else other - one
    return {
        "name": name,
        "values": [one, other],
        "difference": difference,
        "better": difference * sign > 0 if difference else None,
    }


def _classes(first: Records, second: Records) -> list[dict[str, Any]]:
    """F1 of each class, the greatest differences first."""
    ones, others = (
        {each["label"]: each["f1"] for each in model.classes(run)} for run in (first, second)
    )
    found = [
        {"label": label, **_difference("f1", ones.get(label), others.get(label), 1)}
        for label in {**ones, **others}
    ]
    return sorted(found, key=lambda each: (-abs(each["difference"] or 0), each["label"]))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """`code trainer`, `library tensorflow`, ..., without the artifacts' keys, which follow from the
    rest.
    """
    kinds = {"code": "code", "libraries": "library"}
    flat = {f"{kinds[name]} {key}": value for name in kinds for key, value in found[name].items()}
    return {"data": found["data"], "model": found["model"], **flat}


def _different(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return [{"name": name, "values": [one.get(name), other.get(name)]} for name in names]


def show(out: Console, found: dict[str, Any]) -> None:
    """For a person."""
    for name, run in zip("AB", found["runs"], strict=True):
        out.print(
            Text(
                f"{name}  {text.clean(run['run'])} "
                f" {text.clean(str(run['started'])[:16].replace('T', ' '))} "
                f" {text.clean(run['verdict'])}"
                + (f"  {text.clean(run['model'])}" if run["model"] else "")
            )
        )
    if not found["comparable"]:
        out.print(
            Text(
                "Measured on different data: the figures of the models cannot be compared.",
                "yellow",
            )
        )
    _table(
        out, "figure", [(each["name"], *_numbers(each), _style(each)) for each in found["figures"]]
    )
    classes = [each for each in found["classes"] if each["difference"]][:NUM_CLASSES]
    _table(
        out,
        "F1 of",
        [(text.shorten(each["label"], 40), *_numbers(each), _style(each)) for each in classes],
    )
    for what in ("parameters", "digests"):
        rows = [
            (text.clean(each["name"]), _value(each["values"][0]), _value(each["values"][1]), "", "")
            for each in found[what]
        ]
        _table(out, what.removesuffix("s"), rows)
        if not rows:
            out.print(Text(f"\nNo difference in {what}.", "dim"))
    _curves(out, found["history"])


def _numbers(figure: dict[str, Any]) -> tuple[str, str, str]:
    """A figure's two values and their difference, each with its unit."""
    unit = units.FIGURES.get(figure["name"])
    one, other = (_with_unit(value, unit) for value in figure["values"])
    return (
        one,
        other,
        "" if figure["difference"] is None else _difference_with_unit(figure["difference"], unit),
    )


def _with_unit(value: float | None, unit: str | None) -> str:
    """Two runs may differ by little: with one decimal more than elsewhere."""
    if unit == units.SHARE:
        return units.share(value, 2)
    if unit == units.POINTS:
        return units.points(value, 2).removeprefix("+")
    return units.nats(value, 4) if unit == units.NATS else units.shown(value, unit)


def _difference_with_unit(difference: float, unit: str | None) -> str:
    if unit in (units.SHARE, units.POINTS):
        return units.points(difference, 2)
    if unit == units.NATS:
        return f"{text.signed(difference, 4)} nats"
    shown = units.shown(abs(difference), unit)
    return shown if not difference else f"{'+' if difference > 0 else '-'}{shown}"


def _style(figure: dict[str, Any]) -> str:
    return "" if figure["better"] is None else "green" if figure["better"] else "red"


def _value(value: Any) -> str:
    return "-" if value is None else text.shorten(value, 60)


def _table(out: Console, what: str, rows: list[tuple[str, str, str, str, str]]) -> None:
    if not rows:
        return
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    has_difference = any(row[3] for row in rows)
    for name in (what, "A", "B", *(["B - A"] if has_difference else [])):
        table.add_column(
            name, justify="left" if name == what or not has_difference else "right", overflow="fold"
        )
    for name, one, other, difference, style in rows:
        table.add_row(
            Text(name),
            Text(one),
            Text(other),
            *([Text(difference, style)] if has_difference else []),
        )
    out.print()
    out.print(table)


def _curves(out: Console, history: dict[str, list[list[float]]]) -> None:
    num = max(len(values) for both in history.values() for values in both)
    if not num:
        return
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for name in ("epoch", *(f"{name} {run}" for name in history for run in "AB")):
        table.add_column(name, justify="right")
    for epoch in range(num):
        cells = [
            _with_unit(values[epoch], units.FIGURES.get(name)) if epoch < len(values) else ""
            for name, both in history.items()
            for values in both
        ]
        table.add_row(str(epoch + 1), *cells)
    out.print()
    out.print(table)
