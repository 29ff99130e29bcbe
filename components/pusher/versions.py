"""The versions under a serving_dir, and what is recorded about them.

A version holds the model's own files, and in assets.extra/
  manifest.json    digest: the model's
                   files: the SHA-256 of each of the model's files
                   beside: the same for the files that the push added
                   pushed: when
                   model_name: the model's name in models.config; name: the model's, if it has one
                   rollback_of: for a rollback, the version whose files these are
                   instead_of: for a rollback, the digest of the model that was the newest before
  evaluation.json  the evaluation, as the evaluator wrote it; the model's digest leaves it out
"""

from pathlib import Path
from typing import Any

from components.pusher import labels
from components.pusher.bucket import Bucket
from components.pusher.folder import HISTORY, Folder
from components.pusher.labels import MODELS_CONFIG, Served
from seqline.errors import UserError
from seqline.model.digest import EVALUATION, MANIFEST
from seqline.storage.files import is_remote, parse_object

Place = Folder | Bucket
# The name in models.config of a model that has no other.
MODEL_NAME = "seqline"


def place_of(serving_dir: str | Path) -> Place:
    """The serving_dir of a path or a gs:// name.

    Raises:
        UserError: it cannot hold versions.
    """
    return Bucket(str(serving_dir)) if is_remote(str(serving_dir)) else Folder(serving_dir)


def read_manifest(place: Place, version: int | None) -> dict[str, Any] | None:
    """A version's manifest; None for a version that seqline did not push, and for no version."""
    if version is None:
        return None
    manifest = parse_object(place.read(f"{version}/{MANIFEST}"))
    return manifest if manifest and "digest" in manifest and "files" in manifest else None


def need_manifest(place: Place, version: int) -> dict[str, Any]:
    """A version's manifest.

    Raises:
        UserError: seqline did not push the version.
    """
    manifest = read_manifest(place, version)
    if manifest is None:
        raise UserError(
            f"Version {version} in {place.place} was not pushed by seqline: it has no {MANIFEST}. "
            "Name another with --to."
        )
    return manifest


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
    """Every version, oldest first.

    Returns:
        {version, digest, labels, pushed, rollback_of, accuracy}; None for what is not known.

    Raises:
        UserError: the serving_dir holds no version.
    """
    place = place_of(serving_dir)
    need_versions(place)

    rows = []
    for version in place.versions():
        manifest = read_manifest(place, version) or {}
        evaluation = parse_object(place.read(f"{version}/{EVALUATION}")) or {}
        served = read_served(place, manifest.get("model_name", MODEL_NAME))
        version_of_label = served.labels if served else {}
        rows.append(
            {
                "version": version,
                "digest": manifest.get("digest"),
                "labels": [
                    label for label in version_of_label if version_of_label[label] == version
                ],
                "pushed": manifest.get("pushed"),
                "rollback_of": manifest.get("rollback_of"),
                "accuracy": evaluation.get("accuracy"),
            }
        )

    return rows


def history(serving_dir: str | Path) -> list[dict[str, Any]]:
    """The changes that people made by hand, oldest first.

    Returns:
        {time, what ("rollback" or "promote"), version, instead_of, by, and rollback_of}.
    """
    lines = (place_of(serving_dir).read(HISTORY) or b"").splitlines()
    return [event for line in lines if (event := parse_object(line))]


def old_versions(place: Place, keep_versions: int) -> list[int]:
    """The versions that a limit allows to be removed.

    They never include the newest `keep_versions`, one that a label names, nor one that seqline did
    not push.
    """
    numbers = place.versions()
    if not numbers:
        return []

    labelled = labels.labelled(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
    return [
        version
        for version in numbers[:-keep_versions]
        if version not in labelled and read_manifest(place, version)
    ]
