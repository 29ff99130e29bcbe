"""A comparison of runs as Markdown and as a page, which has no script and makes no request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.report import charts, comparison, curves, html, plots, units
from pipeline.report.compare import spread
from pipeline.report.records import Records
from pipeline.report.text import code, markdown
from seqline import __version__
from seqline.errors import UserError
from seqline.storage.staging import writing

# Lines of a picture have so many colours; further runs have them again.
NUM_STYLES = 6
TITLES = {"val_accuracy": "Eval accuracy (%) by epoch", "val_loss": "Eval loss (nats) by epoch"}


def markdown_of(compared: dict[str, Any]) -> str:
    """The comparison in GitHub's Markdown. No text in it becomes markup, a link or a mention."""
    names = comparison.names_of(len(compared["runs"]))
    lines = ["## Comparison", ""]
    for name, run in zip(names, compared["runs"], strict=True):
        shown = "  ".join(comparison.head(name, run)[2:])
        lines.append(f"- **{name}** {code(run['run'])} {markdown(shown)}")
    lines += ["", *([f"⚠️ **{comparison.WARNING}**", ""] if not compared["comparable"] else [])]

    figures = [[figure["name"], *_cells(figure)] for figure in compared["figures"]]
    lines += _table(["figure", *names], figures, "---:")
    if any(figure["best"] for figure in compared["figures"]):
        lines += ["**Bold** is the best.", ""]
    lines += [line for sentence in comparison.gains(compared) for line in (f"- {sentence}",)]
    classes = [row for row in compared["classes"] if spread(row)][: comparison.NUM_CLASSES]
    rows = [[markdown(row["label"], 40), *_cells(row)] for row in classes]
    lines += ["", *_table(["F1 of", *names], rows, "---:")]

    for title, chars in (("parameters", 60), ("digests", 16)):
        rows = [
            [code(row["name"]), *(code(comparison.value(value, chars)) for value in row["values"])]
            for row in compared[title]
        ]
        lines += _table([title.removesuffix("s"), *names], rows, "---")
        if not rows:
            lines += [f"No difference in {title}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _cells(figure: dict[str, Any]) -> list[str]:
    unit = units.FIGURES.get(figure["name"])
    ends = figure.get("intervals") or [None] * len(figure["values"])
    cells = []
    for place, (value, pair) in enumerate(zip(figure["values"], ends, strict=True)):
        shown = comparison.with_unit(value, unit)
        shown = f"**{shown}**" if place in figure["best"] else shown
        cells.append(f"{shown} ({comparison.interval(pair, unit)})" if pair else shown)
    return cells


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], aligned: str) -> list[str]:
    if not rows:
        return []
    lines = [head, ["---", *[aligned] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(row)} |" for row in lines] + [""]


def write(compared: dict[str, Any], runs: Sequence[Records], path: str) -> None:
    """Writes the page.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with writing(Path(path).absolute()) as name:
            Path(name).write_text(render(compared, runs), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--html {path} cannot be written ({error.strerror or error}). Name another file."
        ) from None


def render(compared: dict[str, Any], runs: Sequence[Records]) -> str:
    """The page of a comparison, and of the runs that it compares."""
    names = comparison.names_of(len(runs))
    styles = [f"s{place % NUM_STYLES + 1}" for place in range(len(runs))]
    figures = [
        {**figure, "unit": units.FIGURES.get(figure["name"])} for figure in compared["figures"]
    ]
    accuracy = next((figure for figure in figures if figure["name"] == "accuracy"), None)
    ends = [end for pair in (accuracy or {}).get("intervals") or [] if pair for end in pair]

    page = (
        html.environment()
        .get_template("comparison.html.jinja")
        .render(
            compared=compared,
            names=names,
            styles=styles,
            figures=figures,
            accuracy=accuracy,
            axis=html.around(ends),
            gains=comparison.gains(compared),
            classes=[row for row in compared["classes"] if spread(row)][: html.NUM_ROWS],
            pictures=[
                *_learning(compared["history"], names, styles),
                *_curves(runs, names, styles),
            ],
            with_unit=comparison.with_unit,
            interval=comparison.interval,
            shown=comparison.value,
            warning=comparison.WARNING,
            style=Markup(html.read_template("style.css")),  # ours
            version=__version__,
        )
    )
    return page.encode("utf-8", "replace").decode()


def _learning(
    history: dict[str, list[list[float]]], names: Sequence[str], styles: Sequence[str]
) -> list[tuple[str, Markup]]:
    """(title, picture) of the learning curves of all runs over each other."""
    drawn = []
    for figure, of_runs in history.items():
        factor = 100 if figure == "val_accuracy" else 1
        lines = [
            charts.Line(name, style, [value and value * factor for value in values])
            for name, style, values in zip(names, styles, of_runs, strict=True)
            if values
        ]
        picture = charts.line_chart(f"picture-{figure}", TITLES[figure], lines)
        if picture:
            drawn.append((TITLES[figure], picture))
    return drawn


def _curves(
    runs: Sequence[Records], names: Sequence[str], styles: Sequence[str]
) -> list[tuple[str, Markup]]:
    """(title, picture) of each run's mean ROC and precision-recall curve."""
    drawn = []
    for title, points, area, is_roc in (
        (
            "ROC: recall (up) by false positive rate (right), means of the classes",
            curves.roc,
            "roc_auc",
            True,
        ),
        (
            "Precision (up) by recall (right), means of the classes",
            curves.precision_recall,
            "pr_auc",
            False,
        ),
    ):
        lines = []
        for run, name, style in zip(runs, names, styles, strict=True):
            evaluation = run.files.get("evaluator") or {}
            if of_classes := evaluation.get("curves"):
                mean = curves.mean([points(curve) for curve in of_classes.values()])
                lines.append(plots.NamedLine(name, style, mean, evaluation.get(area)))
        if lines:
            drawn.append((title, plots.share_chart(f"picture-{area}", title, lines, is_roc)))
    return drawn
