"""How a run ended, in a word and in sentences, and the gates that decided it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.report import advice, model, units
from pipeline.report.records import Records
from pipeline.store.records import FINISHED, RUNNING, STOPPED
from seqline.gates import Gate

# caution: it went well, but for something that a person should know before relying on it.
GOOD, CAUTION, BAD, NEUTRAL = "good", "caution", "bad", "neutral"
TONES = {
    "pushed": GOOD,
    "nothing new": GOOD,
    "finished": NEUTRAL,
    "not pushed": NEUTRAL,
    "data rejected": BAD,
    "refused": BAD,
    "failed": BAD,
    "busy": NEUTRAL,
    "interrupted": NEUTRAL,
    "running": NEUTRAL,
}
HEADLINES = {
    "nothing new": "Nothing new",
    "finished": "Finished, nothing to push",
    "not pushed": "Not pushed",
    "data rejected": "Data rejected",
    "refused": "Refused, not pushed",
    "failed": "Failed",
    "busy": "Busy: another run was at it",
    "interrupted": "Interrupted: the same command goes on",
    "running": "Running, or killed: no end was recorded",
}
# What an evaluation's gates cannot say is asked of the server's figures: figure -> (its limit, what
# it is called, unit).
LIMITS = {
    "difference": ("max_difference", "the server's log-odds differ from the evaluator's by", ""),
    "p50_seconds": ("max_p50_seconds", "median latency", " s"),
    "p99_seconds": ("max_p99_seconds", "99th percentile of the latency", " s"),
    "rss_mb": ("max_rss_mb", "peak memory", " MB"),
    "load_seconds": ("max_load_seconds", "time to load", " s"),
}


def name_of(records: Records) -> str:
    """The verdict of `seqline retrain` where there is one.

    Otherwise what follows from the record, in the same words.
    """
    record = records.record
    if "retrain" in record.about:
        return str(record.about["retrain"]["verdict"])
    if record.verdict != FINISHED:
        kind = (record.error or "").partition(":")[0]
        refused = {
            "NotBlessedError": "refused",
            "OtherModelError": "refused",
            "DataError": "data rejected",
        }
        return {STOPPED: "interrupted", RUNNING: "running"}.get(
            record.verdict, refused.get(kind, "failed")
        )
    pushed = records.figures("pusher")
    if not pushed:
        return "finished"
    if pushed["pushed"] and not records.is_cached("pusher"):
        return "pushed"
    return "not pushed" if pushed.get("rolled_back") else "nothing new"


def verdict(records: Records) -> dict[str, Any]:
    """{name, tone.

    Good | caution | bad | neutral, headline, cautions, sentences, error: one line or None, trace:
    all of it or None, ...}.

    cautions: what makes a good verdict a cautious one, a sentence each.
    """
    name, retrain = name_of(records), records.record.about.get("retrain") or {}
    pushed = retrain.get("pushed") or records.figures("pusher")
    headline = (
        f"Pushed as version {pushed['version']}"
        if name == "pushed" and pushed
        else HEADLINES.get(name, name)
    )
    whole = records.record.error
    lines = [line for line in str(whole or "").splitlines() if line.strip()]
    is_trace = len(lines) > 1
    error = (
        lines[-1].strip()
        if is_trace
        else lines[0].partition(": ")[2] or lines[0]
        if lines
        else None
    )
    reason = retrain.get("reason")
    sentences = [
        *([reason] if reason and reason != error else []),
        *_sentences(records, name, pushed or {}),
    ]
    tone, told = TONES.get(name, NEUTRAL), cautions(records)
    return {
        "name": name,
        "tone": CAUTION if told and tone != BAD else tone,
        "headline": headline,
        "cautions": told,
        "sentences": sentences,
        "error": error,
        "trace": whole if is_trace else None,
        "exit_code": retrain.get("exit_code"),
        "bootstrap": retrain.get("bootstrap"),
        "start": retrain.get("start"),
        "changed": retrain.get("changed") or [],
    }


def cautions(records: Records) -> list[str]:
    """Whether something simpler than the model is better than it."""
    measured = records.files.get("evaluator") or {}
    if "accuracy" not in measured:
        return []
    better = advice.linear_is_better(
        measured["accuracy"], measured.get("baselines", {}), measured.get("accuracy_interval")
    )
    return [better] if better else []


def _sentences(records: Records, name: str, pushed: dict[str, Any]) -> Iterator[str]:
    measured = records.files.get("evaluator") or {}
    served = measured.get("served")
    served_version = (records.figures("evaluator").get("served") or {}).get("version")
    if name == "nothing new" and pushed:
        yield (
            f"Version {pushed['version']} in {pushed.get('serving_dir') or pushed.get('uri')} has"
            " this model already."
        )
    if name == "not pushed" and pushed:
        yield f"Version {pushed['version']} is a rollback from this very model, and stays."
    if name in ("refused", "data rejected", "failed") and served_version is not None:
        yield f"What was served before, version {served_version}, is still served."
    stages = records.record.stages
    if name in ("failed", "interrupted", "running"):
        yield (
            f"The last stage that was finished is {stages[-1].component}."
            if stages
            else "No stage was finished."
        )
    if "accuracy" in measured:
        accuracy, interval = (
            units.share(measured["accuracy"]),
            units.share_interval(measured["accuracy_interval"]),
        )
        yield f"Test accuracy {accuracy} ({interval}) on {units.rows(measured['num_rows'])}."
    if other := measured.get("not_compared"):
        yield f"Another model is served: {other['why']}."
    if served:
        gain, of_gain = model.gain(served)
        version = "version" if served_version is None else f"version {served_version}"
        yield (
            f"Against the served {version} on the same rows: {units.points(gain)}"
            f" ({units.points_interval(of_gain)}), {served['num_gained']:,} rows gained,"
            f" {served['num_lost']:,} lost."
        )


def gates(records: Records) -> list[dict[str, Any]]:
    """In order.

    {stage, name, value, threshold, passed: true, false, or null where there is nothing to judge,
    reason}.
    """
    if found := (records.record.about.get("retrain") or {}).get("gates"):
        return [{"stage": "", **gate} for gate in found]
    judged: list[dict[str, Any]] = []
    for stage in records.executions:  # as they ended
        told = records.figures(stage).get("gates")
        judged += (
            [{"stage": stage, **gate} for gate in told]
            if told is not None
            else _UNTOLD.get(stage, lambda records: [])(records)
        )
    return judged


def _record(stage: str, gate: Gate) -> dict[str, Any]:
    return {"stage": stage, **gate.to_json()}


def _of_data(records: Records) -> Iterator[dict[str, Any]]:
    found = records.figures("example_validator")
    if found:
        errors, warnings = found["num_errors"], found["num_warnings"]
        counts = ", ".join(
            f"{count} {what}{'' if count == 1 else 's'}"
            for count, what in ((errors, "error"), (warnings, "warning"))
        )
        reason = f"{counts}: {', '.join(found['kinds'])}" if found["kinds"] else "no anomaly"
        yield _record("example_validator", Gate("anomalies", errors, 0, not errors, reason))


def _of_export(records: Records) -> Iterator[dict[str, Any]]:
    found, tolerance = (
        records.figures("exporter").get("difference"),
        records.figures("exporter").get("tolerance"),
    )
    if (
        found is not None
        and records.figures("exporter").get("table_dtype", "float32") == "float32"
        and tolerance is not None
    ):
        reason = (
            f"the export's log-odds differ from the trained network's by {found:.2g}, tolerance"
            f" {tolerance:g}"
        )
        yield _record("exporter", Gate("parity", found, tolerance, found <= tolerance, reason))


def _of_server(records: Records) -> Iterator[dict[str, Any]]:
    stage, found, params = (
        "infra_validator",
        records.figures("infra_validator"),
        records.params("infra_validator"),
    )
    if not found:
        return
    if not found.get("asked"):
        refused = bool(found["refusals"])
        reason = "; ".join(found["refusals"]) if refused else "no server was asked"
        yield _record(stage, Gate.not_judged("server", reason))
        return
    for figure, (field, what, unit) in LIMITS.items():
        value, limit = found.get(figure), params.get(field)
        if figure == "difference" and limit is None:
            limit = found.get("tolerance")
        if value is None:
            continue
        shown = f"{what} {value:.3g}{unit}"
        reason = (
            f"{shown}, {field} is not set" if limit is None else f"{shown}, {field} {limit:g}{unit}"
        )
        passed = None if limit is None else value <= limit
        yield _record(stage, Gate(figure, value, limit, passed, reason))
    if found["refusals"]:
        reason = "; ".join(found["refusals"])
        yield _record(stage, Gate("server", None, None, False, reason))
    else:
        asked = (
            f"{found.get('num_rows', 0)} rows and {found.get('num_warmup', 0)} warm-up requests"
            " answered"
        )
        yield _record(stage, Gate("server", None, None, True, asked))


# Of stages whose figures tell no gates of their own.
_UNTOLD: dict[str, Callable[[Records], Iterable[dict[str, Any]]]] = {
    "example_validator": _of_data,
    "exporter": _of_export,
    "infra_validator": _of_server,
}
