"""The runs under a root, and the promotions and rollbacks by hand between them."""

import logging
from typing import Any

from components.pusher import versions
from pipeline.report import records, verdict
from pipeline.report.contents import seconds_of
from pipeline.store.folder import Store
from pipeline.store.records import RUNNING, RunRecord
from seqline.errors import UserError
from seqline.host import owner

log = logging.getLogger("seqline.report")


def history(store: Store, num: int | None = None, model: str | None = None) -> list[dict[str, Any]]:
    """The last runs and events, oldest first.

    A run whose record is damaged is listed as such: one bad file does not hide the others.

    Args:
        store: where the runs are.
        num: how many to list; None for all.
        model: the name of a model, to list only its runs; None for all.

    Returns:
        [{when, kind, model, run, verdict, tone, why, accuracy, gain, version, seconds, damaged}];
        kind is run, promote or rollback. damaged: a sentence about each record of the run's
        artifacts that is damaged, and was passed over.
    """
    names = records.names(store)
    if num and model is None:
        names = names[-num:]

    entries = [_run(store, name) for name in names] + events(store)
    if model is not None:
        entries = [entry for entry in entries if entry["model"] == model]

    entries.sort(key=lambda entry: str(entry["when"]))
    return entries[-num:] if num else entries


def events(store: Store) -> list[dict[str, Any]]:
    """The promotions and rollbacks in each serving_dir that a run has pushed to."""
    models: dict[str, str] = {}  # serving_dir -> model
    for name in records.names(store):
        try:
            run = records.read(store, name, files=False)
        except UserError:  # listed as damaged among the runs
            continue
        if serving_dir := run.figures("pusher").get("serving_dir"):
            models[serving_dir] = run.record.name
    return [event for place, model in models.items() for event in _events(place, model)]


def _events(serving_dir: str, model: str) -> list[dict[str, Any]]:
    try:
        noted = [_event(note, model) for note in versions.history(serving_dir)]
        known = {(event["kind"], event["version"]) for event in noted}
        rollbacks = _rollbacks(serving_dir, model)
        return noted + [
            event for event in rollbacks if (event["kind"], event["version"]) not in known
        ]
    except (UserError, OSError):  # it was moved or cannot be read: the runs are listed all the same
        return []


def _event(note: versions.Event, model: str) -> dict[str, Any]:
    to = f" to version {note.rollback_of}" if note.rollback_of else ""
    instead = f" instead of {note.instead_of}" if note.instead_of else ""
    by = ""
    if note.by:
        by = f" by {owner.name({**note.by, 'since': None})}"  # the entry has the time already

    return {
        "when": note.time,
        "kind": note.what,
        "model": model,
        "run": None,
        "verdict": note.what,
        "tone": verdict.NEUTRAL,
        "why": f"by hand{to}{instead}{by}",
        "accuracy": None,
        "gain": None,
        "version": note.version,
        "seconds": None,
        "damaged": [],
    }


def _rollbacks(serving_dir: str, model: str) -> list[dict[str, Any]]:
    """Rollbacks that are older than the notes, read off the versions that still exist."""
    place = versions.place_of(serving_dir)
    rollbacks = []

    for version in place.versions():
        try:
            manifest = versions.read_manifest(place, version)
        except UserError as error:
            log.warning("%s", error)
            continue

        if manifest and manifest.rollback_of:
            note = versions.Event(
                time=manifest.pushed or "",
                what="rollback",
                version=version,
                rollback_of=manifest.rollback_of,
            )
            rollbacks.append(_event(note, model))
    return rollbacks


def _run(store: Store, name: str) -> dict[str, Any]:
    try:
        run = records.read(store, name, files=False)
    except UserError as error:
        return {
            "when": None,
            "kind": "run",
            "model": "",
            "run": name,
            "verdict": "damaged",
            "tone": verdict.BAD,
            "why": str(error),
            "accuracy": None,
            "gain": None,
            "version": None,
            "seconds": None,
            "damaged": [],
        }

    ended, evaluation = verdict.name_of(run), run.figures("evaluator")
    served = evaluation.get("served")

    return {
        "when": run.record.started,
        "kind": "run",
        "model": run.record.name,
        "run": name,
        "verdict": ended,
        "tone": verdict.TONES.get(ended, verdict.NEUTRAL),
        "why": why(run),
        "accuracy": evaluation.get("accuracy"),
        "gain": -served["loss_of_accuracy"] + 0.0 if served else None,
        "version": run.figures("pusher").get("version") if ended == "pushed" else None,
        "seconds": seconds_of(run.record),
        "damaged": list(run.damaged),
    }


def why(run: records.Records) -> str:
    """Why the run did something, or else where and why it ended, in one line."""
    record, ended = run.record, verdict.verdict(run)
    is_cut_short = ended["name"] in ("failed", "interrupted", "running")
    reason = (record.about.get("retrain") or {}).get("reason")
    if reason and not is_cut_short:
        return str(reason)

    if is_cut_short:
        return _where_it_ended(record, ended["error"] or reason)
    if ended["tone"] == verdict.BAD and ended["error"]:
        return str(ended["error"])

    for stage in record.stages:
        if not stage.cached:
            return f"{stage.component}: {stage.reason}"
    return "nothing had to run"


def _where_it_ended(record: RunRecord, error: str | None) -> str:
    """The stage in which a run was stopped or failed, and the error, if there was one."""
    ended = {stage.component for stage in record.stages}
    # The runner announces the stages in the order of the pipeline.
    under_way = next((component for component in record.uses if component not in ended), None)
    if error and (under_way is None or f"before {under_way} " in error):
        return error
    if error:
        return f"{under_way}: {error}"

    where = f"in {under_way}" if under_way else "before the first stage"
    if ended and under_way is None:
        where = f"after {record.stages[-1].component}"
    if record.verdict == RUNNING:
        return f"no end was recorded: it still runs, or was killed {where}"
    return f"it ended {where}, without a reason"
