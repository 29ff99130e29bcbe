"""Versions under serving_dir.

Push, roll back, promote, list. The same for a local folder and for gs://.

Inside a version, beside the model's own files:
  assets.extra/manifest.json    digest: of the model. files: SHA-256 of each of its files. beside: the same of what the push added.
                                pushed: when. model_name; name, where the model has one. rollback_of and instead_of where it is one: the version whose files
                                these are, and the digest of the model that was the newest before.
  assets.extra/evaluation.json  the evaluation, as the evaluator wrote it; not part of the model's
                                digest
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.pusher import labels
from components.pusher.bucket import Bucket
from components.pusher.folder import Folder, fsync
from components.pusher.labels import CANARY, MODELS_CONFIG, STABLE, Served
from seqline.component import Figures
from seqline.errors import DataError, UserError
from seqline.model import identity
from seqline.model.digest import EVALUATION, MANIFEST, digest_of, sha256, sha256_of_files
from seqline.storage.files import is_remote

log = logging.getLogger("seqline.pusher")

Place = Folder | Bucket
MODEL_NAME = "seqline"
# What people did by hand, a JSON object a line; servers do not look at it.
HISTORY = "history.jsonl"


def place_of(serving_dir: str | Path) -> Place:
    """Raises UserError for a place that cannot hold versions."""
    return Bucket(str(serving_dir)) if is_remote(str(serving_dir)) else Folder(serving_dir)


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
    """Publishes the files of `model` as the next version, with a label.

    Returns {version, digest, pushed, rolled_back}.

    name: the model's. Raises OtherModelError where the newest version is another model, unless
    `replaces` is that version.

    pushed is False where the newest version has this content already, or is the rollback from it:
    then it stays as it is. verify(folder) is called with the copy before it becomes a version, and
    raises what is wrong with it.
    """
    place = place_of(serving_dir)
    served_from = served_from or place.place
    _refuse_overlap(model, place)
    files = sha256_of_files(model)
    digest = digest_of(files)
    with place.lock():
        newest = max(place.versions(), default=None)
        before = read_manifest(place, newest) or {}
        if before.get("digest") == digest or before.get("instead_of") == digest:
            rolled_back = before.get("digest") != digest
            if not rolled_back:
                _set_label(place, label, newest, model_name, served_from)
            return {
                "version": newest,
                "digest": digest,
                "pushed": False,
                "rolled_back": rolled_back,
            }
        replaced = None
        if newest is not None:
            served = identity.of_version(lambda path: place.read(f"{newest}/{path}"))
            candidate = identity.of_folder(model, name)
            identity.check(candidate, served, newest, place.place, replaces)
            if name and served.name and served.name != name and label == STABLE:
                replaced = before.get("model_name")
        about = {"pushed": _now(), "model_name": model_name, **({"name": name} if name else {})}
        version = _publish(place, model, files, evaluation, about, verify)
        _set_label(place, label, version, model_name, served_from, replaced)
        _remove_old(place, keep_versions)
    return {"version": version, "digest": digest, "pushed": True, "rolled_back": False}


def rollback(
    serving_dir: str | Path, to: int | None = None, by: Mapping[str, Any] | None = None
) -> Figures:
    """Publishes the files of an earlier version again, as the next one and as stable.

    Returns {version, rollback_of}.

    to: that version; the one before the newest that has other content, if none is given. by: who
    wants it, for `history`. Raises UserError where there is none, DataError where its files are not
    those that were pushed.
    """
    place = place_of(serving_dir)
    _need_versions(place)
    with place.lock():
        found = place.versions()
        newest = read_manifest(place, found[-1]) or {}
        if to is None:
            to = _earlier(place, found, newest)
        if to not in found:
            raise UserError(
                f"{place.place} holds no version {to}; those there are"
                f" {', '.join(map(str, found))}."
            )
        manifest = _need_manifest(place, to)
        if manifest["digest"] == newest.get("digest"):
            raise UserError(
                f"The newest version in {place.place}, {found[-1]}, has the content of version"
                f" {to}: nothing to do."
            )
        name = manifest.get("model_name", MODEL_NAME)
        about = {
            "pushed": _now(),
            "model_name": name,
            "rollback_of": to,
            "instead_of": newest.get("digest"),
        }
        about |= {"name": manifest["name"]} if manifest.get("name") else {}
        with place.files(to) as folder:
            files = sha256_of_files(folder)
            if files != manifest["files"]:
                raise DataError(
                    f"Version {to} in {place.place} is not what was pushed:"
                    f" {_difference(files, manifest['files'])}. Name another."
                )
            version = _publish(place, folder, files, place.read(f"{to}/{EVALUATION}"), about, None)
        _set_label(place, STABLE, version, name, None, newest.get("model_name"))
        _note(
            place,
            {"what": "rollback", "version": version, "rollback_of": to, "instead_of": found[-1]},
            by,
        )
    return {"version": version, "rollback_of": to}


def _earlier(place: Place, found: list[int], newest: dict[str, Any]) -> int:
    """The version to roll back to.

    The last one before the newest with other content. Once rolled back, it goes on from there: it
    does not come back to what was rolled back from.
    """
    before = newest.get("rollback_of") or found[-1]
    for version in reversed([version for version in found if version < before]):
        manifest = read_manifest(place, version)
        if manifest and manifest["digest"] != newest.get("digest"):
            return version
    raise UserError(
        f"{place.place} holds no earlier version with other content than the newest, {found[-1]}:"
        " nothing to roll back to."
    )


def promote(
    serving_dir: str | Path, model_name: str | None = None, by: Mapping[str, Any] | None = None
) -> int:
    """Makes the canary stable.

    Returns its version. by: who wants it, for `history`. Raises UserError where there is none.
    """
    place = place_of(serving_dir)
    _need_versions(place)
    with place.lock():
        newest = read_manifest(place, max(place.versions(), default=None)) or {}
        name = model_name or newest.get("model_name", MODEL_NAME)
        served = _served(place, name)
        version = served.labels.get(CANARY) if served else None
        if version is None:
            raise UserError(
                f"{place.place} has no canary to promote. Push one with --set pusher.label=canary."
            )
        instead_of = served.labels.get(STABLE) if served else None
        _set_label(place, STABLE, version, name, None)
        _note(place, {"what": "promote", "version": version, "instead_of": instead_of}, by)
    return version


def history(serving_dir: str | Path) -> list[dict[str, Any]]:
    """What was done by hand, oldest first.

    {time, what ("rollback" or "promote"), version, instead_of, by, and rollback_of}.
    """
    found = []
    for line in (place_of(serving_dir).read(HISTORY) or b"").splitlines():
        if entry := _json(line):
            found.append(entry)
    return found


def _note(place: Place, event: Mapping[str, Any], by: Mapping[str, Any] | None) -> None:
    """Adds a line to the history. Needs the lock."""
    line = json.dumps({"time": _now(), **event, "by": by}, ensure_ascii=False) + "\n"
    place.replace(HISTORY, (place.read(HISTORY) or b"") + line.encode())


def listing(serving_dir: str | Path) -> list[dict[str, Any]]:
    """Every version, oldest first.

    {version, digest, labels, pushed, rollback_of, accuracy}, None for what is not known.
    """
    place = place_of(serving_dir)
    _need_versions(place)
    found = []
    for version in place.versions():
        manifest = read_manifest(place, version) or {}
        served = _served(place, manifest.get("model_name", MODEL_NAME))
        found.append(
            {
                "version": version,
                "digest": manifest.get("digest"),
                "labels": [
                    label
                    for label, number in (served.labels if served else {}).items()
                    if number == version
                ],
                "pushed": manifest.get("pushed"),
                "rollback_of": manifest.get("rollback_of"),
                "accuracy": (_json(place.read(f"{version}/{EVALUATION}")) or {}).get("accuracy"),
            }
        )
    return found


def read_manifest(place: Place, version: int | None) -> dict[str, Any] | None:
    """A version's manifest; None for one that somebody else put there."""
    found = _json(place.read(f"{version}/{MANIFEST}")) if version is not None else None
    return found if found and "digest" in found and "files" in found else None


