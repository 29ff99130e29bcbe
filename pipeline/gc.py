"""What no run needs any more, and `seqline gc`, which takes it away.

Kept are: what is served, and all that it was made of; the last runs, and those that are alive, with
their artifacts and what those were made of; checkpoints that one of these goes on from; span_cache
that windows over the kept Examples use again. The rest goes, and only what looks like the store's
own: anything else under root is left alone.

A run may begin, or go on, at any time. It says in its record what it relies on before it does
(`Store.announce`); while a clean-up has the store to itself (`Store.cleaning`) nobody says anything
new, so the records of the living runs are all that there is to know.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.pusher import publish
from pipeline import definition
from pipeline.store.folder import Store
from pipeline.store.layout import CLEANING, DISCARDED, RUN, RUN_LOCK
from pipeline.store.records import FINISHED, RUNNING, Execution, RunRecord
from seqline.component import Component
from seqline.data.examples import read_manifest
from seqline.errors import DataError, UserError
from seqline.storage.files import is_remote

# (component, key).
Key = tuple[str, str]

KEY = re.compile(r"[0-9a-f]{20}")
KEYED = re.compile(r"(.+?)-([0-9a-f]{20})(?:-old)?(?:-[0-9a-f]{8})?")
PUSHER, CARD = "pusher", "assets.extra/model.json"
# A run's folder is there for a moment before its record is.
GRACE = timedelta(days=1)
COMPONENTS = {each.name: each for each in vars(definition).values() if isinstance(each, Component)}


@dataclass(frozen=True)
class Item:
    """Something that may go. name.

    Under root; of a version its path. kind: artifact, run, checkpoints, piece, left-over, lock,
    version.
    """

    kind: str
    name: str
    bytes: int
    about: str = ""


@dataclass
class Plan:
    """items.

    What goes. notes: what a person should know. versions: by serving_dir. runs, artifacts: how many
    are kept.
    """

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, list[int]] = field(default_factory=dict)
    served: dict[str, list[int]] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    artifacts: set[Key] = field(default_factory=set)


def plan(store: Store, serving_dir: str, keep_runs: int, keep_versions: int | None = None) -> Plan:
    """What would go.

    Changes nothing. Needs `Store.cleaning`. Raises UserError where it cannot be told what is
    served.
    """
    # Runs before locks: a run has its lock when it writes its record, so one with a record and no
    # lock has ended.
    records = {path.name: RunRecord.read(path / RUN) for path in store.runs()}
    entries = store.entries()
    found = Plan()
    pushes = {
        name: record
        for each in entries
        if (name := _artifact(each)) and name[0] == PUSHER and (record := store.execution(*name))
    }
    roots = _served(found, serving_dir, pushes, store, entries, keep_versions)
    alive = {
        name.removeprefix(f"locks/{RUN_LOCK}")
        for name in entries
        if name.startswith(f"locks/{RUN_LOCK}") and store.is_held(name[6:])
    }
    pushed_by = {
        name
        for name, record in records.items()
        if any(each not in _cached(record) for each in _stages(record) & roots & set(pushes))
    }
    found.runs = {
        *sorted(records)[len(records) - min(keep_runs, len(records)) :],
        *(alive & set(records)),
        *pushed_by,
    }
    for run in found.runs:
        roots |= _stages(records[run])
        if records[run].verdict != FINISHED:
            roots |= {
                (component, key) for component, keys in records[run].uses.items() for key in keys
            }
    found.artifacts = _lineage(store, roots)
    judged = [_judged(entry, size, store, found, records, alive) for entry, size in entries.items()]
    found.items += sorted(
        (item for item in judged if item), key=lambda item: (item.kind, item.name)
    )
    if alive:
        found.notes.append(
            f"span_cache are left alone as long as a run is alive: {', '.join(sorted(alive))}"
        )
    else:
        found.items += _pieces(
            store,
            found.artifacts,
            entries,
            any(records[run].verdict != FINISHED for run in found.runs),
        )
    return found


# What is kept


def _served(
    found: Plan,
    serving_dir: str,
    pushes: Mapping[Key, Execution],
    store: Store,
    entries: Iterable[str],
    keep: int | None,
) -> set[Key]:
    """What the versions were made of that stay, wherever runs of this root pushed to.

    And the versions that go.
    """
    kept: set[Key] = set()
    recorded = {
        str(record.figures.get("serving_dir", "")): name
        for name, record in sorted(pushes.items(), key=lambda each: each[1].finished)
    }
    given = publish.place_of(serving_dir).place
    for name in {given, *recorded} - {""}:
        place = publish.place_of(name)
        versions = place.versions()
        if not versions and name in recorded:
            found.notes.append(
                f"{name} holds no version any more; of what was pushed there, the last is kept"
            )
            kept.add(recorded[name])
        if keep is not None and name == given:
            found.versions[name] = publish.old_versions(place, keep)
            found.items += [
                Item("version", f"{name}/{version}", 0) for version in found.versions[name]
            ]
        found.served[name] = [
            version for version in versions if version not in found.versions.get(name, ())
        ]
        for version in found.served[name]:
            of_it = set(_made_of(place, version, pushes, store, entries))
            if not of_it:
                found.notes.append(
                    f"version {version} in {name} was not made under this root: nothing is kept"
                    " for it"
                )
            kept |= of_it
    return kept


def _made_of(
    place: Any, version: int, pushes: Mapping[Key, Execution], store: Store, entries: Iterable[str]
) -> Iterator[Key]:
    """The pushes of a version's files; where their records are gone, what its card names."""
    digest = (publish.read_manifest(place, version) or {}).get("digest")
    of_it = [name for name, record in pushes.items() if record.figures.get("digest") == digest]
    yield from of_it
    if of_it:
        return
    with suppress(ValueError):
        keys = set(json.loads(place.read(f"{version}/{CARD}") or b"{}").get("keys", {}).values())
        for name in map(_artifact, entries):
            record = store.execution(*name) if name else None
            if name and (
                name[1] in keys
                or (
                    record
                    and record.type == "SavedModel"
                    and keys >= {each.key for each in record.inputs.values()} != set()
                )
            ):
                yield name


