"""Gives libraries and workers the files they need, local or in a bucket, shard by shard.

A local path is used as it is. A file in a bucket is read from a local copy. It is written into a
local file first, and uploaded by one request: the object appears whole or not at all, and a bundle
that is tried again rewrites it. Copies of finished artifacts are kept in a cache (SEQLINE_CACHE, or
~/.cache/seqline) under the digest of their content, so that no clock decides what is new.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import cast

from seqline.errors import UserError
from seqline.host.cache import cache_folder
from seqline.storage import integrity, objects
from seqline.storage.atomic import writing_local
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.path import ObjectPath

# Single files in the cache may take so many GB; then the least recently used ones are deleted. The
# newest NUM_KEPT stay: a process may be about to open them.
CACHE_GB = "SEQLINE_CACHE_GB"
DEFAULT_CACHE_GB = 10.0
NUM_KEPT = 64
# Folders are small. One that was not used for this long is deleted.
UNUSED_SECONDS = 7 * 24 * 3600
# The file beside the copy of a folder that says which of its files need not be read again.
VERIFIED = ".verified.json"


def path_of(place: str | Path) -> Path:
    """A Path for a local place, an ObjectPath for one in a bucket.

    The return type says Path for both: components use only the methods that ObjectPath has, too.

    Raises:
        UserError: it is under a scheme that is none of an object store.
    """
    if is_remote(str(place)):
        return cast(Path, ObjectPath(str(place)))
    if problem := objects.problem_of(str(place)):
        raise UserError(f"{str(place)!r} {problem}.")
    return Path(place)


@contextmanager
def reading(path: str | Path) -> Iterator[str]:
    """The name of a local file with the content of `path`, within the block.

    Raises:
        DataError: the object does not exist.
    """
    with reading_all([path]) as names:
        yield names[0]


@contextmanager
def reading_all(paths: Sequence[str | Path]) -> Iterator[list[str]]:
    """Like `reading`, for many files, which are all on disk at once."""
    names = [str(path) for path in paths]
    if not any(map(is_remote, names)):
        yield names
        return
    with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
        copies = [str(Path(folder, str(number))) for number in range(len(names))]
        objects.at_once(_download, zip(names, copies, strict=True))
        yield copies


@contextmanager
def writing(path: str | Path) -> Iterator[str]:
    """The name of a local file to write; `path` gets its content when the block ends well.

    A reader of `path` sees the old content or the new one, never a part.
    """
    name = str(path)
    if is_remote(name):
        with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
            yield str(Path(folder, "file"))
            _upload(Path(folder, "file"), name)
        return
    with writing_local(name) as part:
        yield part


@contextmanager
def local_folder(place: str | Path) -> Iterator[Path]:
    """A local folder with the files of a place, within the block.

    Files that the block adds are uploaded when it ends well. A local folder is used as it is.
    """
    source = path_of(place)
    if isinstance(source, Path):
        yield source
        return

    with tempfile.TemporaryDirectory(prefix="seqline-") as name:
        folder = Path(name, "folder")
        names = [(path, str(path.relative_to(source))) for path, *_ in source.beneath()]
        _download_folder(names, folder)
        before = set(folder.rglob("*"))
        yield folder
        new_files = [path for path in folder.rglob("*") if path not in before]
        upload(folder, source, new_files)


def upload(folder: Path, target: Path, files: Sequence[Path] | None = None) -> None:
    """Uploads the files of a local folder, or some of them, to an ObjectPath."""
    chosen = folder.rglob("*") if files is None else files
    uploads = [
        (path, str(target / path.relative_to(folder).as_posix()))
        for path in sorted(chosen)
        if path.is_file()
    ]
    objects.at_once(_upload, uploads)


def remove(place: str | Path) -> None:
    """Removes a folder with all that is in it, if it exists."""
    path = path_of(place)
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
        return
    objects.at_once(ObjectPath.unlink, [(blob,) for blob, *_ in path.beneath()])


def local_copy(place: Path, leave_out: str = "") -> Path:
    """A local folder with the files, and the name, of a finished one; do not change it.

    The cache keeps it. A copy that was damaged there is fetched again. A local folder is used as it
    is.

    Args:
        place: the folder.
        leave_out: the end of the names of files that are not needed.
    """
    if isinstance(place, Path):
        return place

    names = []
    contents = []
    digests = {}
    for path, size, content in place.beneath():
        name = str(path.relative_to(place))
        if leave_out and name.endswith(leave_out):
            continue
        names.append((path, name))
        contents.append(f"{name} {content}")
        digests[name] = integrity.of_object(size, content)

    target = _cache("folders") / _digest(place.name, *contents)
    copy, memory = target / place.name, target / VERIFIED
    if target.exists() and integrity.changes_in(copy, digests, memory=memory):
        shutil.rmtree(target, ignore_errors=True)
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as part:
            _download_folder(names, Path(part, "copy", place.name))
            with suppress(OSError):  # another process was faster
                os.rename(Path(part, "copy"), target)
        _forget_folders(target.parent)

    os.utime(target)
    return target / place.name


def fetch(
    path: str, content: str, cache_bytes: float | None = None, num_kept: int = NUM_KEPT
) -> str:
    """The name of a local copy of an object, from the cache.

    Open it soon: the cache makes room for other files.

    Args:
        path: the object.
        content: the digest of its content, as `seqline.storage.files.match` gives it.
        cache_bytes: the cache's limit; None for that of SEQLINE_CACHE_GB.
        num_kept: how many of the newest files stay even beyond the limit.
    """
    target = _cache("files") / _digest(content)
    try:
        os.utime(target)
    except FileNotFoundError:
        with writing(target) as part:
            _download(path, part)
        _make_room(target.parent, cache_limit() if cache_bytes is None else cache_bytes, num_kept)
    return str(target)


def cache_limit() -> float:
    """The bytes that single files in the cache may take.

    Raises:
        UserError: SEQLINE_CACHE_GB is not a number of 0 or more.
    """
    text = os.environ.get(CACHE_GB) or str(DEFAULT_CACHE_GB)
    with suppress(ValueError):
        if (limit := float(text)) >= 0:  # not where it is nan
            return limit * (1 << 30)
    raise UserError(f"{CACHE_GB} in the environment is {text!r}: give a number of GB, such as 10.")


def _cache(kind: str) -> Path:
    folder = cache_folder() / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _make_room(folder: Path, cache_bytes: float, num_kept: int) -> None:
    files = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process made room, too
            files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))

    total = 0
    for number, (_, size, path) in enumerate(sorted(files, reverse=True)):
        total += size
        if total > cache_bytes and number >= num_kept:
            Path(path).unlink(missing_ok=True)


def _forget_folders(folder: Path) -> None:
    for entry in os.scandir(folder):
        with suppress(OSError):  # another process was faster
            if entry.stat().st_mtime < time.time() - UNUSED_SECONDS:
                shutil.rmtree(entry.path)


def _download_folder(names: Sequence[tuple[Path, str]], folder: Path) -> None:
    """Downloads objects.

    Args:
        names: (the object, the file's path within the folder).
        folder: a local folder, which is made.
    """
    for subfolder in {Path(), *(Path(name).parent for _, name in names)}:
        assert ".." not in subfolder.parts, subfolder
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    objects.at_once(_download, [(str(path), str(folder / name)) for path, name in names])


def _download(path: str, target: str) -> None:
    if not is_remote(path):
        shutil.copyfile(path, target)
        return
    with translate_errors(path):
        objects.download(path, Path(target))


def _upload(file: Path, path: str) -> None:
    with translate_errors(path):
        objects.write_object(path, file)
