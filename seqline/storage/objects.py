"""Objects in buckets: the one interface to every object store.

A path is <scheme>://<bucket>/<name>. Google Cloud Storage (gs://) is reached by its own library
(`seqline.storage.gcs`), S3 (s3://) and Azure Blob Storage (az://) by obstore
(`seqline.storage.s3_azure`). Use the functions under `seqline.storage.files.translate_errors`,
which turns the errors of a service's library into sentences.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from seqline.errors import UserError
from seqline.storage import gcs, s3_azure

SCHEMES = (gcs.PREFIX, *s3_azure.PREFIXES)
NAMES = "gs://, s3:// or az://"
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
ONE_SLASH = re.compile(r"((?:gs|s3|az):)/(?!/)")
# What tells one content of an object from the next. Only its service understands it.
Version = int | str
# In place of a version: the object must not exist.
ABSENT: Version = 0
# As many connections as a client keeps.
NUM_AT_ONCE = 10


def is_remote(path: str) -> bool:
    """Whether a path names an object, or a place, in a bucket."""
    return path.startswith(SCHEMES)


def is_google(path: str) -> bool:
    """Whether a path is in Google Cloud Storage, which alone Dataflow's workers reach."""
    return path.startswith(gcs.PREFIX)


def problem_of(place: str) -> str | None:
    """Why a place cannot be reached, the end of a sentence that begins with its name; None if not.

    A folder's name may hold no ://.
    """
    if is_remote(place):
        return None
    if scheme := SCHEME.match(place):
        return (
            f"is under {scheme[0]}, which cannot be reached: name a folder, or a place under "
            f"{NAMES}"
        )
    if one_slash := ONE_SLASH.match(place):
        return f"has one slash after its scheme; write {one_slash[1]}//<bucket>/<path>"
    return None


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
    return gcs.find(prefix, glob) if is_google(prefix) else s3_azure.find(prefix)


def newest(prefix: str, end: str) -> str | None:
    """The path of the object that was written last, of those named <prefix><one name><end>.

    Returns:
        None where no such object exists.
    """
    return gcs.newest(prefix, end) if is_google(prefix) else s3_azure.newest(prefix, end)


def open_object(path: str) -> BinaryIO:
    """Opens the bytes of an object as they are stored, seekable.

    They all belong to the version that exists now, even if the object is replaced meanwhile.

    Raises:
        FileNotFoundError: the object does not exist.
    """
    return gcs.open_object(path) if is_google(path) else s3_azure.open_object(path)


def first_bytes(path: str, num: int) -> bytes:
    """The first bytes of an object as they are stored, by one request."""
    return gcs.first_bytes(path, num) if is_google(path) else s3_azure.first_bytes(path, num)


def read(path: str) -> bytes | None:
    """The content of a small object, by one request; None where it does not exist."""
    return gcs.read(path) if is_google(path) else s3_azure.read(path)


def read_object(path: str) -> tuple[bytes, Version] | None:
    """(content, version) of a small object; None where it does not exist."""
    return gcs.read_object(path) if is_google(path) else s3_azure.read_object(path)


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
    if not is_google(path):
        return s3_azure.write_object(path, content, version)
    assert not isinstance(version, str), version
    return gcs.write_object(path, content, version)


def delete_object(path: str) -> None:
    """Deletes an object if it exists."""
    if is_google(path):
        gcs.delete_object(path)
    else:
        s3_azure.delete_object(path)


def give_up(path: str, version: Version) -> None:
    """Deletes an object, if this is its version.

    S3 and Azure have no such delete: there the object becomes empty.
    """
    if isinstance(version, str):
        s3_azure.give_up(path, version)
    else:
        gcs.delete_object(path, version)


def is_object(path: str) -> bool:
    """Whether an object of exactly this name exists."""
    return gcs.is_object(path) if is_google(path) else s3_azure.is_object(path)


def written(path: str) -> datetime | None:
    """The time at which an object was written, by the service's clock; None without an object."""
    return gcs.written(path) if is_google(path) else s3_azure.written(path)


def download(path: str, target: Path) -> None:
    """Writes an object's bytes as they are stored into a local file, and checks them."""
    if is_google(path):
        gcs.download(path, target)
    else:
        s3_azure.download(path, target)


def checksum(path: str) -> str | None:
    """The SHA-256 of an object that `write_object` wrote; None where it is not known.

    Google Cloud Storage is not asked: its listings have digests of contents.
    """
    return None if is_google(path) else s3_azure.checksum(path)


def copy_object(source: str, target: str) -> None:
    """Copies an object inside its service, over whatever the target was.

    From one service to another it goes by way of this machine.
    """
    if is_google(source) and is_google(target):
        gcs.copy_object(source, target)
    elif not is_google(source) and not is_google(target):
        s3_azure.copy_object(source, target)
    else:
        with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
            download(source, Path(folder, "file"))
            write_object(target, Path(folder, "file"))


def at_once(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> None:
    """Calls a function with each tuple of arguments, several at once, as a request mostly waits.

    Raises the first error that a call raises.
    """
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        for future in [pool.submit(function, *call) for call in arguments]:
            future.result()


def cause_of(path: str, error: Exception) -> UserError | None:
    """The UserError that an error of a service's library stands for; None for other errors.

    s3_azure raises UserErrors itself.
    """
    return gcs.cause_of(path, error) if is_google(path) else None