def _lineage(store: Store, roots: Iterable[Key]) -> set[Key]:
    kept: set[Key] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in kept:
            kept.add(name)
            record = store.execution(*name)
            todo += (
                [(each.component, each.key) for each in record.inputs.values()] if record else []
            )
    return kept


def _stages(record: RunRecord) -> set[Key]:
    return {(each.component, each.key) for each in record.stages}


def _cached(record: RunRecord) -> set[Key]:
    return {(each.component, each.key) for each in record.stages if each.cached}


# What goes


def _artifact(name: str) -> Key | None:
    component, _, key = name.partition("/")
    return (component, key) if KEY.fullmatch(key) else None


def _judged(
    name: str,
    size: int,
    store: Store,
    found: Plan,
    records: Mapping[str, RunRecord],
    alive: set[str],
) -> Item | None:
    """The item that an entry is.

    None for what stays, and for span_cache, which have a judge of their own.
    """
    top, _, leaf = name.partition("/")
    keyed = KEYED.fullmatch(leaf)
    about = (keyed[1], keyed[2]) if keyed else None
    if top == "runs":
        return (
            None
            if leaf in found.runs | alive or (leaf not in records and _is_young(leaf))
            else Item("run", name, size, _verdict(records.get(leaf)))
        )
    if top == "locks":
        return _lock(leaf, name, about, store, found.artifacts)
    if top == "partial" and leaf.startswith(DISCARDED):
        return Item("left-over", name, size, "of a clean-up that was killed")
    if top in ("partial", "work"):
        if about is None or _is_made(about, store):
            return None
        goes_on = top == "work" and about in found.artifacts and store.execution(*about) is None
        return (
            None
            if goes_on
            else Item(
                "checkpoints" if top == "work" else "left-over", name, size, "of a run that is dead"
            )
        )
    artifact = _artifact(name)
    if artifact is None or artifact in found.artifacts or _is_made(artifact, store):
        return None
    record = store.execution(*artifact)
    return Item(
        "artifact",
        name,
        size,
        f"made {record.finished[:16].replace('T', ' ')}" if record else "never finished",
    )


