"""Files to read, local or in a bucket: list, open, digest.

No library of an object store is imported before a path in one is met. A digest that was computed
once is kept with the file's identity, so that a second run does not read terabytes again.
"""

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.storage import compression, listing, objects
from seqline.storage.atomic import writing_local
from seqline.storage.listing import translate

READ_BYTES = 1 << 20
# A file that changes again within the clock's grain keeps its time of change (git's "racy"
# entries).
RACY_NS = 2_000_000_000

# Absolute path -> [size, mtime_ns, ctime_ns, inode, digest].
DigestCache = dict[str, list[Any]]


@dataclass(frozen=True)
class File:
    """A file as it was listed.

    Attributes:
        path: Where it is.
        size: Bytes.
        content: Its digest, where that is known without reading it (in a bucket).
    """

    path: str
    size: int
    content: str | None = None


def is_remote(path: str) -> bool:
    """Whether a path is an object of Google Cloud Storage."""
    return objects.is_remote(path)


def match(pattern: str) -> list[File]:
    """The files that a name or a glob matches, in the order of their names.

    Args:
        pattern: a path, or a glob with `*`, `?`, `[...]` and `**`.

    Raises:
        UserError: the bucket cannot be listed, or a file cannot be read.
        DataError: a link leads nowhere.
    """
    if is_remote(pattern):
        with translate_errors(pattern):
            # An object's own name may hold brackets, too.
            whole = f"{re.escape(pattern)}|{translate(pattern, brackets=True)}"
            wanted = re.compile(whole, re.DOTALL)
            listed = objects.find(re.split(r"[*?\[]", pattern, maxsplit=1)[0])
            files = [File(*entry) for entry in listed if wanted.fullmatch(entry[0])]
        return sorted(files, key=lambda file: file.path)

    return [File(entry.path, entry.size) for entry in listing.glob(pattern).files]


def stat(path: str) -> File:
    """One local file.

    Raises:
        DataError: it does not exist.
        UserError: it is a folder, or cannot be read.
    """
    with translate_errors(path):
        os.stat(path)

    (entry,) = listing.glob(path).entries
    if entry.is_folder:
        raise UserError(f"{path} is a folder: name a file.")
    return File(path, entry.size)


def open_content(path: str) -> BinaryIO:
    """Opens a file, decompressed if it is compressed; use it under `translate_errors`.

    Its content tells, not its name. Only a file that is not compressed is seekable.

    Raises:
        UserError: It is of a kind that holds no rows, such as an archive of several files.
    """
    file = open_file(path)
    try:
        return compression.opened(file, path)
    except BaseException:
        file.close()
        raise


class _Counted(io.FileIO):
    """A file that reports how many of its bytes were read."""

    def readinto(self, buffer: Any) -> int:
        num = super().readinto(buffer)
        progress.count_bytes(num)
        return num

    def readall(self) -> bytes:
        content = super().readall()
        progress.count_bytes(len(content))
        return content


def first_bytes(path: str) -> bytes:
    """The first bytes of a file as they are stored; use it under `translate_errors`."""
    if is_remote(path):
        return objects.first_bytes(path, READ_BYTES)
    with open(path, "rb") as file:
        return file.read(READ_BYTES)


def open_file(path: str) -> BinaryIO:
    """Opens a file's bytes as they are stored, seekable; use it under `translate_errors`."""
    if is_remote(path):
        return objects.open_object(path)
    return io.BufferedReader(_Counted(path), READ_BYTES)


@contextmanager
def translate_errors(path: str, place: Callable[[], str] = str) -> Iterator[None]:
    """Turns errors of reading a file into a UserError or DataError of one line.

    Args:
        path: the file.
        place: says how far the reading got, such as " at row 12".
    """
    try:
        yield
    except UserError:
        raise
    except (EOFError, compression.DamagedError) as error:
        raise damaged(path, place(), error) from error
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist. Was it moved while it was needed? Put it back and run again."
        ) from error
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}). Give this user the right to read it."
        ) from error
    except Exception as error:
        if is_remote(path) and (cause := objects.cause_of(path, error)):
            raise cause from error
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise DataError(f"{path} cannot be read{place()}: {reason}.") from error
        raise


def damaged(path: str, place: str, cause: object) -> DataError:
    """The error for a file whose bytes are not what its format asks for."""
    return DataError(
        f"{path} is damaged{place}: {str(cause).rstrip('.')}. "
        "Make or copy the file again, or remove it from the source."
    )


def parse_object(content: bytes | str | None) -> dict[str, Any] | None:
    """The JSON object in a small file's content; None where it holds none."""
    try:
        value = json.loads(content) if content is not None else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# Digests


@contextmanager
def digest_cache(path: Path | None) -> Iterator[DigestCache]:
    """The digests that a file keeps; it gets the new ones when the block ends, however it ends.

    A cache that is damaged or cannot be written counts as empty. Two runs may share the file.

    Args:
        path: the cache's file, None to keep nothing.
    """
    cache = _load(path)
    before = dict(cache)
    try:
        yield cache
    finally:  # what was read before an error or Ctrl-C need not be read again
        if path is not None and cache != before:
            with suppress(OSError), writing_local(path) as part:
                Path(part).write_text(json.dumps(cache), encoding="utf-8")


def _load(path: Path | None) -> DigestCache:
    try:
        content = parse_object(path.read_bytes()) if path else None
    except OSError:
        return {}

    return {
        file: entry
        for file, entry in (content or {}).items()
        if isinstance(entry, list) and len(entry) == 5 and isinstance(entry[4], str)
    }


def digest(file: File, cache: DigestCache) -> str:
    """The digest of a file's content, which depends on neither place nor times.

    Args:
        file: as `match` or `stat` gives it.
        cache: gains an entry, unless the file is so young that it might change once more and keep
            its times.

    Returns:
        BLAKE2b; in a bucket the digest that the listing gave.

    Raises:
        DataError: the file cannot be read.
    """
    if file.content is not None:
        return file.content

    key = os.path.abspath(file.path)
    with translate_errors(file.path):
        started = time.time_ns()
        identity = _identity(file.path)
        entry = cache.get(key)
        if entry and entry[:4] == identity:
            return str(entry[4])

        content = _blake2b(file.path)
        is_old = max(identity[1], identity[2]) < started - RACY_NS
        if is_old and _identity(file.path) == identity:
            cache[key] = [*identity, content]
        else:
            cache.pop(key, None)

    return content


def _identity(path: str) -> list[int]:
    status = os.stat(path)
    # The time of the inode's change, too: a program that writes a file can set back the time of
    # its content's change.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _blake2b(path: str) -> str:
    content = blake2b(digest_size=32)
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            content.update(block)
    return content.hexdigest()
