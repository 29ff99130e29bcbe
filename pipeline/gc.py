"""Finds the entries of a store that no run needs, and removes them for `seqline gc`.

It keeps:
  the served versions, and all that they were made of;
  the last runs and those that are alive, with their artifacts and all that those were made of;
  the checkpoints from which one of these goes on;
  the parts of spans that windows over the kept Examples use again.
The rest is removed if it has a name that the store gives; anything else under root stays.

What has a damaged record stays, too. Where that record may name artifacts that are still needed,
all artifacts stay.

A run may begin, or go on, at any time. Before it relies on an artifact, it names the artifact in
its record (`Store.announce`). While a clean-up holds its lock (`Store.cleaning`), no run can do so:
the records of the living runs are all that a clean-up has to know.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from components.pusher.publish import remove_versions
from components.pusher.versions import old_versions, place_of
from pipeline import definition, lineage
from pipeline.lineage import Key
from pipeline.root_contents import PUSHER, RootContents, read
from pipeline.store.folder import Store
from pipeline.store.layout import CLEANING, DISCARDED, RUN_LOCK, SPAN_CACHE
from pipeline.store.records import FINISHED, RUNNING, RunRecord
from seqline.component import Component
from seqline.data.manifest import read_manifest
from seqline.data.span_cache import is_unfinished
from seqline.errors import DataError, UserError
from seqline.storage.files import is_remote
from seqline.storage.objects import is_google

KEYED = re.compile(r"(.+?)-([0-9a-f]{20})(?:-old)?(?:-[0-9a-f]{8})?")
# The name of SPAN_CACHE in earlier releases; nothing reads such a folder any more.
OLD_SPAN_CACHE = "pieces"
PART_OF_SPAN = "part of a span"
KEEPS_ALL = "all artifacts, checkpoints and parts of spans stay: a damaged record may name any"
# A run's folder exists for a moment before its record does.
GRACE = timedelta(days=1)
COMPONENTS = {
    value.name: value for value in vars(definition).values() if isinstance(value, Component)
}


@dataclass(frozen=True)
class Item:
    """An entry or a version that may be removed."""

    # artifact, run, checkpoints, part of a span, left-over, lock or version.
    kind: str
    # Its path under root; for a version its whole path.
    name: str
    bytes: int
    about: str = ""


@dataclass
class Plan:
    """The items that a clean-up removes, and the artifacts that it keeps."""

    items: list[Item] = field(default_factory=list)  # removed
    notes: list[str] = field(default_factory=list)  # sentences that a person should read
    versions: dict[str, list[int]] = field(default_factory=dict)  # removed, by serving_dir
    served: dict[str, list[int]] = field(default_factory=dict)  # kept, by serving_dir
    runs: set[str] = field(default_factory=set)  # kept
    artifacts: set[Key] = field(default_factory=set)  # kept
    keeps_all: bool = False  # artifacts: a damaged record may name any


def plan(store: Store, serving_dir: str, keep_runs: int, keep_versions: int | None = None) -> Plan:
    """Plans a clean-up; changes nothing. Needs `Store.cleaning`.

    Args:
        store: the store.
        serving_dir: whose versions are kept, with those of every place that runs pushed to.
        keep_runs: how many of the last runs stay.
        keep_versions: how many of serving_dir's newest versions stay, None for all.

    Raises:
        UserError: it cannot be known which versions are served.
    """
    root = read(store)
    made = Plan()
    roots, is_known = _keep_served(made, serving_dir, root, keep_versions)
    made.runs = _kept_runs(root, roots, keep_runs)
    for run in made.runs:
        if record := root.records[run]:
            roots |= lineage.relied_on(record)
    made.artifacts = lineage.with_inputs(root.execution, roots)
    made.keeps_all = not is_known or _needs_a_damaged_record(root, made)
    if made.keeps_all:
        made.artifacts |= set(filter(None, map(lineage.artifact_of, root.entries)))
    made.notes += [*root.damaged.values(), *([KEEPS_ALL] if made.keeps_all else [])]

    items = [_judge(entry, root, made) for entry in root.entries]
    items_of_entries = [item for item in items if item]
    made.items += sorted(items_of_entries, key=lambda item: (item.kind, item.name))

    if root.alive:
        runs = ", ".join(sorted(root.alive))
        made.notes.append(f"parts of spans are left alone as long as a run is alive: {runs}")
    elif not made.keeps_all:
        made.items += _unused_parts(root, made)
    return made


def _needs_a_damaged_record(root: RootContents, made: Plan) -> bool:
    """Whether a damaged record may name artifacts that are needed: of a kept run, or of a push."""
    needed = made.runs | root.alive | made.artifacts
    return any(name in needed or name[0] == PUSHER for name in root.damaged)


# Keeping


def _keep_served(
    made: Plan, serving_dir: str, root: RootContents, keep_versions: int | None
) -> tuple[set[Key], bool]:
    """The artifacts of the versions that stay, wherever runs of this root pushed to.

    Adds to the plan the versions that stay, and those of serving_dir that are removed.

    Returns:
        (the artifacts, whether these are all: the record of each version could be read).
    """
    last_push = {
        str(record.figures.get("serving_dir", "")): name
        for name, record in sorted(root.pushes.items(), key=lambda push: push[1].finished)
    }
    given = place_of(serving_dir).place

    kept: set[Key] = set()
    is_known = True
    for name in {given, *last_push} - {""}:
        place = place_of(name)
        versions = place.versions()
        if not versions and name in last_push:
            made.notes.append(
                f"{name} holds no version any more; of what was pushed there, the last is kept"
            )
            kept.add(last_push[name])

        removed = []
        if keep_versions is not None and name == given:
            removed = old_versions(place, keep_versions)
            made.versions[name] = removed
            made.items += [Item("version", f"{name}/{version}", 0) for version in removed]
        made.served[name] = [version for version in versions if version not in removed]

        for version in made.served[name]:
            try:
                artifacts = lineage.made_of(
                    place, version, root.entries, root.pushes, root.execution
                )
            except UserError as error:
                made.notes.append(str(error))
                is_known = False
                continue
            if not artifacts:
                made.notes.append(
                    f"version {version} in {name} was not made under this root: nothing is kept"
                    " for it"
                )
            kept |= artifacts
    return kept, is_known


def _kept_runs(root: RootContents, served: set[Key], keep_runs: int) -> set[str]:
    """The last runs, those that are alive, and those that pushed a served version."""
    names = sorted(root.records)
    last = names[len(names) - min(keep_runs, len(names)) :]
    pushed = {
        run
        for run, record in root.records.items()
        if record
        and (lineage.stages_of(record) & served & set(root.pushes)) - lineage.cached_of(record)
    }
    return {*last, *(root.alive & set(names)), *pushed}


# Judging


def _judge(entry: str, root: RootContents, made: Plan) -> Item | None:
    """The item that an entry is; None for one that stays, and for parts of spans."""
    store, size = root.store, root.entries[entry]
    folder, _, leaf = entry.partition("/")
    keyed = KEYED.fullmatch(leaf)
    about = (keyed[1], keyed[2]) if keyed else None

    if folder == "runs":
        if leaf in root.damaged:
            return None
        is_new = leaf not in root.records and _is_young(leaf)
        if leaf in made.runs | root.alive or is_new:
            return None
        return Item("run", entry, size, _verdict(root.records.get(leaf)))

    if folder == "locks":
        return _judge_lock(leaf, entry, about, root, made)

    if folder == "partial" and leaf.startswith(DISCARDED):
        return Item("left-over", entry, size, "of a clean-up that was killed")

    if folder in ("partial", "work"):
        if about is None or _is_being_made(about, store):
            return None
        is_work = folder == "work"
        is_finished = about in root.executions
        if is_work and not is_finished and (made.keeps_all or about in made.artifacts):
            return None  # its run goes on from there
        return Item("checkpoints" if is_work else "left-over", entry, size, "of a run that is dead")

    artifact = lineage.artifact_of(entry)
    if artifact is None or artifact in made.artifacts or artifact in root.damaged:
        return None
    if _is_being_made(artifact, store):
        return None
    record = root.execution(*artifact)
    finished = f"made {record.finished[:16].replace('T', ' ')}" if record else "never finished"
    return Item("artifact", entry, size, finished)


def _judge_lock(
    leaf: str, entry: str, about: Key | None, root: RootContents, made: Plan
) -> Item | None:
    """A lock that no living process holds.

    Under gs:// an artifact's lock disappears with its owner. One that a killed owner left is taken
    over by the next owner. In other buckets the lock stays as an empty object.
    """
    if leaf == CLEANING:
        return None

    is_of_a_run = leaf.startswith(RUN_LOCK)
    is_of_a_removed_artifact = about is not None and about not in made.artifacts
    if not is_of_a_run and (not is_of_a_removed_artifact or is_google(str(root.store.root))):
        return None
    return None if root.store.is_held(leaf) else Item("lock", entry, 0)


def _is_being_made(name: Key, store: Store) -> bool:
    return store.is_held("-".join(name))


def _is_young(run: str) -> bool:
    with suppress(ValueError):
        begun = datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return datetime.now(UTC) - begun < GRACE
    return True  # the store gives no such name


def _verdict(record: RunRecord | None) -> str:
    if record is None:
        return "without a record"
    return "killed" if record.verdict == RUNNING else record.verdict


def _unused_parts(root: RootContents, made: Plan) -> Iterator[Item]:
    """The parts of spans that no window over kept Examples uses again."""
    store = root.store
    used = set()
    for name in made.artifacts:
        try:
            used |= {str(path.relative_to(store.root)) for path in _parts_of_window(name, root)}
        except UserError as error:
            made.notes.append(f"{error} Until then, all parts of spans are kept.")
            return

    unused = set()
    for entry in root.entries:
        folder, _, rest = entry.partition("/")
        component = COMPONENTS.get(rest.partition("/")[0])
        if component and folder == OLD_SPAN_CACHE:
            yield Item(PART_OF_SPAN, entry, root.entries[entry], "of an earlier release")
        is_part = folder == SPAN_CACHE and not entry.endswith("/digests.json")
        if component and component.span_parts and is_part and entry not in used:
            unused.add(entry)

    # A Dataflow job of a kept run that has not finished may still write its parts, under gs://.
    goes_on = any(
        record is None or record.verdict != FINISHED
        for run, record in root.records.items()
        if run in made.runs
    )
    leave_partial = goes_on and is_remote(str(store.root))
    shared = store.shared(unused, [f"{component}/{key}" for component, key in made.artifacts])
    for entry in sorted(unused - shared):
        if not (leave_partial and is_unfinished(store.root / entry)):
            yield Item(PART_OF_SPAN, entry, root.entries[entry], "of no kept window")


def _parts_of_window(name: Key, root: RootContents) -> Iterator[Path]:
    """The parts of spans that an artifact was put together from.

    Raises:
        UserError: a record that names them is damaged.
    """
    store, component, record = root.store, COMPONENTS.get(name[0]), root.execution(*name)
    if component is None or component.span_parts is None or record is None:
        return

    key_of_examples = name[1]
    if component.output != "Examples":
        if "examples" not in record.inputs:
            return  # an artifact of an earlier seqline: its parts are not found any more
        key_of_examples = record.inputs["examples"].key

    # An artifact of an earlier seqline may have no manifest, or other parameters.
    with suppress(DataError, ValidationError):
        manifest = read_manifest(store.path("example_gen", key_of_examples))
        params = component.params.model_validate_json(json.dumps(record.params))

        # A span with rare classes, or with a split that its column lacks, is read several times:
        # the next window needs what was counted the first times.
        keys = {
            key
            for span in manifest.spans
            for key in (span.key, span.key_as_read, span.key_as_split)
            if key
        }
        for key in keys:
            span_cache = store.span_cache(component)
            yield from component.span_parts(span_cache, key, manifest.content, params)


# Removing


def collect(
    store: Store,
    serving_dir: str,
    keep_runs: int,
    keep_versions: int | None = None,
    agreed: Plan | None = None,
) -> Plan:
    """Removes the items of a plan.

    If it is killed, it leaves no half artifact, and the next clean-up goes on.

    Args:
        store: see `plan`.
        serving_dir: see `plan`.
        keep_runs: see `plan`.
        keep_versions: see `plan`.
        agreed: an earlier plan. Nothing that is not in it is removed.

    Returns:
        The plan with the items that were removed.

    Raises:
        UserError: it cannot be known which versions are served.
    """
    if keep_versions is not None:
        removable = {serving_dir: place_of(serving_dir).versions()}
        for name, versions in (agreed.versions if agreed else removable).items():
            remove_versions(name, keep_versions, versions)

    with store.cleaning():
        made = plan(store, serving_dir, keep_runs)
        if agreed:
            names = {item.name for item in agreed.items}
            made.items = [item for item in made.items if item.name in names]
        free = store.discard([item.name for item in made.items])
    free()
    return made


def preview(
    store: Store, serving_dir: str, keep_runs: int, keep_versions: int | None = None
) -> tuple[Plan, int]:
    """(the plan that `collect` would carry out, the bytes that it would free)."""
    with store.cleaning():
        made = plan(store, serving_dir, keep_runs, keep_versions)
    return made, store.freed([item.name for item in made.items if item.kind != "version"])


def check_root(root: str) -> None:
    """Checks that a root holds something to clean up.

    Raises:
        UserError: no run has been recorded under it.
    """
    if not is_remote(root) and not Path(root, "runs").is_dir():
        raise UserError(
            f"No run has been recorded under {root!r}: nothing to clean up. Name the root with"
            " --root."
        )
