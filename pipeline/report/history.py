"""The runs under a root, and the promotions and rollbacks by hand between them."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from components.pusher import versions
from pipeline.report import records, reproduce, verdict
from pipeline.report.contents import seconds_of
from pipeline.report.listing import Filter, in_order
from pipeline.report.records import Records
from pipeline.store.folder import Store
from pipeline.store.records import RUNNING, RunRecord
from seqline.errors import UserError
from seqline.host import owner

log = logging.getLogger("seqline.report")


# What an entry has that is neither a run that was measured nor one that is damaged.
NOTHING: dict[str, Any] = {
    "run": None,
    "accuracy": None,
    "macro_f1": None,
    "cross_entropy": None,
    "gain": None,
    "version": None,
    "seconds": None,
    "settings": {},
    "changed": {},
    "damaged": [],
}


def history(
    store: Store,
    num: int | None = None,
    model: str | None = None,
    wanted: Filter | None = None,
    sort: str | None = None,
    is_reversed: bool = False,
) -> list[dict[str, Any]]:
    """The last runs and events, oldest first.

    A run whose record is damaged is listed as such: one bad file does not hide the others.

    Args:
        store: where the runs are.
        num: how many to list; None for all.
        model: the name of a model, to list only its runs; None for all.
        wanted: which of them to list; None for all.
        sort: the column to sort by, see `pipeline.report.listing`; then `num` is that of the first
            ones. None for the order of time.
        is_reversed: whether to turn the order around.

    Returns:
        [{when, kind, model, run, verdict, tone, why, accuracy, macro_f1, cross_entropy, gain,
        version, seconds, settings, damaged}]; kind is run, promote or rollback. settings: name ->
        value, of those that are not the defaults. damaged: a sentence about each record of the
        run's artifacts that is damaged, and was passed over.

    Raises:
        UserError: there is no such column.
    """
    wanted = wanted or Filter()
    names = records.names(store)
    is_whole = bool(model or sort or is_reversed or not wanted.is_empty)
    runs = _readable(store, names if is_whole or not num else names[-num:])
    pushers = runs if len(runs) == len(names) else _readable(store, names)

    entries = [entry_of(name, run) for name, run in runs.items()] + events(pushers)
    if model is not None:
        entries = [entry for entry in entries if entry["model"] == model]
    entries = [entry for entry in entries if wanted.holds(entry)]
    for entry in entries:
        entry["settings"] = entry.pop("changed")

    entries.sort(key=lambda entry: str(entry["when"]))
    if sort:
        return in_order(entries, sort, is_reversed)[:num]
    entries = entries[-num:] if num else entries
    return entries[::-1] if is_reversed else entries


def _readable(store: Store, names: Iterable[str]) -> dict[str, Records | UserError]:
    """Run -> its records, or the error if its own record is damaged."""
    runs: dict[str, Records | UserError] = {}
    for name in names:
        try:
            runs[name] = records.read(store, name, files=False)
        except UserError as error:
            runs[name] = error
    return runs


def events(runs: Mapping[str, Records | UserError]) -> list[dict[str, Any]]:
    """The promotions and rollbacks in each serving_dir that a run has pushed to."""
    models: dict[str, str] = {}  # serving_dir -> model
    for run in runs.values():
        if isinstance(run, UserError):  # listed as damaged among the runs
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

    return NOTHING | {
        "when": note.time,
        "kind": note.what,
        "model": model,
        "verdict": note.what,
        "tone": verdict.NEUTRAL,
        "why": f"by hand{to}{instead}{by}",
        "version": note.version,
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


def entry_of(name: str, run: Records | UserError) -> dict[str, Any]:
    """The entry of a run, or of one whose record is damaged; see `history`.

    It has `changed`, too: those settings that are not the defaults.
    """
    if isinstance(run, UserError):
        return NOTHING | {
            "when": None,
            "kind": "run",
            "model": "",
            "run": name,
            "verdict": "damaged",
            "tone": verdict.BAD,
            "why": str(run),
        }

    parameters = reproduce.parameters(run)
    ended, evaluation = verdict.name_of(run), run.figures("evaluator")
    served = evaluation.get("served")

    return NOTHING | {
        "when": run.record.started,
        "kind": "run",
        "model": run.record.name,
        "run": name,
        "verdict": ended,
        "tone": verdict.TONES.get(ended, verdict.NEUTRAL),
        "why": why(run),
        "accuracy": evaluation.get("accuracy"),
        "macro_f1": evaluation.get("macro_f1"),
        "cross_entropy": evaluation.get("cross_entropy"),
        "gain": -served["loss_of_accuracy"] + 0.0 if served else None,
        "version": run.figures("pusher").get("version") if ended == "pushed" else None,
        "seconds": seconds_of(run.record),
        "settings": {one["name"]: one["value"] for one in parameters},
        "changed": {one["name"]: one["value"] for one in parameters if not one["default"]},
        "damaged": list(run.damaged),
    }


def why(run: Records) -> str:
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
