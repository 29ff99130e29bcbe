"""Files where libraries and workers need them.

The same code for a local folder and for gs://, shard by shard.

A local path is used as it is. Under gs:// a file is read by way of a local copy and written by way
of a local file whose upload is one request: the object appears whole or not at all, and a bundle
that is tried again rewrites it. Copies of finished things are kept in a cache (SEQLINE_CACHE, or
~/.cache/seqline): by the content's digest, so that no clock decides what is new.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import cast

from seqline.storage import gcs
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.path import GsPath

# Single files in the cache: the least recently used go when they are more, but never the newest
# ones, which somebody is about to open.
CACHE_BYTES = int(float(os.environ.get("SEQLINE_CACHE_GB", "10")) * (1 << 30))
NUM_KEPT = 64
# Folders are small; one that nobody used for so long goes.
UNUSED_SECONDS = 7 * 24 * 3600


def path_of(place: str | Path) -> Path:
    """A Path for a local place, a GsPath for one under gs://.

    Components ask no more of a Path than a GsPath can do.
    """
    if is_remote(str(place)):
        return cast(Path, GsPath(str(place)))
    return Path(place)


@contextmanager
def reading(path: str | Path) -> Iterator[str]:
    """The name of a local file with the content of `path`, as long as the block lasts.

    Raises DataError where there is none.
    """
    with reading_all([path]) as names:
        yield names[0]


@contextmanager
def reading_all(paths: Sequence[str | Path]) -> Iterator[list[str]]:
    """`reading` for many files, which are all on disk at once."""
    names = [str(path) for path in paths]
    if not any(map(is_remote, names)):
        yield names
        return
    with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
        copies = [str(Path(folder, str(number))) for number in range(len(names))]
        gcs.at_once(_download, zip(names, copies, strict=True))
        yield copies


@contextmanager
def writing(path: str | Path) -> Iterator[str]:
    """The name of a local file to write.

    `path` gets its content when the block ends well, whole or not at all.
    """
    name = str(path)
    if is_remote(name):
        with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
            yield str(Path(folder, "file"))
            _upload(Path(folder, "file"), name)
        return
    part = f"{name}.{uuid.uuid4().hex}.part"
    try:
        yield part
        os.replace(part, name)
    finally:
        Path(part).unlink(missing_ok=True)


@contextmanager
def local_folder(place: str | Path) -> Iterator[Path]:
    """A local folder with what lies at a place.

    What is new in it goes there when the block ends well. A local folder is itself.
    """
    source = path_of(place)
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="seqline-") as name:
        folder = Path(name, "folder")
        _download_folder(
            [(path, str(path.relative_to(source))) for path, *_ in source.beneath()], folder
        )
        before = set(folder.rglob("*"))
        yield folder
        upload(folder, source, [path for path in folder.rglob("*") if path not in before])


def upload(folder: Path, target: Path, files: Sequence[Path] | None = None) -> None:
    """Puts the files of a local folder, or some of them, under a GsPath."""
    chosen = folder.rglob("*") if files is None else files
    gcs.at_once(
        _upload,
        [
            (path, str(target / path.relative_to(folder).as_posix()))
            for path in sorted(chosen)
            if path.is_file()
        ],
    )


def remove(place: str | Path) -> None:
    """Removes a folder with all that lies in it; one that is not there is no error."""
    path = path_of(place)
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
        return
    gcs.at_once(lambda each: each.unlink(), [(each,) for each, *_ in path.beneath()])


def local_copy(place: Path) -> Path:
    """A local folder of the same name with the files of a finished one, from the cache if it was
    needed before; not to be changed.
    """
    if isinstance(place, Path):
        return place
    found = list(place.beneath())
    names = [(path, str(path.relative_to(place))) for path, *_ in found]
    contents = [
        f"{name} {content}" for (_, name), (_, _, content) in zip(names, found, strict=True)
    ]
    target = _cache("folders") / _digest(place.name, *contents)
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as part:
            _download_folder(names, Path(part, "copy", place.name))
            with suppress(OSError):  # another process was faster
                os.rename(Path(part, "copy"), target)
        _forget_folders(target.parent)
    os.utime(target)
    return target / place.name


def fetch(path: str, content: str) -> str:
    """The name of a local copy of an object whose content has this digest (as
    `seqline.storage.files.match` tells it), from the cache.

    Open it soon: the cache keeps to CACHE_BYTES, and makes room for others.
    """
    target = _cache("files") / _digest(content)
    try:
        os.utime(target)
    except FileNotFoundError:
        with writing(target) as part:
            _download(path, part)
        _make_room(target.parent)
    return str(target)


def _cache(kind: str) -> Path:
    base = (
        os.environ.get("SEQLINE_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqline"
    )
    folder = Path(base) / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _make_room(folder: Path) -> None:
    found = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process made room, too
            found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = 0
    for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total += size
        if total > CACHE_BYTES and number >= NUM_KEPT:
            Path(path).unlink(missing_ok=True)


def _forget_folders(folder: Path) -> None:
    for entry in os.scandir(folder):
        with suppress(OSError):  # another process was faster
            if entry.stat().st_mtime < time.time() - UNUSED_SECONDS:
                shutil.rmtree(entry.path)


def _download_folder(names: Sequence[tuple[Path, str]], folder: Path) -> None:
    """names: (GsPath, where in the folder)."""
    for name in {"", *(str(Path(name).parent) for _, name in names)}:
        assert ".." not in Path(name).parts, name
        (folder / name).mkdir(parents=True, exist_ok=True)
    gcs.at_once(_download, [(str(path), str(folder / name)) for path, name in names])


def _download(path: str, target: str) -> None:
    if not is_remote(path):
        shutil.copyfile(path, target)
        return
    with translate_errors(path):
        gcs.download(path, Path(target))


def _upload(file: Path, path: str) -> None:
    with translate_errors(path):
        gcs.write_object(path, file)
