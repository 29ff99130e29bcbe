"""The artifacts that runs and served versions are made of, read from the records of a store."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from components.pusher.versions import Place, read_manifest
from pipeline.store.folder import Store
from pipeline.store.records import FINISHED, Execution, RunRecord
from seqline.errors import UserError

# (component, key).
Key = tuple[str, str]

KEY = re.compile(r"[0-9a-f]{20}")
# The file of a version that names the keys of its artifacts.
CARD = "assets.extra/model.json"


def artifact_of(entry: str) -> Key | None:
    """The artifact that an entry of the store is, by its name; None for another entry."""
    component, _, key = entry.partition("/")
    return (component, key) if KEY.fullmatch(key) else None


def made_of(
    place: Place,
    version: int,
    store: Store,
    entries: Iterable[str],
    pushes: Mapping[Key, Execution],
) -> set[Key]:
    """The artifacts that a version was made of: its pushes, or else those that its card names.

    If its manifest is damaged, its pushes are those that gave it its number.

    Args:
        place: where the version was pushed to.
        version: its number.
        store: the store in which to look.
        entries: the names of all entries of the store.
        pushes: the key of each of the pusher's artifacts -> its record.
    """
    try:
        manifest = read_manifest(place, version)
        wanted: dict[str, Any] = {"digest": manifest.digest if manifest else None}
    except UserError:
        wanted = {"version": version, "serving_dir": place.place}
    pushed = {
        name
        for name, record in pushes.items()
        if all(record.figures.get(figure) == value for figure, value in wanted.items())
    }
    if pushed:
        return pushed

    keys: set[str] = set()
    with suppress(ValueError):
        keys = set(json.loads(place.read(f"{version}/{CARD}") or b"{}").get("keys", {}).values())
    artifacts = set()
    for name in map(artifact_of, entries):
        if name and (name[1] in keys or _is_exported_from(store.execution(*name), keys)):
            artifacts.add(name)
    return artifacts


def _is_exported_from(record: Execution | None, keys: set[str]) -> bool:
    """Whether an artifact is the SavedModel that was made of artifacts with these keys."""
    if record is None or record.type != "SavedModel":
        return False
    inputs = {source.key for source in record.inputs.values()}
    return bool(inputs) and inputs <= keys


def relied_on(record: RunRecord) -> set[Key]:
    """The artifacts that a run made or used, or may still use."""
    artifacts = stages_of(record)
    if record.verdict != FINISHED:
        for component, keys in record.uses.items():
            artifacts |= {(component, key) for key in keys}
    return artifacts


def with_inputs(store: Store, roots: Iterable[Key]) -> set[Key]:
    """The artifacts, and all that they were made of, as far as their records tell."""
    kept: set[Key] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in kept:
            kept.add(name)
            if record := store.execution(*name):
                todo += [(source.component, source.key) for source in record.inputs.values()]
    return kept


def stages_of(record: RunRecord) -> set[Key]:
    """The artifacts of the stages of a run that have ended."""
    return {(stage.component, stage.key) for stage in record.stages}


def cached_of(record: RunRecord) -> set[Key]:
    """The artifacts that a run took from earlier runs."""
    return {(stage.component, stage.key) for stage in record.stages if stage.cached}
