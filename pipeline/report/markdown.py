"""report.md: the verdict and the reasons for it, in GitHub's Markdown."""

from typing import Any

from pipeline.report import model, units
from pipeline.report.text import code, markdown

# A comment that begins with this is ours, and is updated in place.
WATERMARK = "<!-- seqline-report -->"
SIGNS = {"good": "✅", "caution": "⚠️", "bad": "❌", "neutral": "⚪"}
NUM_PAIRS, NUM_WARNINGS, NUM_WRONG = 3, 5, 3
# GitHub allows 65,536 characters in a comment.
NUM_CHARS = 60_000


def render(report: dict[str, Any]) -> str:
    """Renders a report, see `pipeline.report.contents`.

    No text in it becomes markup, a link or a mention.
    """
    verdict = report["verdict"]
    name = f"{markdown(report['model'])}: " if report["model"] else ""
    lines = [WATERMARK, f"## {SIGNS[verdict['tone']]} {name}{markdown(verdict['headline'])}", ""]

    if verdict["error"]:
        lines += [f"**{markdown(verdict['error'], 1000)}**", ""]

    lines += [
        line
        for sentence in verdict["cautions"]
        for line in (f"⚠️ **{markdown(sentence, 500)}**", "")
    ]
    lines += [line for sentence in verdict["sentences"] for line in (markdown(sentence, 500), "")]

    for part in (
        _next_steps,
        _warnings,
        _compared,
        _refused,
        _slices,
        _confused,
        _wrong,
        _errors,
        _stages,
        _commands,
    ):
        lines += part(report)

    started = str(report["started"] or "")[:19].replace("T", " ")
    took = units.duration(report["seconds"])
    lines.append(
        f"Run {code(report['run'])}, {markdown(started)} UTC, took {took}. Everything else is in"
        " report.html."
    )
    return "\n".join(lines)[:NUM_CHARS] + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, aligned, *rows)] + [""]


def _compared(report: dict[str, Any]) -> list[str]:
    rows, better = [], model.better_baseline(report["compared"])
    for row in report["compared"]:
        accuracy = f"{units.share(row['accuracy'])}{' ⚠️' if row is better else ''}"
        name = (
            f"**{markdown(row['name'])}**" if row["role"] == "candidate" else markdown(row["name"])
        )
        rows.append(
            [
                name,
                accuracy,
                units.share_interval(row["accuracy_interval"]),
                units.share(row["macro_f1"]),
                units.nats(row["cross_entropy"]),
            ]
        )

    return _table(["", "test accuracy", "95%", "macro F1", "cross-entropy"], rows) if rows else []


def _refused(report: dict[str, Any]) -> list[str]:
    """The number of gates that passed, and each gate that refused."""
    gates = report["gates"]
    if not gates:
        return []

    passed = sum(gate["passed"] is True for gate in gates)
    judged = sum(gate["passed"] is not None for gate in gates)
    refused = [
        f"- ❌ {markdown(gate['name'])}: {markdown(gate['reason'], 400)}"
        for gate in gates
        if gate["passed"] is False
    ]

    return [
        f"{passed} of {judged} gates passed, {len(gates) - judged} were not judged.",
        "",
        *refused,
        *([""] if refused else []),
    ]


def _slices(report: dict[str, Any]) -> list[str]:
    judged = [row for row in report["slices"] if row["judged"]]
    if not judged:
        return []

    worst = min(judged, key=lambda row: row["accuracy"])
    against = (
        f", {units.points(-worst['served']['loss_of_accuracy'])} against the served version"
        if worst["served"]
        else ""
    )
    name = f"{markdown(worst['feature'])}\\={markdown(worst['value'], 60)}"

    return [
        (
            f"Worst slice: {name} with accuracy {units.share(worst['accuracy'])} on"
            f" {units.rows(worst['num_rows'])}{against}."
        ),
        "",
    ]


def _confused(report: dict[str, Any]) -> list[str]:
    pairs = (report["confusion"] or {}).get("pairs", [])[:NUM_PAIRS]
    told = [
        f"{markdown(pair['label'], 60)} for {markdown(pair['predicted'], 60)}"
        f" ({units.rows(pair['num_rows'])})"
        for pair in pairs
    ]
    return [f"Most often confused: {', '.join(told)}.", ""] if told else []


def _next_steps(report: dict[str, Any]) -> list[str]:
    """The next steps after a refusal. The gates are listed further down."""
    steps = report["next_steps"]
    if not steps:
        return []

    lines = [markdown(steps["beside"], 500), ""] if steps["beside"] else []
    if steps["helps"]:
        lines += [
            "What usually helps:",
            "",
            *(
                f"{number}. {markdown(sentence, 500)}"
                for number, sentence in enumerate(steps["helps"], start=1)
            ),
            "",
        ]

    if steps["saved_model"]:
        lines += [f"The model was exported, but not pushed: {code(steps['saved_model'], 1000)}", ""]

    return lines + ([f"Try it: {code(steps['ask'], 1000)}", ""] if steps["ask"] else [])


def _warnings(report: dict[str, Any]) -> list[str]:
    """Warnings about the data."""
    warnings = report["warnings"]
    if not warnings:
        return []
    items = [f"- ⚠️ {markdown(warning, 300)}" for warning in warnings[:NUM_WARNINGS]]
    if len(warnings) > NUM_WARNINGS:
        items.append(f"- and {len(warnings) - NUM_WARNINGS} more")

    return ["Warnings about the data:", "", *items, ""]


def _wrong(report: dict[str, Any]) -> list[str]:
    """Wrong rows without their texts: more people may see a comment than may see the data."""
    wrong = report["examples"]["confidently_wrong"][:NUM_WRONG]
    told = [
        f"- {markdown(model.place(row), 300)}: {markdown(row['label'], 60)}, predicted"
        f" {markdown(row['predicted'], 60)} ({units.share(row['probability'])})"
        for row in wrong
    ]
    return ["Most confidently wrong:", "", *told, ""] if told else []


def _errors(report: dict[str, Any]) -> list[str]:
    """The errors that the data gate found; its warnings are listed further up."""
    errors = [
        anomaly
        for anomaly in (report["data"] or {}).get("anomalies", [])
        if anomaly["severity"] == "error"
    ]

    told = [f"- ❌ {markdown(anomaly['line'], 300)}" for anomaly in errors[:5]]
    more = [f"- and {len(errors) - len(told)} more"] if len(errors) > len(told) else []
    return ["Errors in the data:", "", *told, *more, ""] if told else []


def _stages(report: dict[str, Any]) -> list[str]:
    missing = [
        stage["component"]
        for stage in report["stages"]
        if stage["state"] in ("not reached", "gone")
    ]
    made = [
        f"{markdown(stage['component'])} {units.duration(stage['seconds'])}"
        for stage in report["stages"]
        if stage["state"] == "made"
    ]

    lines = []
    if made:
        lines += [f"Ran: {', '.join(made)}.", ""]
    elif not missing:
        lines += ["No stage had to run.", ""]
    if missing:
        lines += [f"Not reached: {', '.join(map(markdown, missing))}.", ""]
    return lines


def _commands(report: dict[str, Any]) -> list[str]:
    commands = report["commands"]
    told = [
        (title, commands[name])
        for title, name in (("Run it again", "reproduce"), ("Roll back", "rollback"))
        if commands[name]
    ]
    return [line for title, command in told for line in (f"{title}: {code(command, 1000)}", "")]
