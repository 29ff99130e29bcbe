"""`seqline history`.

The runs under a root, a line each, and what was promoted or rolled back by hand in between.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from components.pusher import versions
from pipeline.cli.display import print_hanging
from pipeline.report import records, text, units, verdict
from pipeline.report.contents import duration
from pipeline.store.folder import Store
from seqline.errors import UserError
from seqline.host import owner

STYLES = {
    verdict.GOOD: "green",
    verdict.CAUTION: "yellow",
    verdict.BAD: "red",
    verdict.NEUTRAL: "yellow",
}
# Characters of a model's name, at most.
MOST_OF_A_NAME = 16


def history(store: Store, num: int | None = None, model: str | None = None) -> list[dict[str, Any]]:
    """The last `num` runs and events, oldest first.

    {when, kind: run | promote | rollback, model, run, verdict, tone, why, accuracy, gain, version,
    seconds}.

    model: only those of the model with this name. A run whose record is damaged is listed as such:
    one bad file hides no other.
    """
    names = records.names(store)
    found = [
        _run(store, name) for name in (names[-num:] if num and model is None else names)
    ] + events(store)
    if model is not None:
        found = [each for each in found if each["model"] == model]
    found.sort(key=lambda each: str(each["when"]))
    return found[-num:] if num else found


def events(store: Store) -> list[dict[str, Any]]:
    """What was done by hand where models were pushed to.

    Promotions and rollbacks, as each serving_dir tells of them.
    """
    pushed: dict[str, str] = {}
    for name in records.names(store):
        try:
            found = records.read(store, name, files=False)
        except Exception:  # listed as damaged among the runs
            continue
        if place := found.figures("pusher").get("serving_dir"):
            pushed[place] = found.record.name
    return [event for place, model in pushed.items() for event in _events(place, model)]


def _events(serving_dir: str, model: str) -> list[dict[str, Any]]:
    try:
        noted = [_event(each, model) for each in versions.history(serving_dir) if each.get("what")]
        known = {(each["kind"], each["version"]) for each in noted}
        return noted + [
            each
            for each in _rollbacks(serving_dir, model)
            if (each["kind"], each["version"]) not in known
        ]
    except (
        UserError,
        OSError,
    ):  # it was moved, or may not be read: the runs are there all the same
        return []


def _event(noted: dict[str, Any], model: str) -> dict[str, Any]:
    """noted: as in `components.pusher.versions.history`."""
    to = f" to version {noted['rollback_of']}" if noted.get("rollback_of") else ""
    instead = f" instead of {noted['instead_of']}" if noted.get("instead_of") else ""
    by = f" by {owner.name(noted['by'])}" if isinstance(noted.get("by"), dict) else ""
    told = {
        "when": noted.get("time"),
        "kind": noted["what"],
        "model": model,
        "run": None,
        "verdict": noted["what"],
        "tone": verdict.NEUTRAL,
    }
    return {
        **told,
        "why": f"by hand{to}{instead}{by}",
        "accuracy": None,
        "gain": None,
        "version": noted.get("version"),
        "seconds": None,
    }


def _rollbacks(serving_dir: str, model: str) -> list[dict[str, Any]]:
    """Those that were made before they were noted: a version that is still there says so itself."""
    place = versions.place_of(serving_dir)
    manifests = {
        version: versions.read_manifest(place, version) or {} for version in place.versions()
    }
    return [
        _event(
            {
                "what": "rollback",
                "time": each.get("pushed"),
                "version": version,
                "rollback_of": each["rollback_of"],
            },
            model,
        )
        for version, each in manifests.items()
        if each.get("rollback_of")
    ]


def _run(store: Store, name: str) -> dict[str, Any]:
    try:
        found = records.read(store, name, files=False)
    except Exception as error:
        told = {
            "when": None,
            "kind": "run",
            "model": "",
            "run": name,
            "verdict": "damaged",
            "tone": verdict.BAD,
            "why": str(error),
        }
        return {**told, "accuracy": None, "gain": None, "version": None, "seconds": None}
    ended, measured = verdict.name_of(found), found.figures("evaluator")
    served = measured.get("served")
    return {
        "when": found.record.started,
        "kind": "run",
        "model": found.record.name,
        "run": name,
        "verdict": ended,
        "tone": verdict.TONES.get(ended, verdict.NEUTRAL),
        "why": why(found),
        "accuracy": measured.get("accuracy"),
        "gain": -served["loss_of_accuracy"] + 0.0 if served else None,
        "version": found.figures("pusher").get("version") if ended == "pushed" else None,
        "seconds": duration(found.record),
    }


def why(found: records.Records) -> str:
    """What made it run, or what ended it, in a line."""
    if reason := (found.record.about.get("retrain") or {}).get("reason"):
        return str(reason)
    ended = verdict.verdict(found)
    if ended["tone"] == verdict.BAD and ended["error"]:
        return str(ended["error"])
    first = next((stage for stage in found.record.stages if not stage.cached), None)
    return f"{first.component}: {first.reason}" if first else "nothing had to run"


def show(out: Console, found: Sequence[dict[str, Any]]) -> None:
    """Two lines each.

    How it ended, and why. A run is called by the end of its name, which every command takes.
    """
    has_names = any(each["model"] for each in found)
    head = (
        "when (UTC)",
        "run",
        *(["model"] if has_names else []),
        "verdict",
        "accuracy",
        "served",
        "version",
        "took",
    )
    rows = [_cells(each, has_names) for each in found]
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    names = head.index("accuracy")  # as many columns of words; behind them are numbers
    out.print(Text(_columns(head, widths, names), "bold"), soft_wrap=True)
    for each, cells in zip(found, rows, strict=True):
        line = Text(_columns(cells, widths, names))
        start = sum(widths[: names - 1]) + 2 * (names - 1)
        line.stylize(STYLES[each["tone"]], start, start + widths[names - 1])
        out.print(line, soft_wrap=True)
        if each["why"]:
            print_hanging(out, Text("    "), Text(text.shorten(each["why"], 300), "dim"), 4)


def _cells(each: dict[str, Any], has_names: bool) -> tuple[str, ...]:
    accuracy = "" if each["accuracy"] is None else units.share(each["accuracy"])
    gain = "" if each["gain"] is None else units.points(each["gain"])
    took = "" if each["seconds"] is None else text.seconds(each["seconds"])
    when = text.clean(str(each["when"] or "")[:16].replace("T", " "))
    model = [text.shorten(each["model"], MOST_OF_A_NAME)] if has_names else []
    return (
        when,
        text.clean(each["run"] or "")[-4:],
        *model,
        text.clean(each["verdict"]),
        accuracy,
        gain,
        str(each["version"] or ""),
        took,
    )


def _columns(cells: Sequence[str], widths: Sequence[int], num_names: int) -> str:
    """Names to the left, numbers to the right."""
    return "  ".join(
        f"{cell:<{width}}" if place < num_names else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
