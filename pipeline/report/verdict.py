"""How a run ended, in a word and in sentences, and the gates that decided it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.report import advice, model, units
from pipeline.report.records import Records
from pipeline.store.records import FINISHED, RUNNING, STOPPED, RunRecord
from seqline.gates import Gate

# caution: the run went well, but a person should know something before relying on the model.
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
    "busy": "Busy: another run was in progress",
    "interrupted": "Interrupted: run the same command to continue",
    "running": "Running, or killed: no end was recorded",
}


def name_of(records: Records) -> str:
    """The verdict of `seqline retrain`, or the one that a run's record amounts to."""
    record = records.record
    if "retrain" in record.about:
        return str(record.about["retrain"]["verdict"])
    if record.verdict != FINISHED:
        return _of_unfinished(record)

    pushed = records.figures("pusher")
    if not pushed:
        return "finished"
    if pushed["pushed"] and not records.is_cached("pusher"):
        return "pushed"
    return "not pushed" if pushed.get("rolled_back") else "nothing new"


def _of_unfinished(record: RunRecord) -> str:
    verdicts = {STOPPED: "interrupted", RUNNING: "running"}
    errors = {
        "NotBlessedError": "refused",
        "OtherModelError": "refused",
        "DataError": "data rejected",
    }
    kind = (record.error or "").partition(":")[0]
    return verdicts.get(record.verdict) or errors.get(kind, "failed")


def verdict(records: Records) -> dict[str, Any]:
    """How the run ended, as the head of a report shows it.

    Returns:
        {name, tone, headline, cautions, sentences, error, trace, exit_code, bootstrap, start,
        changed}. cautions: sentences, each of which makes a good verdict a cautious one. error: one
        line, or None. trace: the whole error if it has more lines, or None.
    """
    name, retrain = name_of(records), records.record.about.get("retrain") or {}
    pushed = retrain.get("pushed") or records.figures("pusher") or {}
    headline = HEADLINES.get(name, name)
    if name == "pushed" and pushed:
        headline = f"Pushed as version {pushed['version']}"

    error, trace = _error(records)
    sentences = list(_sentences(records, name, pushed))
    if (reason := retrain.get("reason")) and reason != error:
        sentences.insert(0, reason)

    tone, warned = TONES.get(name, NEUTRAL), cautions(records)
    return {
        "name": name,
        "tone": CAUTION if warned and tone != BAD else tone,
        "headline": headline,
        "cautions": warned,
        "sentences": sentences,
        "error": error,
        "trace": trace,
        "exit_code": retrain.get("exit_code"),
        "bootstrap": retrain.get("bootstrap"),
        "start": retrain.get("start"),
        "changed": retrain.get("changed") or [],
    }


def _error(records: Records) -> tuple[str | None, str | None]:
    """(the error in one line, all of it if it has more lines)."""
    error = records.record.error
    lines = [line for line in str(error or "").splitlines() if line.strip()]
    if not lines:
        return None, None

    if len(lines) > 1:  # a traceback: its last line says what is wrong
        return lines[-1].strip(), error
    return lines[0].partition(": ")[2] or lines[0], None


def cautions(records: Records) -> list[str]:
    """Sentences if a gate refused what was not to be pushed, or something simpler is better."""
    is_no_push = records.record.verdict == FINISHED and "pusher" not in records.executions
    judged = {stage: records.figures(stage) for stage in records.executions if is_no_push}
    sentences = [not_blessed(judged), advice.linear_is_better(records.files.get("evaluator") or {})]
    return [sentence for sentence in sentences if sentence]


def not_blessed(of_stages: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A sentence if a gate refused the model. A run that ends before pusher does not fail by it.

    Args:
        of_stages: Stage -> its figures.
    """
    reasons = [
        reason
        for stage in ("evaluator", "infra_validator")
        for reason in of_stages.get(stage, {}).get("refusals") or ()
    ]
    if not reasons:
        return None
    return f"The model is not blessed, so pusher would refuse it: {'; '.join(reasons)}."


def _sentences(records: Records, name: str, pushed: dict[str, Any]) -> Iterator[str]:
    evaluation = records.files.get("evaluator") or {}
    served = evaluation.get("served")
    served_version = (records.figures("evaluator").get("served") or {}).get("version")

    if name == "nothing new" and pushed:
        place = pushed.get("serving_dir") or pushed.get("uri")
        yield f"Version {pushed['version']} in {place} already has this model."
    if name == "not pushed" and pushed:
        yield f"Version {pushed['version']} is a rollback from this very model, and stays."
    if name in ("refused", "data rejected", "failed") and served_version is not None:
        yield f"Version {served_version}, which was served before, is still served."
    if name in ("failed", "interrupted", "running"):
        stages = records.record.stages
        yield (
            f"The last stage that finished is {stages[-1].component}."
            if stages
            else "No stage finished."
        )

    if "accuracy" in evaluation:
        accuracy = units.share(evaluation["accuracy"])
        interval = units.share_interval(evaluation["accuracy_interval"])
        yield f"Test accuracy {accuracy} ({interval}) on {units.rows(evaluation['num_rows'])}."
    if other := evaluation.get("not_compared"):
        yield f"Another model is served: {other['why']}."
    if served:
        gain, gain_interval = model.gain(served)
        version = "version" if served_version is None else f"version {served_version}"
        yield (
            f"Against the served {version} on the same rows: {units.points(gain)}"
            f" ({units.points_interval(gain_interval)}), {served['num_gained']:,} rows gained,"
            f" {served['num_lost']:,} lost."
        )


def gates(records: Records) -> list[dict[str, Any]]:
    """The gates in order, from the record of a retraining or else from the stages' figures.

    Returns:
        [{stage, name, value, threshold, passed, reason}]; passed is None where there was nothing to
        judge.
    """
    if recorded := (records.record.about.get("retrain") or {}).get("gates"):
        return [{"stage": "", **gate} for gate in recorded]

    judged: list[dict[str, Any]] = []
    for stage in records.executions:  # in the order in which they ended
        figures = records.figures(stage)
        if "gates" in figures:
            judged += [{"stage": stage, **gate} for gate in figures["gates"]]
        elif stage == "example_validator" and figures:
            judged.append(_of_data(figures))
        elif stage == "exporter" and "tolerance" in figures:
            judged += _of_export(figures)
    return judged


def _of_data(figures: dict[str, Any]) -> dict[str, Any]:
    """The gate of the data, from the figures of example_validator."""
    errors, warnings = figures["num_errors"], figures["num_warnings"]
    reason = "no anomaly"
    if figures["kinds"]:
        counts = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"
        reason = f"{counts}: {', '.join(figures['kinds'])}"

    gate = Gate("anomalies", errors, 0, not errors, reason)
    return {"stage": "example_validator", **gate.to_json()}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _of_export(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The gate of parity; none for tables that are compared by probabilities."""
    difference, tolerance = figures.get("difference"), figures["tolerance"]
    of_log_odds = figures.get("table_dtype", "float32") in ("float32", "int16")
    if difference is None or tolerance is None or not of_log_odds:
        return []

    reason = (
        f"the export's log-odds differ from the trained network's by {difference:.2g}, tolerance"
        f" {tolerance:g}"
    )
    gate = Gate("parity", difference, tolerance, difference <= tolerance, reason)
    return [{"stage": "exporter", **gate.to_json()}]
