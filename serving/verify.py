"""Whether a version is what was pushed: the SHA-256 of each file, as its manifest has it.

This finds damage and careless edits. Whoever can write the folder can write the manifest, too.
Needs the standard library alone.
"""

import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger("seqline.serve")

MANIFEST = "assets.extra/manifest.json"
# A push writes it next to the manifest, and nothing else does.
EVALUATION = "assets.extra/evaluation.json"
# The exporter's model card. Its models are meant to be pushed.
CARD = "assets.extra/model.json"
MAX_MANIFEST_BYTES = 16 << 20
NUM_SHOWN = 200

# Relative path -> which file of that name it is.
Stamps = dict[str, tuple[int, ...]]


class DifferentError(ValueError):
    """A version is not what was pushed: the rest of a line that begins with its file."""


@contextmanager
def verified(folder: Path, way_out: str, unverified: bool = False) -> Iterator[None]:
    """Compares a version with its manifest, and sees that it stays the same within the block.

    A model that was not pushed has nothing to be compared with.

    Args:
        folder: The version.
        way_out: What to do about a version that differs, a sentence.
        unverified: Only log what differs.

    Raises:
        DifferentError: The version is not what was pushed, or changed within the block.
    """
    version = f"{folder.parent.name}/{folder.name}"
    stamps: Stamps = {}
    try:
        if is_pushed(folder):
            stamps = verify(folder)
        elif _should_be_pushed(folder):
            log.warning("%s is not verified: it has no %s", version, MANIFEST)
    except DifferentError as error:
        if not unverified:
            raise DifferentError(f"{error}. {way_out}") from None
        log.warning("%s is not verified: %s", version, error)

    yield

    for name, stamp in stamps.items():
        if _stamp_now(folder / name) != stamp and not unverified:
            raise DifferentError(f"{_shown(name)} changed while it was read. {way_out}")


def is_pushed(folder: Path) -> bool:
    """Whether a push made the folder, by the files that it adds to the model's own."""
    for name in (MANIFEST, EVALUATION):
        try:
            os.lstat(folder / name)
        except FileNotFoundError:
            continue
        except OSError:  # assets.extra is a file, or cannot be entered
            return True
        return True
    return False


def _should_be_pushed(folder: Path) -> bool:
    """Whether a folder is a version that looks as if its manifest had gone."""
    return folder.name.isdigit() and (
        (folder / CARD).is_file() or any(folder.parent.glob(f"*/{MANIFEST}"))
    )


def verify(folder: Path) -> Stamps:
    """Compares every file of a pushed version with its manifest.

    Files that are hidden and that the manifest does not name are passed over: TensorFlow reads none
    of them, and file systems make some.

    Returns:
        Which files they are now.

    Raises:
        DifferentError: A file is another one, is missing or was added, or the manifest is damaged.
    """
    try:
        names = _files(folder)
    except OSError as error:
        raise _unreadable(str(error.filename), error) from None

    if MANIFEST not in names:
        raise DifferentError(f"{MANIFEST} is missing")
    expected = _expected(folder / MANIFEST)

    for name in sorted({*names, *expected} - {MANIFEST}):
        if name not in names:
            raise DifferentError(f"{_shown(name)} is missing")
        if name not in expected and not _is_hidden(name):
            raise DifferentError(f"{_shown(name)} was added after the push")

    stamps = {}
    for name in sorted(expected):
        try:
            content, stamps[name] = _sha256(folder / name)
        except OSError as error:
            raise _unreadable(name, error) from None
        if content != expected[name]:
            raise DifferentError(f"{_shown(name)} is not what was pushed: its SHA-256 is another")
    return stamps


def _files(folder: Path) -> set[str]:
    """The relative paths of the files of a version, with `/`."""
    names = set()
    for place, folders, files in os.walk(folder, onerror=_raise):
        for entry in [*folders, *files]:
            path = Path(place, entry)
            name = path.relative_to(folder).as_posix()
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                names.add(name)
            elif not stat.S_ISDIR(mode) and not _is_hidden(name):
                kind = "a symlink" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise DifferentError(f"{_shown(name)} is {kind}; a version holds files only")
            elif name in (MANIFEST, EVALUATION):
                raise DifferentError(f"{name} is a folder")
    return names


def _raise(error: OSError) -> None:
    raise error


def _unreadable(name: str, error: OSError) -> DifferentError:
    return DifferentError(f"{_shown(name)} cannot be read: {error.strerror or error}")


def _expected(manifest: Path) -> dict[str, str]:
    """The SHA-256 of every file that a version has, but for the manifest's own."""
    try:
        if manifest.stat().st_size > MAX_MANIFEST_BYTES:
            raise DifferentError(f"{MANIFEST} is damaged: it is too large")
        content = json.loads(manifest.read_bytes())
    except OSError as error:
        raise _unreadable(MANIFEST, error) from None
    except (ValueError, RecursionError):
        raise DifferentError(f"{MANIFEST} is damaged: it is not JSON") from None

    if not isinstance(content, dict):
        raise DifferentError(f"{MANIFEST} is damaged: it is not an object")
    files, beside = content.get("files"), content.get("beside", {})
    for field, value in (("files", files), ("beside", beside)):
        if not _are_digests(value):
            raise DifferentError(f"{MANIFEST} is damaged: {field} is no table of SHA-256s")

    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    if not files or content.get("digest") != own:
        raise DifferentError(f"{MANIFEST} is damaged: digest is not that of files")
    return {**files, **beside}


def _are_digests(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        for digest in value.values()
    )


def _sha256(path: Path) -> tuple[str, tuple[int, ...]]:
    """The SHA-256 of a file, and which file it is."""
    with path.open("rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        return hashlib.file_digest(file, "sha256").hexdigest(), stamp


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _stamp_now(path: Path) -> tuple[int, ...] | None:
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _shown(name: str) -> str:
    """A name that fits into a line."""
    shown = name if name.isprintable() else repr(name)
    return shown if len(shown) <= NUM_SHOWN else f"{shown[:NUM_SHOWN]}..."
