"""Lists, reads, writes and deletes objects of S3 (s3://) and of Azure Blob Storage (az://).

The functions of `seqline.storage.gcs`, over obstore, which is imported when the first such path is
met. It reads the variables of both services' own tools: AWS_ACCESS_KEY_ID, AWS_REGION,
AWS_ENDPOINT_URL, AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ENDPOINT and so on. Errors are raised as
sentences. A version is an object's ETag; on S3 it is the MD5 of the content, and comes back with
the content. obstore must not be used on both sides of a fork.
"""

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from seqline.errors import DataError, UserError
from seqline.host import packages
from seqline.storage import store_errors

S3, AZURE = "s3://", "az://"
PREFIXES = (S3, AZURE)
# One request fetches this much of an object: a shard of 32 MiB takes four.
READ_BYTES = 8 << 20
# A larger file is uploaded in parts of this size, two at once.
PART_BYTES = 16 << 20
NUM_PARTS = 2
LIST_CHUNK = 1000
NUM_AT_ONCE = 10
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
# A first answer must come soon: a person waits for it. In the middle of a long run a service may
# fail for longer.
FIRST_ANSWER_SECONDS = 10.0
READ_SECONDS = 120.0
READ_TRIES = 5
# Of one request: to connect, until the next bytes come, and for all of it.
FIRST_TIMEOUTS = {"connect_timeout": "4s", "read_timeout": "8s", "timeout": "10min"}
TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "10min"}
# The attribute of an object that says what was uploaded.
CHECKSUM = "sha256"
# The content of an object that was given up: obstore has no conditional delete.
GIVEN_UP = b""

# (scheme and bucket, settings) that answered in this process.
_answered: set[tuple[str, tuple[tuple[str, str], ...]]] = set()


def find(prefix: str) -> Iterator[tuple[str, int, str]]:
    """See `objects.find`.

    The digest is the ETag. On Azure that is a time: it differs between equal contents, and tells
    nothing without the object's name.
    """
    for path, meta in _list(prefix):
        version = (meta["e_tag"] or "").strip('"')  # Azure lists it without
        content = f"etag:{version}:{meta['size']}"
        yield path, int(meta["size"]), f"{content}:{path}" if path.startswith(AZURE) else content


def newest(prefix: str, end: str) -> str | None:
    """See `objects.newest`."""
    candidates = [
        (meta["last_modified"], path)
        for path, meta in _list(prefix)
        if path.endswith(end) and path.removeprefix(prefix).count("/") == end.count("/")
    ]
    return max(candidates)[1] if candidates else None


def _list(prefix: str) -> Iterator[tuple[str, Any]]:
    import obstore

    top, name = _split(prefix)
    # The service is asked for whole parts of a name.
    folder = name.rpartition("/")[0]
    with _asking(prefix) as store:
        for chunk in obstore.list(store, folder or None, chunk_size=LIST_CHUNK):
            listed = {f"{top}{meta['path']}": meta for meta in chunk}
            listed = {path: meta for path, meta in listed.items() if path.startswith(prefix)}
            marks = _marks([path for path, meta in listed.items() if meta["size"] == 0])
            yield from (item for item in listed.items() if item[0] not in marks)


def _marks(empty: list[str]) -> set[str]:
    """Those of the empty objects that are a console's marks for folders.

    Their names end with a slash, which obstore cuts off: it does not find them by what is left.
    """
    if not empty or not empty[0].startswith(S3):
        return set()
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        exist = pool.map(is_object, empty)
    return {path for path, exists in zip(empty, exist, strict=True) if not exists}


