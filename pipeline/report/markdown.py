"""report.md: the verdict and what it rests on, in GitHub's Markdown."""

from typing import Any

from pipeline.report.text import code, markdown, number, seconds, signed

# A comment that begins with it is ours, to be updated in place.
WATERMARK = "<!-- seqline-report -->"
SIGNS = {"good": "✅", "bad": "❌", "neutral": "⚪"}
NUM_PAIRS = 3
# GitHub takes 65,536 characters in a comment.
NUM_CHARS = 60_000


def render(report: dict[str, Any]) -> str:
    """report: see `pipeline.report.contents`. Nothing in it becomes markup, a link or a mention."""
    verdict = report["verdict"]
    lines = [WATERMARK, f"## {SIGNS[verdict['tone']]} {markdown(verdict['headline'])}", ""]
    if verdict["error"]:
        lines += [f"**{markdown(verdict['error'], 1000)}**", ""]
    lines += [line for sentence in verdict["sentences"] for line in (markdown(sentence, 500), "")]
    for part in (_compared, _refused, _slices, _confused, _anomalies, _stages, _commands):
        lines += part(report)
    started = str(report["started"] or "")[:19].replace("T", " ")
    lines.append(
        f"Run {code(report['run'])}, {markdown(started)} UTC, took {seconds(report['seconds'])}. Everything else is in report.html."
    )
    return "\n".join(lines)[:NUM_CHARS] + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, aligned, *rows)] + [""]


def _compared(report: dict[str, Any]) -> list[str]:
    rows = []
    for each in report["compared"]:
        low, high = each["accuracy_interval"] or (None, None)
        name = f"**{markdown(each['name'])}**" if each["role"] == "candidate" else markdown(each["name"])
        rows.append(
            [name, number(each["accuracy"]), f"{number(low)} to {number(high)}", number(each["macro_f1"]), number(each["cross_entropy"])]
        )
    return _table(["", "test accuracy", "95 %", "macro F1", "cross-entropy"], rows) if rows else []


def _refused(report: dict[str, Any]) -> list[str]:
    """The gates: a line, and those that refused."""
    gates = report["gates"]
    if not gates:
        return []
    passed, judged = sum(gate["passed"] is True for gate in gates), sum(gate["passed"] is not None for gate in gates)
    refused = [f"- ❌ {markdown(gate['name'])}: {markdown(gate['reason'], 400)}" for gate in gates if gate["passed"] is False]
    return [f"{passed} of {judged} gates passed, {len(gates) - judged} were not judged.", "", *refused, *([""] if refused else [])]


def _slices(report: dict[str, Any]) -> list[str]:
    judged = [each for each in report["slices"] if each["judged"]]
    if not judged:
        return []
    worst = min(judged, key=lambda each: each["accuracy"])
    against = f", {signed(-worst['served']['loss_of_accuracy'])} against the served version" if worst["served"] else ""
    name = f"{markdown(worst['feature'])}\\={markdown(worst['value'], 60)}"
    return [f"Worst slice: {name} with accuracy {number(worst['accuracy'])} on {number(worst['num_rows'])} rows{against}.", ""]


def _confused(report: dict[str, Any]) -> list[str]:
    pairs = (report["confusion"] or {}).get("pairs", [])[:NUM_PAIRS]
    told = [f"{markdown(each['label'], 60)} for {markdown(each['predicted'], 60)} ({number(each['num_rows'])})" for each in pairs]
    return [f"Most often taken: {', '.join(told)}.", ""] if told else []


def _anomalies(report: dict[str, Any]) -> list[str]:
    found = (report["data"] or {}).get("anomalies", [])
    told = [f"- {markdown(each['severity'])}: {markdown(each['line'], 300)}" for each in found[:5]]
    more = [f"- and {len(found) - len(told)} more"] if len(found) > len(told) else []
    return ["Anomalies of the data:", "", *told, *more, ""] if told else []


def _stages(report: dict[str, Any]) -> list[str]:
    missing = [each["component"] for each in report["stages"] if each["state"] in ("not reached", "gone")]
    made = [f"{markdown(each['component'])} {seconds(each['seconds'])}" for each in report["stages"] if each["state"] == "made"]
    lines = [f"Ran: {', '.join(made)}.", ""] if made else ["No stage had to run.", ""] if not missing else []
    return lines + ([f"Not reached: {', '.join(map(markdown, missing))}.", ""] if missing else [])


def _commands(report: dict[str, Any]) -> list[str]:
    commands = report["commands"]
    told = [(what, commands[name]) for what, name in (("Run it again", "reproduce"), ("Roll back", "rollback")) if commands[name]]
    return [line for what, command in told for line in (f"{what}: {code(command, 1000)}", "")]
