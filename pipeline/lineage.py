"""The artifacts that runs and served versions are made of, read from the records of a store."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from components.pusher.versions import Place, read_manifest
from pipeline.store.records import FINISHED, Execution, RunRecord
from seqline.errors import UserError
from seqline.model.identity import CARD, read_card

# (component, key).
Key = tuple[str, str]

KEY = re.compile(r"[0-9a-f]{20}")


def artifact_of(entry: str) -> Key | None:
    """The artifact that an entry of the store is, by its name; None for another entry."""
    component, _, key = entry.partition("/")
    return (component, key) if KEY.fullmatch(key) else None


def made_of(
    place: Place,
    version: int,
    entries: Iterable[str],
    pushes: Mapping[Key, Execution],
    execution: Callable[[str, str], Execution | None],
) -> set[Key]:
    """The artifacts that a version was made of: its pushes, or else those that its card names.

    If its manifest is damaged, its pushes are those that gave it its number.

    Args:
        place: where the version was pushed to.
        version: its number.
        entries: the names of all entries of the store.
        pushes: the key of each of the pusher's artifacts -> its record.
        execution: gives the record of an artifact; None for one without a record.

    Raises:
        UserError: the version's manifest or its card is damaged.
    """
    damage = None
    try:
        manifest = read_manifest(place, version)
        wanted: dict[str, Any] = {"digest": manifest.digest if manifest else None}
    except UserError as error:
        damage, wanted = error, {"version": version, "serving_dir": place.place}
    pushed = {
        name
        for name, record in pushes.items()
        if all(record.figures.get(figure) == value for figure, value in wanted.items())
    }
    if pushed:
        return pushed
    if damage:
        raise damage

    keys = _keys_of(place, version)
    artifacts = set()
    for name in map(artifact_of, entries):
        if name and (name[1] in keys or _is_exported_from(execution(*name), keys)):
            artifacts.add(name)
    return artifacts


def _keys_of(place: Place, version: int) -> set[str]:
    """The keys of artifacts that a version's card names; none without a card."""
    path = f"{version}/{CARD}"
    card = read_card(place.read(path), f"{place.place}/{path}")
    return set(card.get("keys", {}).values())


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


def with_inputs(
    execution: Callable[[str, str], Execution | None], roots: Iterable[Key]
) -> set[Key]:
    """The artifacts, and all that they were made of, as far as their records tell.

    Args:
        execution: gives the record of an artifact; None for one without a record.
        roots: the artifacts.
    """
    kept: set[Key] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in kept:
            kept.add(name)
            if record := execution(*name):
                todo += [(source.component, source.key) for source in record.inputs.values()]
    return kept


def stages_of(record: RunRecord) -> set[Key]:
    """The artifacts of the stages of a run that have ended."""
    return {(stage.component, stage.key) for stage in record.stages}


def cached_of(record: RunRecord) -> set[Key]:
    """The artifacts that a run took from earlier runs."""
    return {(stage.component, stage.key) for stage in record.stages if stage.cached}