class _Reader(io.RawIOBase):
    """The bytes of one version of an object."""

    def __init__(self, path: str) -> None:
        import obstore

        self._path = path
        with _asking(path) as store:
            meta = obstore.head(store, _split(path)[1])
        self._size = meta["size"]
        self._version = meta["e_tag"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        import obstore
        from obstore.exceptions import PreconditionError

        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0

        try:
            with _asking(self._path) as store:
                found = obstore.get(
                    store,
                    _split(self._path)[1],
                    options={"range": (self._position, end), "if_match": self._version},
                )
                content = found.bytes()
        except PreconditionError:
            raise DataError(
                f"{self._path} changed while it was read. Wait until it is written, and run again."
            ) from None

        view[: len(content)] = memoryview(content)
        self._position += len(content)
        return len(content)

    def readall(self) -> bytes:
        """The rest. io's own would ask for 8 KiB at a time."""
        return b"".join(iter(lambda: self.read(READ_BYTES) or b"", b""))


def open_object(path: str) -> BinaryIO:
    """See `objects.open_object`."""
    return io.BufferedReader(_Reader(path), READ_BYTES)


def first_bytes(path: str, num: int) -> bytes:
    """See `objects.first_bytes`. An empty object has no range."""
    reader = _Reader(path)
    content = bytearray(num)
    return bytes(content[: reader.readinto(content)])


def read(path: str) -> bytes | None:
    """See `objects.read`."""
    found = read_object(path)
    return found[0] if found else None


def read_object(path: str) -> tuple[bytes, str] | None:
    """See `objects.read_object`. One request: content and version belong together."""
    import obstore

    with suppress(FileNotFoundError), _asking(path) as store:
        found = obstore.get(store, _split(path)[1])
        return bytes(found.bytes()), str(found.meta["e_tag"])
    return None


def write_object(path: str, content: bytes | Path, version: str | int | None = None) -> str | None:
    """See `objects.write_object`. A version makes obstore read a file into memory."""
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    if isinstance(content, Path):
        with content.open("rb") as file:
            checksum = hashlib.file_digest(file, CHECKSUM).hexdigest()
    else:
        checksum = hashlib.new(CHECKSUM, content).hexdigest()
    is_anything = version is None
    mode: Any = "overwrite" if is_anything else {"e_tag": version} if version else "create"

    started = time.monotonic()
    while True:
        try:
            with _asking(path) as store:
                result = obstore.put(
                    store,
                    _split(path)[1],
                    content,
                    attributes={CHECKSUM: checksum},
                    mode=mode,
                    chunk_size=PART_BYTES,
                    max_concurrency=NUM_PARTS,
                )
            return str(result["e_tag"])
        except (AlreadyExistsError, PreconditionError):
            return None
        except store_errors.NoAnswerError:
            # obstore itself tries again only what has no condition.
            if is_anything or time.monotonic() - started > _patience(path):
                raise
            time.sleep(1.0)


def checksum(path: str) -> str | None:
    """The SHA-256 of an object that `write_object` wrote, in hexadecimal digits, by one request.

    Returns:
        None for an object of another program.
    """
    import obstore

    with _asking(path) as store:
        found = obstore.get(store, _split(path)[1])
        return _attribute(found)


def _attribute(found: Any) -> str | None:
    return {str(name): value for name, value in found.attributes.items()}.get(CHECKSUM)


def delete_object(path: str) -> None:
    """See `objects.delete_object`."""
    import obstore

    with suppress(FileNotFoundError), _asking(path) as store:
        obstore.delete(store, _split(path)[1])


def give_up(path: str, version: str) -> None:
    """Makes an object empty, if this is its version."""
    write_object(path, GIVEN_UP, version)


def is_object(path: str) -> bool:
    """See `objects.is_object`."""
    return written(path) is not None


def written(path: str) -> datetime | None:
    """See `objects.written`."""
    import obstore

    with suppress(FileNotFoundError), _asking(path) as store:
        return obstore.head(store, _split(path)[1])["last_modified"]
    return None


def download(path: str, target: Path) -> None:
    """See `objects.download`: the length, and the checksum of what `write_object` wrote."""
    for number in range(READ_TRIES):
        try:
            problem = _download(path, target)
        except store_errors.NoAnswerError:
            if number == READ_TRIES - 1:
                raise
            continue  # it broke off in the middle
        if not problem:
            return
    raise DataError(f"{path} cannot be downloaded: {problem}. Check the network and run again.")


def _download(path: str, target: Path) -> str:
    """The fault of what came, "" for none."""
    import obstore

    checksum = hashlib.new(CHECKSUM)
    size = 0
    with _asking(path) as store, target.open("wb") as file:
        found = obstore.get(store, _split(path)[1])
        for chunk in found.stream(min_chunk_size=1 << 20):
            file.write(chunk)
            checksum.update(chunk)
            size += len(chunk)

    expected = _attribute(found)
    if size != found.meta["size"]:
        return f"{size} of {found.meta['size']} bytes came"
    if expected and expected != checksum.hexdigest():
        return "its bytes are not those that were uploaded"
    return ""


def copy_object(source: str, target: str) -> None:
    """See `objects.copy_object`. From one bucket to another by way of this machine."""
    import obstore

    (from_top, from_name), (to_top, to_name) = _split(source), _split(target)
    if from_top == to_top:
        with _asking(source) as store:
            obstore.copy(store, from_name, to_name)
        return

    with tempfile.TemporaryDirectory(prefix="seqline-") as folder:
        download(source, Path(folder, "file"))
        write_object(target, Path(folder, "file"))


def _split(path: str) -> tuple[str, str]:
    """(scheme and bucket with the slash, name)."""
    scheme, mark, rest = path.partition("://")
    bucket, _, name = rest.partition("/")
    return f"{scheme}{mark}{bucket}/", name


@contextmanager
def _asking(path: str) -> Iterator[Any]:
    """The store of a path; errors become sentences within the block.

    A missing object stays a FileNotFoundError, a condition that does not hold obstore's own error.
    """
    store = key(path)
    _need_library()
    with store_errors.translated(path):
        yield _store_of(*store, is_known=store in _answered)
    _answered.add(store)


@cache
def _need_library() -> None:
    packages.need("What lies under s3:// or az://", packages.OBJECT_STORES)


def _patience(path: str) -> float:
    return READ_SECONDS if key(path) in _answered else FIRST_ANSWER_SECONDS


def key(path: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(scheme and bucket, settings in the environment), which together name a store."""
    top, name = _split(path)
    if top in (f"{S3}/", f"{AZURE}/") or (not name and not path.endswith("/")):
        raise UserError(f"{path!r} names no object: {path[:5]}<bucket>/<path>.")
    names = ("AWS_", "AZURE_")
    return top, tuple(sorted(item for item in os.environ.items() if item[0].startswith(names)))


@cache
def _store_of(top: str, settings: tuple[tuple[str, str], ...], is_known: bool) -> Any:
    from obstore.store import AzureStore, S3Store

    is_s3 = top.startswith(S3)
    given_by = dict(settings)
    names = S3_ENDPOINTS if is_s3 else AZURE_ENDPOINTS
    endpoint = next((given_by[name] for name in names if given_by.get(name)), "")

    # Options that are given here hide those of the environment, such as AWS_ALLOW_HTTP.
    options = TIMEOUTS if is_known else FIRST_TIMEOUTS
    seconds = READ_SECONDS if is_known else FIRST_ANSWER_SECONDS
    given: dict[str, Any] = {
        "client_options": {**options, "allow_http": endpoint.startswith("http:")},
        "retry_config": {"max_retries": 60, "retry_timeout": timedelta(seconds=seconds)},
    }
    if endpoint:
        given["endpoint"] = endpoint
    return (S3Store if is_s3 else AzureStore).from_url(top, **given)
