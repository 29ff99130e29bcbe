"""Files to read, local or under gs://.

List, open, digest. Nothing of Google is imported before a path begins with gs://.

A digest that was made once is remembered by the file's identity, so that a second run need not read
terabytes again.
"""

import fnmatch
import glob
import gzip
import io
import json
import os
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.storage import gcs

GZIP_MAGIC = b"\x1f\x8b\x08"
READ_BYTES = 1 << 20
# A file that changes again within the clock's grain keeps its time of change (git's "racy"
# entries).
RACY_NS = 2_000_000_000

# Absolute path -> [size, mtime_ns, ctime_ns, inode, digest].
Remembered = dict[str, list[Any]]


@dataclass(frozen=True)
class File:
    """A file as it was listed. size.

    Bytes. content: its digest where that is known without reading it (gs://).
    """

    path: str
    size: int
    content: str | None = None


def is_remote(path: str) -> bool:
    """Whether a path is an object of Google Cloud Storage."""
    return path.startswith(gcs.PREFIX)


def match(pattern: str) -> list[File]:
    """The files of a name or a glob (`*`, `?`, `[...]`, `**`), in the order of their names.

    None where nothing matches.

    Raises UserError for a bucket that cannot be listed.
    """
    if is_remote(pattern):
        with translate_errors(pattern):
            # An object's own name may hold brackets, too.
            wanted = re.compile(f"(?:{re.escape(pattern)}|{translate(pattern)})", re.DOTALL)
            found = gcs.find(re.split(r"[*?\[]", pattern, maxsplit=1)[0])
            return sorted(
                (File(*each) for each in found if wanted.fullmatch(each[0])),
                key=lambda file: file.path,
            )
    # A file's own name first: it may hold brackets.
    names = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern, recursive=True))
    return [stat(name) for name in names if os.path.isfile(name)]


def stat(path: str) -> File:
    """One local file. Raises DataError for one that is not there."""
    with translate_errors(path):
        return File(path, os.stat(path).st_size)


def translate(pattern: str) -> str:
    """The regular expression of a glob, or of a part of one that ends between two of its wildcards."""
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if token.startswith("[") and len(token) > 1:
            parts.append(fnmatch.translate(token).removeprefix("(?s:").removesuffix(r")\Z"))
        else:
            parts.append(
                {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token)
                or re.escape(token)
            )
    return "".join(parts)


def open_content(path: str) -> BinaryIO:
    """The content from its first byte, decompressed where the name ends in .gz.

    A plain file can be sought. Use it under `translate_errors`.
    """
    if not path.endswith(".gz"):
        return open_file(path)
    # Lines are found by the buffer, in C.
    return io.BufferedReader(_Unzipped(open_file(path)), READ_BYTES)


class _Unzipped(io.RawIOBase):
    """A gzip file that hands over what it has unzipped before it meets damage."""

    def __init__(self, zipped: BinaryIO) -> None:
        self.zipped = zipped
        self.file = gzip.GzipFile(fileobj=zipped)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.file.read1(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self.file.close()
        self.zipped.close()
        super().close()


class _Counted(io.FileIO):
    """A file that tells how much of it was read."""

    def readinto(self, buffer: Any) -> int:
        num = super().readinto(buffer)
        progress.count_bytes(num)
        return num

    def readall(self) -> bytes:
        content = super().readall()
        progress.count_bytes(len(content))
        return content


def open_file(path: str) -> BinaryIO:
    """The bytes as they lie there; can be sought. Use it under `translate_errors`."""
    return (
        gcs.open_object(path) if is_remote(path) else io.BufferedReader(_Counted(path), READ_BYTES)
    )


@contextmanager
def translate_errors(path: str, place: Callable[[], str] = str) -> Iterator[None]:
    """Errors of reading a file as a UserError or DataError of one line.

    Place() says how far the reading got.
    """
    try:
        yield
    except UserError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, place(), error) from error
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is not there; was it moved while it was needed? Put it back and run again."
        ) from error
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); give this user the right to read it."
        ) from error
    except Exception as error:
        if is_remote(path) and (cause := gcs.cause_of(path, error)):
            raise cause from error
        if isinstance(error, OSError):
            raise DataError(
                f"{path} cannot be read{place()}: {error.strerror or error}."
            ) from error
        raise


def damaged(path: str, place: str, cause: object) -> DataError:
    """The error for a file whose bytes are not what its format asks for."""
    return DataError(
        f"{path} is damaged{place}: {str(cause).rstrip('.')}. Make or copy the file again, or take"
        " it out of the source."
    )


# Digests


@contextmanager
def remembering(memory: Path | None) -> Iterator[Remembered]:
    """The digests in a file, which gets the new ones when the block ends.

    A memory that is broken or cannot be written is none.

    Raises nothing of its own; writes by a rename, so that two runs may share the file.
    """
    remembered = _load(memory)
    before = dict(remembered)
    try:
        yield remembered
    finally:  # what was read before an error or Ctrl-C need not be read again
        if memory is not None and remembered != before:
            _save(remembered, memory)


def _save(remembered: Remembered, memory: Path) -> None:
    part = memory.with_name(f"{memory.name}.{uuid.uuid4().hex}")
    with suppress(OSError):
        try:
            part.write_text(json.dumps(remembered), encoding="utf-8")
            part.replace(memory)
        finally:
            part.unlink(missing_ok=True)


def _load(memory: Path | None) -> Remembered:
    try:
        content = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        path: entry
        for path, entry in content.items()
        if isinstance(entry, list) and len(entry) == 5 and isinstance(entry[4], str)
    }


def digest(file: File, remembered: Remembered) -> str:
    """The digest of a file's content.

    It follows neither place nor times. BLAKE2b, for gs:// what the listing says.

    `remembered` gains an entry, unless the file is so young that it might change once more without
    a trace. Raises DataError for a file that cannot be read.
    """
    if file.content is not None:
        return file.content
    key = os.path.abspath(file.path)
    with translate_errors(file.path):
        started = time.time_ns()
        identity = _identity(file.path)
        entry = remembered.get(key)
        if entry and entry[:4] == identity:
            return str(entry[4])
        found = _blake2b(file.path)
        if _identity(file.path) == identity and max(identity[1], identity[2]) < started - RACY_NS:
            remembered[key] = [*identity, found]
        else:
            remembered.pop(key, None)
    return found


def _identity(path: str) -> list[int]:
    found = os.stat(path)
    # The time of the inode's change, too: the time of the content's change can be set back by
    # whoever writes it.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _blake2b(path: str) -> str:
    content = blake2b(digest_size=32)
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            content.update(block)
    return content.hexdigest()
