"""Objects in buckets: the one interface to every object store.

A path is <scheme>://<bucket>/<name>. Google Cloud Storage (gs://) is reached by its own library:
`seqline.storage.gcs`. Use the functions under `seqline.storage.files.translate_errors`, which
turns the errors of a service's library into sentences.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from seqline.errors import UserError
from seqline.storage import gcs

SCHEMES = (gcs.PREFIX,)
# What tells one content of an object from the next. Only its service understands it.
Version = int
# In place of a version: the object must not exist.
ABSENT: Version = 0
# As many connections as a client keeps.
NUM_AT_ONCE = 10


def is_remote(path: str) -> bool:
    """Whether a path names an object, or a place, in a bucket."""
    return path.startswith(SCHEMES)


def split(path: str) -> tuple[str, str, str]:
    """(scheme with ://, bucket, name) of a path in a bucket."""
    scheme, mark, rest = path.partition("://")
    bucket, _, name = rest.partition("/")
    return scheme + mark, bucket, name


def find(prefix: str, glob: str | None = None) -> Iterator[tuple[str, int, str]]:
    """Yields (path, size in bytes, digest of the content) of every object with this prefix.

    Args:
        prefix: <scheme>://<bucket>/ and the beginning of a name.
        glob: a hint for the service, which matches it against the names after the bucket. A
            service may ignore it, so the caller must match, too.
    """
    return gcs.find(prefix, glob)


def newest(prefix: str, end: str) -> str | None:
    """The path of the object that was written last, of those named <prefix><one name><end>.

    Returns:
        None where no such object exists.
    """
    return gcs.newest(prefix, end)


def open_object(path: str) -> BinaryIO:
    """Opens the bytes of an object as they are stored, seekable.

    They all belong to the version that exists now, even if the object is replaced meanwhile.

    Raises:
        FileNotFoundError: the object does not exist.
    """
    return gcs.open_object(path)


def first_bytes(path: str, num: int) -> bytes:
    """The first bytes of an object as they are stored, by one request."""
    return gcs.first_bytes(path, num)


def read(path: str) -> bytes | None:
    """The content of a small object, by one request; None where it does not exist."""
    return gcs.read(path)


def read_object(path: str) -> tuple[bytes, Version] | None:
    """(content, version) of a small object; None where it does not exist."""
    return gcs.read_object(path)


def write_object(
    path: str, content: bytes | Path, version: Version | None = None
) -> Version | None:
    """Writes an object from bytes or from a file. It appears whole or not at all.

    Args:
        path: the object.
        content: bytes, or a local file.
        version: the one that the object must have now, ABSENT if it must not exist; None for any.

    Returns:
        The object's new version; None if it had another one, and nothing was written. Also None
        where the answer to a first try was lost, and the second try met what the first one wrote.
    """
    return gcs.write_object(path, content, version)


def delete_object(path: str) -> None:
    """Deletes an object if it exists."""
    gcs.delete_object(path)


def give_up(path: str, version: Version) -> None:
    """Deletes an object, if this is its version."""
    gcs.delete_object(path, version)


def is_object(path: str) -> bool:
    """Whether an object of exactly this name exists."""
    return gcs.is_object(path)


def written(path: str) -> datetime | None:
    """The time at which an object was written, by the service's clock; None without an object."""
    return gcs.written(path)


def download(path: str, target: Path) -> None:
    """Writes an object's bytes as they are stored into a local file, and checks them."""
    gcs.download(path, target)


def copy_object(source: str, target: str) -> None:
    """Copies an object inside the service, over whatever the target was."""
    gcs.copy_object(source, target)


def at_once(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> None:
    """Calls a function with each tuple of arguments, several at once, as a request mostly waits.

    Raises the first error that a call raises.
    """
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        for future in [pool.submit(function, *call) for call in arguments]:
            future.result()


def cause_of(path: str, error: Exception) -> UserError | None:
    """The UserError that an error of a service's library stands for; None for other errors."""
    return gcs.cause_of(path, error)
