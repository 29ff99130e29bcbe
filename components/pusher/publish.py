"""Changes the versions under serving_dir: push, roll back, promote, remove.

It works the same way in a local folder and under gs://.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from components.pusher import labels
from components.pusher.folder import HISTORY, Folder
from components.pusher.labels import CANARY, MODELS_CONFIG, STABLE, Served
from components.pusher.versions import (
    MODEL_NAME,
    Place,
    need_manifest,
    need_versions,
    old_versions,
    place_of,
    read_manifest,
    read_served,
)
from seqline.component import Figures
from seqline.errors import DataError, UserError
from seqline.host.clock import now
from seqline.model import identity
from seqline.model.digest import EVALUATION, MANIFEST, digest_of, sha256, sha256_of_files
from seqline.storage.atomic import fsync

log = logging.getLogger("seqline.pusher")


def push(
    model: Path,
    serving_dir: str | Path,
    *,
    evaluation: bytes | None = None,
    verify: Callable[[Path], None] | None = None,
    label: str = STABLE,
    keep_versions: int | None = None,
    model_name: str = MODEL_NAME,
    served_from: str | None = None,
    name: str | None = None,
    replaces: int | None = None,
) -> Figures:
    """Publishes the files of a model as the next version, with a label.

    Args:
        model: a SavedModel's folder.
        serving_dir: a folder, or a gs:// name.
        evaluation: the content of assets.extra/evaluation.json.
        verify: is called with the copy before it becomes a version, and raises what is wrong with
            it.
        label: the label that moves to the version.
        keep_versions: how many of the newest versions stay, None for all.
        model_name: the model's name in models.config.
        served_from: serving_dir as the server sees it, None for the same path.
        name: the model's name.
        replaces: the newest version, if it may be another model.

    Returns:
        {version, digest, pushed, rolled_back}. `pushed` is False where the newest version has this
        content already, or is the rollback from it (`rolled_back`): then it stays as it is.

    Raises:
        OtherModelError: the newest version is another model, and not `replaces`.
    """
    place = place_of(serving_dir)
    served_from = served_from or place.place
    _refuse_overlap(model, place)
    files = sha256_of_files(model)
    digest = digest_of(files)

    with place.lock():
        newest = max(place.versions(), default=None)
        before = read_manifest(place, newest) or {}
        if digest in (before.get("digest"), before.get("instead_of")):
            is_rolled_back = before.get("digest") != digest
            if not is_rolled_back:
                _set_label(place, label, newest, model_name, served_from)

            return {
                "version": newest,
                "digest": digest,
                "pushed": False,
                "rolled_back": is_rolled_back,
            }

        replaced_name = None
        if newest is not None:
            served = identity.of_version(
                lambda path: place.read(f"{newest}/{path}"), f"{place.place}/{newest}"
            )
            candidate = identity.of_folder(model, name)
            identity.check(candidate, served, newest, place.place, replaces)
            if name and served.name and served.name != name and label == STABLE:
                replaced_name = before.get("model_name")

        about = {"pushed": now("seconds"), "model_name": model_name}
        if name:
            about["name"] = name

        version = _publish(place, model, files, evaluation, about, verify)
        _set_label(place, label, version, model_name, served_from, replaced_name)
        _remove_old(place, keep_versions)

    return {"version": version, "digest": digest, "pushed": True, "rolled_back": False}


def rollback(
    serving_dir: str | Path, to: int | None = None, by: Mapping[str, Any] | None = None
) -> Figures:
    """Publishes the files of an earlier version again, as the next version and as stable.

    Args:
        serving_dir: a folder, or a gs:// name.
        to: that version; None for the last one before the newest that has other content.
        by: who asked for it, for the history.

    Returns:
        {version, rollback_of}.

    Raises:
        UserError: no such version exists.
        DataError: its files are not those that were pushed.
    """
    place = place_of(serving_dir)
    need_versions(place)
    with place.lock():
        versions = place.versions()
        newest = read_manifest(place, versions[-1]) or {}
        if to is None:
            to = _earlier(place, versions, newest)
        if to not in versions:
            raise UserError(
                f"{place.place} holds no version {to}. It holds {', '.join(map(str, versions))}."
            )

        manifest = need_manifest(place, to)
        if manifest["digest"] == newest.get("digest"):
            raise UserError(
                f"The newest version in {place.place}, {versions[-1]}, has the content of version"
                f" {to}: nothing to do."
            )

        model_name = manifest.get("model_name", MODEL_NAME)
        about = {
            "pushed": now("seconds"),
            "model_name": model_name,
            "rollback_of": to,
            "instead_of": newest.get("digest"),
        }
        if manifest.get("name"):
            about["name"] = manifest["name"]

        with place.files(to) as folder:
            files = sha256_of_files(folder)
            if files != manifest["files"]:
                raise DataError(
                    f"Version {to} in {place.place} is not what was pushed: "
                    f"{_difference(files, manifest['files'])}. Name another."
                )
            version = _publish(place, folder, files, place.read(f"{to}/{EVALUATION}"), about, None)

        _set_label(place, STABLE, version, model_name, None, newest.get("model_name"))
        event = {
            "what": "rollback",
            "version": version,
            "rollback_of": to,
            "instead_of": versions[-1],
        }
        _record(place, event, by)

    return {"version": version, "rollback_of": to}


def _earlier(place: Place, versions: list[int], newest: dict[str, Any]) -> int:
    """The version to roll back to: the last one before the newest with other content.

    After a rollback it goes on from the version that was rolled back to, so that it does not return
    to the one that was rolled back from.
    """
    before = newest.get("rollback_of") or versions[-1]
    for version in reversed([version for version in versions if version < before]):
        manifest = read_manifest(place, version)
        if manifest and manifest["digest"] != newest.get("digest"):
            return version

    raise UserError(
        f"{place.place} holds no earlier version with other content than the newest, "
        f"{versions[-1]}: nothing to roll back to."
    )


def promote(
    serving_dir: str | Path, model_name: str | None = None, by: Mapping[str, Any] | None = None
) -> int:
    """Makes the canary stable.

    Args:
        serving_dir: a folder, or a gs:// name.
        model_name: the model's name in models.config, None for that of the newest version.
        by: who asked for it, for the history.

    Returns:
        The canary's version.

    Raises:
        UserError: the model has no canary.
    """
    place = place_of(serving_dir)
    need_versions(place)
    with place.lock():
        newest = read_manifest(place, max(place.versions(), default=None)) or {}
        name = model_name or newest.get("model_name", MODEL_NAME)
        served = read_served(place, name)
        version = served.labels.get(CANARY) if served else None
        if version is None:
            raise UserError(
                f"{place.place} has no canary to promote. Push one with --set pusher.label=canary."
            )

        instead_of = served.labels.get(STABLE) if served else None
        _set_label(place, STABLE, version, name, None)
        _record(place, {"what": "promote", "version": version, "instead_of": instead_of}, by)

    return version


def _record(place: Place, event: Mapping[str, Any], by: Mapping[str, Any] | None) -> None:
    """Adds a line to the history. Needs the lock."""
    line = json.dumps({"time": now("seconds"), **event, "by": by}, ensure_ascii=False) + "\n"
    place.replace(HISTORY, (place.read(HISTORY) or b"") + line.encode())


def _publish(
    place: Place,
    model: Path,
    files: dict[str, str],
    evaluation: bytes | None,
    about: dict[str, Any],
    verify: Callable[[Path], None] | None,
) -> int:
    """Copies the model, verifies the copy and makes it the next version. Needs the lock."""
    version = place.highest_number() + 1
    if version >= 1 << 63:
        raise UserError(
            f"{place.place} holds version {version - 1}, the highest that a server takes. "
            "Rename or remove it, or push to another place: --set pusher.serving_dir=..."
        )
    with place.aside() as aside:
        for name in files:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, aside / name, follow_symlinks=False)

        added = {} if evaluation is None else {EVALUATION: evaluation}
        for name, content in added.items():
            _write(aside / name, content)

        manifest = {
            "digest": digest_of(files),
            "files": files,
            "beside": {name: sha256(aside / name) for name in added},
            **about,
        }
        _write(aside / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())

        for path in [*aside.rglob("*"), aside]:
            fsync(path)
            _drop_from_page_cache(path)

        copied = sha256_of_files(aside)
        if copied != files:
            raise DataError(
                f"The copy of {model} in {place.place} is not the same: "
                f"{_difference(copied, files)}. Is the disk sound? Nothing was pushed."
            )

        if verify:
            verify(aside)
        place.publish(aside, version)

    return version


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _drop_from_page_cache(path: Path) -> None:
    """Makes the next reader of a file read the disk, so that its digest is that of the disk."""
    if path.is_file() and hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _set_label(
    place: Place,
    label: str,
    version: int | None,
    model_name: str,
    served_from: str | None,
    replaced_name: str | None = None,
) -> None:
    """Moves a label in models.config. Needs the lock.

    Args:
        place: the serving_dir.
        label: the label.
        version: the version that it moves to.
        model_name: the model's name in models.config.
        served_from: the entry's base_path, None to leave it as it is.
        replaced_name: the name of a model that is no longer served from here. Its entry is removed:
            otherwise its clients would get the answers of another model.
    """
    assert version is not None, "a label needs a version"
    config = place.read(MODELS_CONFIG)
    before = read_served(place, model_name)
    entry = before or (read_served(place, replaced_name) if replaced_name else None)
    base_path = served_from or (entry.base_path if entry else place.place)
    moved = labels.moved(before.labels if before else {}, label, version)
    after = labels.write(
        config,
        Served(model_name, base_path, moved),
        place.versions(),
        f"{place.place}/{MODELS_CONFIG}",
        replaced_name,
    )
    if after != config:
        place.replace(MODELS_CONFIG, after)


def remove_versions(
    serving_dir: str | Path, keep_versions: int, chosen: Collection[int]
) -> list[int]:
    """Removes those of the chosen versions that are still old ones, and returns them."""
    place = place_of(serving_dir)
    with place.lock():
        removed = [version for version in old_versions(place, keep_versions) if version in chosen]
        for version in removed:
            place.remove(version)
    return removed


def _remove_old(place: Place, keep_versions: int | None) -> None:
    """Removes versions beyond the limit. Needs the lock."""
    if keep_versions is None:
        return
    for version in old_versions(place, keep_versions):
        place.remove(version)
        log.info("removed version %d: the last %d are kept", version, keep_versions)


def _refuse_overlap(model: Path, place: Place) -> None:
    if isinstance(place, Folder):
        source, target = model.resolve(), place.path.resolve()
        if source.is_relative_to(target) or target.is_relative_to(source):
            raise UserError(
                f"pusher.serving_dir {place.place!r} and the model {str(model)!r} lie in one "
                "another. Name another folder."
            )


def _difference(files: dict[str, str], expected: dict[str, str]) -> str:
    name = min(name for name in {*files, *expected} if files.get(name) != expected.get(name))
    if name not in files:
        return f"{name} is missing"
    if name not in expected:
        return f"{name} is not one of its files"
    return f"{name} is another"