def _publish(
    place: Place,
    model: Path,
    files: dict[str, str],
    evaluation: bytes | None,
    about: dict[str, Any],
    verify: Callable[[Path], None] | None,
) -> int:
    """Copies aside, verifies the copy, makes it the next version. Needs the lock."""
    version = place.taken() + 1
    with place.aside() as aside:
        for name in files:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, aside / name, follow_symlinks=False)
        beside = {} if evaluation is None else {EVALUATION: evaluation}
        for name, content in beside.items():
            _write(aside / name, content)
        manifest = {
            "digest": digest_of(files),
            "files": files,
            "beside": {name: sha256(aside / name) for name in beside},
            **about,
        }
        _write(aside / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
        for path in [*aside.rglob("*"), aside]:
            fsync(path)
            _forget(path)
        copied = sha256_of_files(aside)
        if copied != files:
            raise DataError(
                f"The copy of {model} in {place.place} is not the same:"
                f" {_difference(copied, files)}. Is the disk sound? Nothing was pushed."
            )
        if verify:
            verify(aside)
        place.publish(aside, version)
    return version


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _forget(path: Path) -> None:
    """Drops a file from the system's cache, so that it is read from the disk when its digest is
    compared.
    """
    if path.is_file() and hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _set_label(
    place: Place,
    label: str,
    version: int | None,
    model_name: str,
    served_from: str | None,
    replaced: str | None = None,
) -> None:
    """Writes models.config where that changes it. Needs the lock.

    served_from: None leaves the entry's own base_path. replaced: the name of a model that is no
    longer served from here; its entry goes, or its clients would get the answers of another model.
    """
    assert version is not None, "only a version that is there gets a label"
    config = place.read(MODELS_CONFIG)
    before = _served(place, model_name)
    entry = before or (_served(place, replaced) if replaced else None)
    base_path = served_from or (entry.base_path if entry else place.place)
    moved = labels.moved(before.labels if before else {}, label, version)
    after = labels.write(
        config,
        Served(model_name, base_path, moved),
        place.versions(),
        f"{place.place}/{MODELS_CONFIG}",
        replaced,
    )
    if after != config:
        place.replace(MODELS_CONFIG, after)


def _served(place: Place, model_name: str) -> Served | None:
    return labels.read(place.read(MODELS_CONFIG), model_name, f"{place.place}/{MODELS_CONFIG}")


def old_versions(place: Place, keep_versions: int) -> list[int]:
    """The oldest versions over the number.

    Never the newest, one that a label names, one that is not ours.
    """
    found = place.versions()
    named = (
        labels.labelled(place.read(MODELS_CONFIG), f"{place.place}/{MODELS_CONFIG}")
        if found
        else set()
    )
    return [
        version
        for version in found[:-keep_versions]
        if version not in named and read_manifest(place, version)
    ]


def remove_versions(
    serving_dir: str | Path, keep_versions: int, chosen: Collection[int]
) -> list[int]:
    """Takes those of the chosen versions away that are still old ones; returns them."""
    place = place_of(serving_dir)
    with place.lock():
        gone = [version for version in old_versions(place, keep_versions) if version in chosen]
        for version in gone:
            place.remove(version)
    return gone


def _remove_old(place: Place, keep_versions: int | None) -> None:
    """Needs the lock."""
    for version in old_versions(place, keep_versions) if keep_versions is not None else ():
        place.remove(version)
        log.info("removed version %d: the last %d are kept", version, keep_versions)


def _refuse_overlap(model: Path, place: Place) -> None:
    if isinstance(place, Folder):
        source, target = model.resolve(), place.path.resolve()
        if source.is_relative_to(target) or target.is_relative_to(source):
            raise UserError(
                f"pusher.serving_dir {place.place!r} and the model {str(model)!r} lie in one"
                " another; name another folder."
            )


def _need_versions(place: Place) -> None:
    if not place.versions():
        raise UserError(
            f"{place.place} holds no version. Name another with --serving-dir, or push one:"
            " seqline run"
        )


def _need_manifest(place: Place, version: int) -> dict[str, Any]:
    manifest = read_manifest(place, version)
    if manifest is None:
        raise UserError(
            f"Version {version} in {place.place} was not pushed by seqline: it has no {MANIFEST}."
            " Name another with --to."
        )
    return manifest


def _difference(found: dict[str, str], expected: dict[str, str]) -> str:
    name = min(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return f"{name} is " + (
        "missing"
        if name not in found
        else "not one of its files"
        if name not in expected
        else "another"
    )


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content) if content is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