def _lock(leaf: str, name: str, about: Key | None, store: Store, kept: set[Key]) -> Item | None:
    """Under gs:// a lock is gone when its owner ends.

    One of a dead owner is left to whoever takes it over, but for a run's.
    """
    is_a_run = leaf.startswith(RUN_LOCK)
    if (
        leaf == CLEANING
        or not (is_a_run or (about and about not in kept and not is_remote(str(store.root))))
        or store.is_held(leaf)
    ):
        return None
    return Item("lock", name, 0)


def _is_made(name: Key, store: Store) -> bool:
    return store.is_held("-".join(name))


def _is_young(run: str) -> bool:
    with suppress(ValueError):
        return (
            datetime.now(UTC) - datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            < GRACE
        )
    return True  # nothing that the store named so


def _verdict(record: RunRecord | None) -> str:
    if record is None:
        return "without a record"
    return "killed" if record.verdict == RUNNING else record.verdict


def _pieces(
    store: Store, kept: set[Key], entries: Mapping[str, int], goes_on: bool
) -> Iterator[Item]:
    """goes_on.

    A kept run has not finished; what a Dataflow job of it is still writing, under gs://, is not
    touched.
    """
    of_windows = {
        str(path.relative_to(store.root)) for name in kept for path in _windows_pieces(name, store)
    }
    names = {
        name
        for name in entries
        if name.startswith("span_cache/")
        and name.split("/")[1] in COMPONENTS
        and COMPONENTS[name.split("/")[1]].span_part
    }
    unused = {name for name in names - of_windows if not name.endswith("/digests.json")}
    shared = store.shared(unused, [f"{component}/{key}" for component, key in kept])
    for name in sorted(unused - shared):
        if not ("/partial-" in name and goes_on and is_remote(str(store.root))):
            yield Item("piece", name, entries[name], "of no kept window")


def _windows_pieces(name: Key, store: Store) -> Iterator[Any]:
    component, record = COMPONENTS.get(name[0]), store.execution(*name)
    if component is None or component.span_part is None or record is None:
        return
    with suppress(
        DataError, KeyError, ValidationError
    ):  # of an earlier seqline: no piece of it is found any more
        examples = name[1] if component.output == "Examples" else record.inputs["examples"].key
        manifest = read_manifest(store.path("example_gen", examples))
        params = component.params.model_validate_json(json.dumps(record.params))
        # A span with rare classes is read twice: the next window needs what was counted the first
        # time.
        for key in {key for span in manifest.spans for key in (span.key, span.key_as_read) if key}:
            yield component.span_part(store.span_cache(component), key, manifest.content, params)


# Taking it away


def collect(
    store: Store,
    serving_dir: str,
    keep_runs: int,
    keep_versions: int | None = None,
    chosen: Plan | None = None,
) -> Plan:
    """Takes away what may go, of an earlier plan only what is in it, too; returns what went.

    One that is killed leaves no half artifact, and the next one goes on. Raises UserError where it
    cannot be told what is served.
    """
    if keep_versions is not None:
        for name, versions in (
            chosen.versions if chosen else {serving_dir: publish.place_of(serving_dir).versions()}
        ).items():
            publish.remove_versions(name, keep_versions, versions)
    with store.cleaning():
        found = plan(store, serving_dir, keep_runs)
        wanted = (
            {item.name for item in chosen.items} if chosen else {item.name for item in found.items}
        )
        found.items = [item for item in found.items if item.name in wanted]
        free = store.discard([item.name for item in found.items])
    free()
    return found


def preview(
    store: Store, serving_dir: str, keep_runs: int, keep_versions: int | None = None
) -> tuple[Plan, int]:
    """What would go, and how many bytes come free."""
    with store.cleaning():
        found = plan(store, serving_dir, keep_runs, keep_versions)
    return found, store.freed([item.name for item in found.items if item.kind != "version"])


def check_root(root: str) -> None:
    """Raises UserError for a root that is none."""
    if not is_remote(root) and not Path(root, "runs").is_dir():
        raise UserError(
            f"No run has been recorded under {root!r}: nothing to clean up. Name the root with"
            " --root."
        )
