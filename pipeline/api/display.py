"""A run and a plan as HTML, for notebooks: a fragment without scripts, whose style is its own.

Text has the notebook's colour, in light and dark themes; lines and shades are made of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from pipeline.report import charts, html, units
from pipeline.report.text import clean, shorten
from pipeline.runner.plan import Planned

# Classes of the confusion matrix that a notebook shows; of more, those with the most errors.
NUM_CLASSES = 24
NUM_WARNINGS = 5
SIGNS = {"good": "#1a7f43", "caution": "#b06a00", "bad": "#c62f24", "neutral": "#7b8794"}
# Of cells of the confusion matrix.
RIGHT, WRONG = "59 130 224", "224 129 47"
STYLE = Markup(
    """<style>
.seqline{font:14px/1.5 system-ui,sans-serif;max-width:860px}
.seqline h4{font-size:18px;margin:0 0 2px}.seqline p{margin:4px 0}
.seqline table{border-collapse:collapse;margin:8px 0;color:inherit;font:inherit}
.seqline th,.seqline td{text-align:left;padding:3px 14px 3px 0;background:none;vertical-align:top}
.seqline thead th{font-weight:600;opacity:.7;border-bottom:1px solid}
.seqline td:nth-child(2){white-space:nowrap;font-variant-numeric:tabular-nums}
.seqline .matrix td{text-align:right;padding:4px 10px;min-width:3em}
.seqline .matrix th{padding:4px 10px;font-weight:600}
.seqline .soft{opacity:.7}.seqline .pictures{display:flex;flex-wrap:wrap;gap:8px 24px}
.seqline figure{margin:8px 0}.seqline figcaption{font-weight:600}
.seqline .key i{display:inline-block;width:16px;height:3px;margin:0 5px 3px 12px}
.seqline svg{max-width:100%;height:auto}
.seqline svg text{font-size:12px;fill:currentColor}
.seqline svg .end{text-anchor:end}.seqline svg .middle{text-anchor:middle}
.seqline svg .grid{stroke:currentColor;opacity:.15}
.seqline svg .best{stroke:currentColor;opacity:.5;stroke-dasharray:3 3}
.seqline svg .frame{fill:none;stroke:currentColor;opacity:.3}
.seqline svg .line{fill:none;stroke-width:2}
.seqline svg .s1.line{stroke:#3b82e0}.seqline svg .s2.line{stroke:#e0812f}
.seqline svg .s1.dot{fill:#3b82e0}.seqline svg .s2.dot{fill:#e0812f}
.seqline svg .right{fill:#3b82e0}.seqline svg .wrong{fill:#e0812f}
"""
    + "".join(f".seqline svg .h{step}{{opacity:{step / 10:g}}}" for step in range(11))
    + "\n</style>"
)


def run_html(report: dict[str, Any]) -> str:
    """A run: its verdict, figures, learning curves and confusion matrix.

    Args:
        report: See `pipeline.report.contents`.
    """
    pictures = [*_curves(report), *_confusion(report)]
    parts = [STYLE, _head(report), _figures(report["compared"]), _warnings(report["warnings"])]
    if pictures:
        parts.append(Markup('<div class="pictures">{}</div>').format(Markup("").join(pictures)))
    parts.append(_stages(report["stages"]))
    return _whole(parts)


def plan_html(stages: Sequence[Planned], settings: Mapping[str, str]) -> str:
    """A plan: a line for each stage, and the settings that the data decide."""
    rows = [
        (stage.stage.name, "runs" if stage.runs else "cached", stage.reason) for stage in stages
    ]
    parts = [STYLE, _table(("stage", "", "why"), rows)]
    if settings:
        parts.append(_table(("setting", "from the data"), list(settings.items())))
    return _whole(parts)


def _whole(parts: Sequence[Markup]) -> str:
    page = Markup('<div class="seqline">{}</div>').format(Markup("").join(parts))
    return str(page).encode("utf-8", "replace").decode()  # a text may hold half a surrogate pair


def _head(report: dict[str, Any]) -> Markup:
    verdict = report["verdict"]
    colour = SIGNS[verdict["tone"]]
    name = f"run {report['run']}" + (f" of {report['model']}" if report["model"] else "")
    told = [*verdict["sentences"], *verdict["cautions"]]
    if verdict["error"]:
        told.append(verdict["error"])
    head = Markup('<p class="soft">{}</p><h4 style="color:{}">{}</h4>{}')
    sentences = Markup("").join(Markup("<p>{}</p>").format(clean(line)) for line in told)
    return head.format(clean(name), colour, clean(verdict["headline"]), sentences)


def _figures(compared: Sequence[dict[str, Any]]) -> Markup:
    """The model beside the served one and the baselines."""
    rows = [
        (
            row["name"],
            units.share(row["accuracy"]),
            units.share_interval(row["accuracy_interval"]),
            units.share(row["macro_f1"]),
        )
        for row in compared
    ]
    return _table(("on test", "accuracy", "95 %", "macro F1"), rows) if rows else Markup("")


def _warnings(warnings: Sequence[str]) -> Markup:
    lines = [clean(warning) for warning in warnings[:NUM_WARNINGS]]
    if len(warnings) > len(lines):
        lines.append(f"and {len(warnings) - len(lines)} more: see the report")
    return Markup("").join(Markup("<p>⚠ {}</p>").format(line) for line in lines)


def _curves(report: dict[str, Any]) -> list[Markup]:
    """Loss and accuracy by epoch, each on train and eval."""
    training = report["training"] or {}
    history = training.get("history") or {}
    pictures = []
    for figure, title in (("loss", "Loss by epoch"), ("accuracy", "Accuracy by epoch")):
        lines = [
            charts.Line("train", "s2", history.get(figure, [])),
            charts.Line("eval", "s1", history.get(f"val_{figure}", [])),
        ]
        # An id of its own: a notebook shows many runs in one page.
        name = f"seqline-{figure}-{report['run']}"
        if picture := charts.line_chart(name, title, lines, training.get("best_epoch")):
            pictures.append(_figure(Markup("{}{}").format(title, KEY), picture))
    return pictures


KEY = Markup(
    '<span class="key"><i style="background:#e0812f"></i>train'
    '<i style="background:#3b82e0"></i>eval</span>'
)


def _confusion(report: dict[str, Any]) -> list[Markup]:
    """The confusion matrix: numbers of few classes, a picture of more."""
    confusion = report["confusion"]
    if not confusion or not confusion["matrix"]:
        return []

    labels, matrix = confusion["labels"], confusion["matrix"]
    caption = Markup("Confusion: true class by row, predicted by column")
    if len(labels) <= html.NUM_TABLE_CLASSES:
        return [_figure(caption, _matrix(labels, matrix))]
    if len(labels) > NUM_CLASSES:
        labels, matrix = html.worst(labels, matrix, NUM_CLASSES)
    name = f"seqline-confusion-{report['run']}"
    return [_figure(caption, charts.heatmap(name, "Confusion matrix", labels, matrix))]


def _matrix(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """A table of numbers of rows, each shaded by its share of the true class."""
    cell = Markup('<td style="background:rgb({} / {:.0%})">{:,}</td>')
    lines = []
    for row, (label, counts) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(counts) or 1
        cells = [
            cell.format(RIGHT if row == column else WRONG, 0.6 * count / total, count)
            for column, count in enumerate(counts)
        ]
        head = Markup("<th>{}</th>").format(clean(shorten(label, 40)))
        lines.append(Markup("<tr>{}{}</tr>").format(head, Markup("").join(cells)))

    names = [Markup("<th>{}</th>").format(clean(shorten(label, 40))) for label in labels]
    table = Markup('<table class="matrix"><thead><tr><th></th>{}</tr></thead>{}</table>')
    return table.format(Markup("").join(names), Markup("").join(lines))


def _figure(caption: Markup, picture: Markup) -> Markup:
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(caption, picture)


def _stages(stages: Sequence[dict[str, Any]]) -> Markup:
    rows = [
        (
            stage["component"],
            units.duration(stage["seconds"]) if stage["state"] == "made" else stage["state"],
            shorten(stage["line"], 300),
        )
        for stage in stages
        if stage["state"] != "not reached"
    ]
    if not rows:
        return Markup("")
    table = _table(("stage", "took", ""), rows)
    return Markup("<details><summary>{} stages</summary>{}</details>").format(len(rows), table)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in names)
    body = [
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(escape(clean(cell))) for cell in row)
        )
        for row in rows
    ]
    table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>")
    return table.format(head, Markup("").join(body))
