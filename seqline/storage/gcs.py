"""Lists, reads, writes and deletes objects of Google Cloud Storage.

google-cloud-storage is imported when the first gs:// path is met. If its variable
STORAGE_EMULATOR_HOST is set, every request goes to that host, without credentials. Use the
functions under `seqline.storage.files.translate_errors`, which turns the library's errors into
sentences.
"""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from seqline.errors import DataError, UserError
from seqline.host import packages

PREFIX = "gs://"
# One request fetches this much of an object: a shard of 32 MiB takes four.
READ_BYTES = 8 << 20
BUFFER_BYTES = 1 << 20
# A first answer must come soon: a person waits for it. In the middle of a long run a service may
# fail for longer.
FIRST_ANSWER_SECONDS = 10.0
READ_SECONDS = 120.0
READ_TRIES = 5
# Of one request, in seconds: to connect, and until the next bytes come.
TIMEOUT = (5.0, 20.0)


def find(prefix: str, glob: str | None = None) -> Iterator[tuple[str, int, str]]:
    """Yields (path, size in bytes, digest of the content) of every object with this prefix.

    Args:
        prefix: gs://<bucket>/ and the beginning of a name.
        glob: a hint for the service, which matches it against the names after the bucket. An
            emulator may ignore it, so the caller must match, too.
    """
    for path, blob in _list(prefix, glob):
        yield path, int(blob.size), _content(blob)


def newest(prefix: str, end: str) -> str | None:
    """The path of the object that was written last, of those named <prefix><one name><end>.

    Returns:
        None where no such object exists.
    """
    name = _split(prefix)[1]
    blobs = _list(prefix, f"{name}*{end}")
    candidates = [
        (blob.generation, path)
        for path, blob in blobs
        if path.endswith(end) and path.removeprefix(prefix).count("/") == end.count("/")
    ]
    return max(candidates, default=(0, None))[1]


def _list(prefix: str, glob: str | None) -> Iterator[tuple[str, Any]]:
    bucket, name = _split(prefix)
    if not bucket or "/" not in prefix.removeprefix(PREFIX):
        raise UserError(f"{prefix!r} names no object: gs://<bucket>/<path>.")
    if set(name) & set("*?[]{}\\"):  # the service would take these for wildcards
        glob = None

    blobs = _client().list_blobs(
        bucket,
        prefix=name,
        match_glob=glob,
        fields="items(name,size,md5Hash,crc32c,generation),nextPageToken",
        retry=_retry(FIRST_ANSWER_SECONDS),
        timeout=TIMEOUT,
    )

    for blob in blobs:
        if not blob.name.endswith("/"):  # a console's mark for a folder
            yield f"{PREFIX}{bucket}/{blob.name}", blob


def _content(blob: Any) -> str:
    if blob.md5_hash:
        return f"md5:{blob.md5_hash}"
    # A composed object has no MD5. A checksum of 32 bits does not tell contents apart; its
    # generation does.
    return f"crc32c:{blob.crc32c}:{blob.size}:{blob.generation}"


def open_object(path: str) -> BinaryIO:
    """Opens the bytes of an object as they are stored, seekable.

    They all belong to the generation that exists now, even if the object is replaced meanwhile.
    """
    blob = _get(path)
    if blob is None:
        raise FileNotFoundError(path)

    # Raw: otherwise the service unzips what was uploaded with Content-Encoding: gzip, and the
    # ranges and sizes are wrong.
    reader = blob.open(
        "rb", chunk_size=READ_BYTES, raw_download=True, retry=_retry(READ_SECONDS), timeout=TIMEOUT
    )
    return cast(BinaryIO, io.BufferedReader(reader, BUFFER_BYTES))


def first_bytes(path: str, num: int) -> bytes:
    """The first bytes of an object as they are stored, by one request."""
    bucket, name = _split(path)
    blob = _client().bucket(bucket).blob(name)
    return cast(
        bytes,
        blob.download_as_bytes(
            end=num - 1, raw_download=True, retry=_retry(READ_SECONDS), timeout=TIMEOUT
        ),
    )


def read_object(path: str) -> tuple[bytes, int] | None:
    """(content, generation) of a small object; None where it does not exist."""
    import google.api_core.exceptions as api

    for _ in range(READ_TRIES):
        blob = _get(path)
        if blob is None:
            return None

        try:  # exactly this generation: content and number belong together
            content = blob.download_as_bytes(
                if_generation_match=blob.generation, retry=_retry(READ_SECONDS), timeout=TIMEOUT
            )
            return content, int(blob.generation)
        except (api.PreconditionFailed, api.NotFound):  # replaced or deleted in between
            continue

    raise DataError(
        f"{path} changes all the time. Find out which program writes it, and run again."
    )


