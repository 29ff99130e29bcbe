"""report.md: the verdict and what it rests on, in GitHub's Markdown."""

from typing import Any

from pipeline.report import model, units
from pipeline.report.text import code, markdown

# A comment that begins with it is ours, to be updated in place.
WATERMARK = "<!-- seqline-report -->"
SIGNS = {"good": "✅", "caution": "⚠️", "bad": "❌", "neutral": "⚪"}
NUM_PAIRS, NUM_WARNINGS, NUM_WRONG = 3, 5, 3
# GitHub takes 65,536 characters in a comment.
NUM_CHARS = 60_000


def render(report: dict[str, Any]) -> str:
    """report: see `pipeline.report.contents`. Nothing in it becomes markup, a link or a mention."""
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
    for each in report["compared"]:
        accuracy = f"{units.share(each['accuracy'])}{' ⚠️' if each is better else ''}"
        name = (
            f"**{markdown(each['name'])}**"
            if each["role"] == "candidate"
            else markdown(each["name"])
        )
        rows.append(
            [
                name,
                accuracy,
                units.share_interval(each["accuracy_interval"]),
                units.share(each["macro_f1"]),
                units.nats(each["cross_entropy"]),
            ]
        )
    return _table(["", "test accuracy", "95%", "macro F1", "cross-entropy"], rows) if rows else []


def _refused(report: dict[str, Any]) -> list[str]:
    """The gates: a line, and those that refused."""
    gates = report["gates"]
    if not gates:
        return []
    passed, judged = (
        sum(gate["passed"] is True for gate in gates),
        sum(gate["passed"] is not None for gate in gates),
    )
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
    judged = [each for each in report["slices"] if each["judged"]]
    if not judged:
        return []
    worst = min(judged, key=lambda each: each["accuracy"])
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
        f"{markdown(each['label'], 60)} for {markdown(each['predicted'], 60)}"
        f" ({units.rows(each['num_rows'])})"
        for each in pairs
    ]
    return [f"Most often taken: {', '.join(told)}.", ""] if told else []


def _next_steps(report: dict[str, Any]) -> list[str]:
    """What to do after a refusal. The gates themselves are listed further down."""
    steps = report["next_steps"]
    if not steps:
        return []
    lines = [markdown(steps["beside"], 500), ""] if steps["beside"] else []
    if steps["helps"]:
        lines += [
            "What usually helps:",
            "",
            *(
                f"{number}. {markdown(each, 500)}"
                for number, each in enumerate(steps["helps"], start=1)
            ),
            "",
        ]
    if steps["saved_model"]:
        lines += [f"The model was exported all the same: {code(steps['saved_model'], 1000)}", ""]
    return lines + ([f"Ask it: {code(steps['ask'], 1000)}", ""] if steps["ask"] else [])


def _warnings(report: dict[str, Any]) -> list[str]:
    """About the data."""
    told = [f"- ⚠️ {markdown(each, 300)}" for each in report["warnings"][:NUM_WARNINGS]]
    more = len(report["warnings"]) - len(told)
    return (
        ["Warnings about the data:", "", *told, *([f"- and {more} more"] if more else []), ""]
        if told
        else []
    )


def _wrong(report: dict[str, Any]) -> list[str]:
    """Wrong rows by their places.

    Their texts are left out, as a comment may be seen by more people than the data.
    """
    wrong = report["examples"]["confidently_wrong"][:NUM_WRONG]
    told = [
        f"- {markdown(model.place(each), 300)}: {markdown(each['label'], 60)}, answered"
        f" {markdown(each['predicted'], 60)} ({units.share(each['probability'])})"
        for each in wrong
    ]
    return ["Most confidently wrong:", "", *told, ""] if told else []


def _errors(report: dict[str, Any]) -> list[str]:
    """The data gate's errors; its warnings are told above."""
    found = [
        each for each in (report["data"] or {}).get("anomalies", []) if each["severity"] == "error"
    ]
    told = [f"- ❌ {markdown(each['line'], 300)}" for each in found[:5]]
    more = [f"- and {len(found) - len(told)} more"] if len(found) > len(told) else []
    return ["Errors of the data:", "", *told, *more, ""] if told else []


def _stages(report: dict[str, Any]) -> list[str]:
    missing = [
        each["component"] for each in report["stages"] if each["state"] in ("not reached", "gone")
    ]
    made = [
        f"{markdown(each['component'])} {units.duration(each['seconds'])}"
        for each in report["stages"]
        if each["state"] == "made"
    ]
    lines = (
        [f"Ran: {', '.join(made)}.", ""]
        if made
        else ["No stage had to run.", ""]
        if not missing
        else []
    )
    return lines + ([f"Not reached: {', '.join(map(markdown, missing))}.", ""] if missing else [])


def _commands(report: dict[str, Any]) -> list[str]:
    commands = report["commands"]
    told = [
        (what, commands[name])
        for what, name in (("Run it again", "reproduce"), ("Roll back", "rollback"))
        if commands[name]
    ]
    return [line for what, command in told for line in (f"{what}: {code(command, 1000)}", "")]
