"""Writes a serving_dir: a version by one rename, and the records that go with it.

Everything is read, checked and on the disk before the rename.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.pusher import labels
from components.pusher.folder import HISTORY
from components.pusher.labels import MODELS_CONFIG, Served
from components.pusher.versions import Place, read_served
from seqline.errors import DataError, UserError
from seqline.host.clock import now
from seqline.model.digest import MANIFEST, digest_of, sha256, sha256_of_files
from seqline.model.pushed import Manifest
from seqline.storage.atomic import fsync


def noted(place: Place, event: Mapping[str, Any], by: Mapping[str, Any] | None) -> dict[str, bytes]:
    """history.jsonl with a line more. Needs the lock."""
    line = json.dumps({"time": now("seconds"), **event, "by": by}, ensure_ascii=False) + "\n"
    before = place.read(HISTORY) or b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    return {HISTORY: before + line.encode()}


@contextmanager
def replacing(place: Place, records: Mapping[str, bytes]) -> Iterator[None]:
    """Replaces files when the block ends well, the last one first. Needs the lock."""
    with ExitStack() as stack:
        for name, content in records.items():
            stack.enter_context(place.replacing(name, content))
        yield


@contextmanager
def errors_of(place: Place) -> Iterator[None]:
    """Names serving_dir in errors of writing it. An error of copying names only what was read."""
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename or place.place
        raise UserError(
            f"{place.place} cannot be written ({error.strerror or error}: {name}). "
            "Make room or give this user the right to write it, and run the same command again."
        ) from error


def moved_label(
    place: Place,
    label: str,
    version: int,
    model_name: str,
    served_from: str | None,
    replaced_name: str | None = None,
) -> dict[str, bytes]:
    """models.config with a label that has moved; nothing if that changes nothing. Needs the lock.

    Args:
        place: the serving_dir.
        label: the label.
        version: the version that it moves to, which may be yet to come.
        model_name: the model's name in models.config.
        served_from: the entry's base_path, None to leave it as it is.
        replaced_name: the name of a model that is no longer served from here. Its entry is removed:
            otherwise its clients would get the answers of another model.

    Raises:
        UserError: models.config is damaged.
    """
    config = place.read(MODELS_CONFIG)
    before = read_served(place, model_name)
    entry = before or (read_served(place, replaced_name) if replaced_name else None)
    base_path = served_from or (entry.base_path if entry else place.place)
    after = labels.write(
        config,
        Served(
            model_name, base_path, labels.moved(before.labels if before else {}, label, version)
        ),
        sorted({*place.versions(), version}),
        f"{place.place}/{MODELS_CONFIG}",
        replaced_name,
    )
    return {} if after == config else {MODELS_CONFIG: after}


def publish_files(
    place: Place,
    version: int,
    model: Path,
    files: dict[str, str],
    added: Mapping[str, bytes],
    about: dict[str, Any],
    verify: Callable[[Path], None] | None,
    records: Mapping[str, bytes],
) -> None:
    """Copies the model, verifies the copy and makes it a version. Needs the lock.

    Args:
        added: the files that the push adds to the model's own, by their path in it.
        records: files of the serving_dir. They are on the disk before the rename that publishes the
            version, and replace the files of their names right after it.
    """
    with place.aside() as aside:
        for name in files:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, aside / name, follow_symlinks=False)

        for name, content in added.items():
            _write(aside / name, content)

        beside = {name: sha256(aside / name) for name in added}
        manifest = Manifest(digest=digest_of(files), files=files, beside=beside, **about)
        known = {name: value for name, value in asdict(manifest).items() if value is not None}
        _write(aside / MANIFEST, (json.dumps(known, indent=2) + "\n").encode())

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
        with replacing(place, records):
            place.publish(aside, version)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _drop_from_page_cache(path: Path) -> None:
    """Makes the next reader of a file read the disk, so that its digest is that of the disk."""
    if path.is_file() and hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _difference(files: dict[str, str], expected: dict[str, str]) -> str:
    name = min(name for name in {*files, *expected} if files.get(name) != expected.get(name))
    if name not in files:
        return f"{name} is missing"
    if name not in expected:
        return f"{name} is not one of its files"
    return f"{name} is another"