def write_object(path: str, content: bytes | Path, generation: int | None = None) -> int | None:
    """Writes an object from bytes or from a file; the service compares its checksum with ours.

    Args:
        path: the object.
        content: bytes, or a local file.
        generation: the one that the object must have now, 0 if it must not exist; None for any.

    Returns:
        The object's new generation; None if it had another one, and nothing was written.
    """
    import google.api_core.exceptions as api

    bucket, name = _split(path)
    blob = _client().bucket(bucket).blob(name)
    given: dict[str, Any] = {
        "checksum": "crc32c",
        "timeout": TIMEOUT,
        "retry": _retry(READ_SECONDS),
    }

    try:
        if isinstance(content, Path):
            blob.upload_from_filename(
                str(content), "application/octet-stream", if_generation_match=generation, **given
            )
        else:
            blob.upload_from_string(
                content, "application/octet-stream", if_generation_match=generation, **given
            )
    except api.PreconditionFailed:
        return None

    return int(blob.generation)


def delete_object(path: str, generation: int | None = None) -> None:
    """Deletes an object if it exists; where a generation is given, only that one."""
    import google.api_core.exceptions as api

    bucket, name = _split(path)
    with suppress(api.NotFound, api.PreconditionFailed):
        _client().bucket(bucket).blob(name).delete(
            if_generation_match=generation, retry=_retry(READ_SECONDS), timeout=TIMEOUT
        )


def read(path: str) -> bytes | None:
    """The content of a small object, by one request; None where it does not exist."""
    import google.api_core.exceptions as api

    bucket, name = _split(path)
    try:
        return (
            _client()
            .bucket(bucket)
            .blob(name)
            .download_as_bytes(raw_download=True, retry=_retry(READ_SECONDS), timeout=TIMEOUT)
        )
    except api.NotFound:
        return None


def is_object(path: str) -> bool:
    """Whether an object of exactly this name exists."""
    return _get(path) is not None


def written(path: str) -> datetime | None:
    """The time at which an object was written, by the service's clock; None without an object."""
    blob = _get(path)
    return blob.updated if blob else None


def _get(path: str) -> Any:
    """An object with what the service knows about it; None where it does not exist."""
    bucket, name = _split(path)
    return _client().bucket(bucket).get_blob(name, retry=_retry(READ_SECONDS), timeout=TIMEOUT)


def download(path: str, target: Path) -> None:
    """Writes an object's bytes as they are stored into a local file; checks their checksum."""
    bucket, name = _split(path)
    blob = _client().bucket(bucket).blob(name)
    blob.download_to_filename(
        str(target), raw_download=True, retry=_retry(READ_SECONDS), timeout=TIMEOUT
    )


def permissions(bucket: str, asked: Sequence[str]) -> set[str]:
    """Which of the permissions this account has in a bucket."""
    granted = (
        _client()
        .bucket(bucket)
        .test_iam_permissions(list(asked), retry=_retry(FIRST_ANSWER_SECONDS), timeout=TIMEOUT)
    )
    return set(granted)


def copy_object(source: str, target: str) -> None:
    """Copies an object inside the service, over whatever the target was."""
    from_bucket, from_name = _split(source)
    to_bucket, to_name = _split(target)
    original = _client().bucket(from_bucket).blob(from_name)
    blob = _client().bucket(to_bucket).blob(to_name)
    token = None

    while True:
        token, *_ = blob.rewrite(original, token=token, retry=_retry(READ_SECONDS), timeout=TIMEOUT)
        if token is None:
            return


def cause_of(path: str, error: Exception) -> UserError | None:
    """The UserError that an error of google-cloud-storage stands for; None for other errors."""
    import google.api_core.exceptions as api
    import google.auth.exceptions as auth
    import requests

    bucket = _split(path)[0]
    if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    if isinstance(error, api.NotFound):
        if re.search(f"/b/{re.escape(bucket)}/(o[?]|iam/)", str(error)):
            problem = f"the bucket {bucket!r} does not exist"
        else:
            problem = "it does not exist, or not any more"
        return DataError(f"{path}: {problem}. Correct the name, or put it there, and run again.")

    if isinstance(error, api.Unauthorized | api.Forbidden | auth.GoogleAuthError):
        return UserError(
            f"{path}: Google Cloud Storage gives no access to the bucket {bucket!r} "
            f"({_line(error)}). "
            "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS "
            "to a service account's key, and give that account the role storage.objectViewer "
            "(storage.objectUser where something is written)."
        )

    if isinstance(error, api.GoogleAPIError | requests.RequestException):
        return UserError(
            f"{path}: Google Cloud Storage does not answer ({_line(error)}). "
            "Check the network and run again."
        )
    return None


def _line(error: Exception) -> str:
    """The end of a message, after addresses and the names of other errors."""
    shown = " ".join(str(error).split()).rpartition(": ")[2].strip("'\")>. ")
    code = getattr(error, "code", None)
    return f"{int(code)}: {shown[:150]}" if code else shown[:150]


def _split(path: str) -> tuple[str, str]:
    bucket, _, name = path.removeprefix(PREFIX).partition("/")
    return bucket, name


def _client() -> Any:
    return _client_of(os.environ.get("STORAGE_EMULATOR_HOST"))


@cache
def _client_of(emulator: str | None) -> Any:
    packages.need("What lies under gs://", packages.STORAGE)

    import google.auth.exceptions
    from google.cloud import storage

    if emulator:
        return storage.Client.create_anonymous_client()

    try:
        return storage.Client()
    except google.auth.exceptions.DefaultCredentialsError:
        return storage.Client.create_anonymous_client()  # enough for public data


def _retry(seconds: float) -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(seconds)
