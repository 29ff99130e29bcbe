"""The versions under a serving_dir, and what is recorded about them.

A version holds the model's own files, and in assets.extra/
  manifest.json    see `seqline.model.pushed.Manifest`
  evaluation.json  the evaluation, as the evaluator wrote it; the model's digest leaves it out
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.pusher import labels
from components.pusher.bucket import Bucket
from components.pusher.folder import HISTORY, Folder
from components.pusher.labels import MODELS_CONFIG, Served
from seqline.errors import UserError
from seqline.model import identity, pushed
from seqline.model.digest import EVALUATION, MANIFEST
from seqline.model.identity import Identity
from seqline.model.pushed import Damage, Manifest
from seqline.storage import objects, records
from seqline.storage.files import is_remote, parse_object
from seqline.storage.staging import local_copy, path_of

log = logging.getLogger("seqline.pusher")

Place = Folder | Bucket
# The name in models.config of a model that has no other.
MODEL_NAME = "seqline"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of history.jsonl: a change that a person made by hand.

    Attributes:
        time: When.
        what: The change.
        version: The version that became stable.
        instead_of: The version that was stable before, if any.
        rollback_of: For a rollback, the version whose files these are.
        by: Who asked for it.
    """

    time: str
    what: Literal["rollback", "promote"]
    version: int
    instead_of: int | None = None
    rollback_of: int | None = None
    by: dict[str, Any] | None = None


def place_of(serving_dir: str | Path) -> Place:
    """The serving_dir of a folder, or of a place in a bucket.

    Raises:
        UserError: it cannot hold versions.
    """
    if problem := objects.problem_of(str(serving_dir)):
        raise UserError(f"pusher.serving_dir {str(serving_dir)!r} {problem}.")
    return Bucket(str(serving_dir)) if is_remote(str(serving_dir)) else Folder(serving_dir)


def read_manifest(place: Place, version: int | None) -> Manifest | None:
    """A version's manifest; None for a version that seqline did not push, and for no version.

    Raises:
        UserError: It is damaged.
    """
    content = place.read(f"{version}/{MANIFEST}") if version is not None else None
    return Manifest.parse(content, f"{place.place}/{version}") if content is not None else None


def need_manifest(place: Place, version: int) -> Manifest:
    """A version's manifest.

    Raises:
        UserError: seqline did not push the version, or the manifest is damaged.
    """
    manifest = read_manifest(place, version)
    if manifest is None:
        raise UserError(
            f"Version {version} in {place.place} was not pushed by seqline: it has no {MANIFEST}. "
            "Name another with --to."
        )
    return manifest


def damage_of(place: Place, version: int) -> Damage | None:
    """The first file of a version that is not what was pushed; None if all are.

    A version that seqline did not push only has to hold a model.
    """
    folder = local_copy(path_of(place.path_of(version)))
    if damage := pushed.damage_of(folder):
        return damage
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        return Damage("saved_model.pb", "is missing")
    return None


def identity_of(place: Place, version: int) -> Identity:
    """The identity of a version. Of a damaged one only its name is known.

    Raises:
        UserError: Its manifest is damaged.
    """
    manifest = read_manifest(place, version)
    if damage := damage_of(place, version):
        log.warning("%s/%d is damaged: %s", place.place, version, damage)
        return Identity(manifest.name if manifest else None)
    return identity.of_version(
        lambda path: place.read(f"{version}/{path}"), f"{place.place}/{version}"
    )


def check_records(place: Place) -> None:
    """Reads what a push has to read.

    Raises:
        UserError: models.config, or the manifest of the newest version, is damaged.
    """
    labels.labelled(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
    read_manifest(place, max(place.versions(), default=None))


def need_versions(place: Place) -> None:
    """Checks that there is something to list, promote or roll back.

    Raises:
        UserError: the serving_dir holds no version.
    """
    if not place.versions():
        raise UserError(
            f"{place.place} holds no version. "
            "Name another with --serving-dir, or push one: seqline run my.toml"
        )


def read_served(place: Place, model_name: str) -> Served | None:
    """A model's entry in models.config; None where it has none."""
    return labels.read(place.read(MODELS_CONFIG), model_name, f"{place.place}/{MODELS_CONFIG}")


def listing(serving_dir: str | Path) -> list[dict[str, Any]]:
    """Every version, and every other number that a label names, oldest first.

    Returns:
        {version, digest, labels, pushed, rollback_of, accuracy, damaged, problem}; None for what is
        not known. `damaged` is the file that is not what was pushed, and `problem` what is wrong
        with it.

    Raises:
        UserError: the serving_dir holds no version.
    """
    place = place_of(serving_dir)
    need_versions(place)
    versions = place.versions()
    try:
        labels_of = labels.by_version(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
    except UserError as error:
        log.warning("%s", error)
        labels_of = {}
    return [
        _row(place, version, version in versions, labels_of.get(version, []))
        for version in sorted({*versions, *labels_of})
    ]


def _row(place: Place, version: int, exists: bool, names: list[tuple[str, str]]) -> dict[str, Any]:
    """The entry of a version in the listing; `names` are (model, label)."""
    try:
        manifest = read_manifest(place, version)
    except UserError:
        manifest = None  # it is the version's damage
    damage = damage_of(place, version) if exists else Damage("saved_model.pb", "is missing")

    model_name = (manifest.model_name if manifest else None) or MODEL_NAME
    evaluation = (parse_object(place.read(f"{version}/{EVALUATION}")) if not damage else None) or {}
    accuracy = evaluation.get("accuracy")
    is_number = isinstance(accuracy, int | float) and not isinstance(accuracy, bool)
    return {
        "version": version,
        "digest": manifest.digest if manifest else None,
        "labels": [label for model, label in names if model == model_name or manifest is None],
        "pushed": manifest.pushed if manifest else None,
        "rollback_of": manifest.rollback_of if manifest else None,
        "accuracy": accuracy if is_number else None,
        "damaged": damage.file if damage else None,
        "problem": damage.problem if damage else None,
    }


def history(serving_dir: str | Path) -> list[Event]:
    """The changes that people made by hand, oldest first. A damaged line is passed over."""
    place = place_of(serving_dir)
    path = f"{place.place}/{HISTORY}"
    events = []
    for number, line in enumerate((place.read(HISTORY) or b"").splitlines(), start=1):
        where, way_out = f"{path}, line {number}", "The line is passed over: remove it."
        try:
            content = records.parse_object(line, where, way_out)
            events.append(records.parse(Event, content, where, way_out))
        except UserError as error:
            log.warning("%s", error)
    return events


def old_versions(place: Place, keep_versions: int) -> list[int]:
    """The versions that a limit allows to be removed.

    They never include the newest `keep_versions`, one that a label names, one that seqline did not
    push, nor one whose manifest is damaged.

    Raises:
        UserError: models.config is damaged, so that it is not known which versions have a label.
    """
    numbers = place.versions()
    if not numbers:
        return []

    labelled = labels.labelled(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
    return [
        version
        for version in numbers[:-keep_versions]
        if version not in labelled and _is_ours(place, version)
    ]


def _is_ours(place: Place, version: int) -> bool:
    try:
        return read_manifest(place, version) is not None
    except UserError as error:
        log.warning("version %d is kept: %s", version, error)
        return False
