"""What the server reads of a place in an object store: gs://, s3:// or az://.

google-cloud-storage reads gs://, obstore s3:// and az://. Each is imported when the first such
place is read, and neither is needed for folders.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from serving.errors import InputError, cut

SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]*)://")
ONE_SLASH = re.compile("(gs|s3|az):/(?!/)")
# Scheme -> (module, what pip installs).
PACKAGES = {
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "s3": ("obstore", "obstore"),
    "az": ("obstore", "obstore"),
}
CREDENTIALS = {
    "gs": "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
ENDPOINTS = {
    "gs": "STORAGE_EMULATOR_HOST",
    "s3": "AWS_ENDPOINT_URL",
    "az": "AZURE_STORAGE_ENDPOINT",
}
# What S3, and obstore, say of a bucket in another region.
WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION")
NUM_AT_ONCE = 8
# For one request: to connect, until the next bytes come, and until it is tried no more, in seconds.
CONNECT, READ, RETRY = 5, 20, 15
# A whole request, which may be for a large file, in seconds.
REQUEST = 600


class RemoteError(InputError):
    """A place cannot be read. One line for the user."""


@dataclass(frozen=True)
class Object:
    """An object as a listing has it.

    Attributes:
        name: Its name, beginning after the place and a slash.
        size: Bytes.
        digest: Tells this content from another one of the name.
    """

    name: str
    size: int
    digest: str


def is_remote(path: object) -> bool:
    """Whether a path is a URL, or is meant to be one, and no folder."""
    return bool(SCHEME.match(str(path)) or ONE_SLASH.match(str(path)))


def check_place(place: str, flag: str) -> str:
    """Returns a place without its last slash, if it is one that a server can read.

    Raises:
        RemoteError: It is not, or the package that reads it is missing.
    """
    if one_slash := ONE_SLASH.match(place):
        raise RemoteError(
            f"{flag} {cut(place)!r} has one slash after its scheme; write"
            f" {one_slash[1]}://<bucket>/<path>."
        )
    found = SCHEME.match(place)
    scheme = found[1] if found else ""
    if scheme not in PACKAGES:
        raise RemoteError(
            f"{flag} {cut(place)!r}: only a folder, gs://, s3:// or az:// can be served."
        )

    bucket, *names = place.removeprefix(f"{scheme}://").rstrip("/").split("/")
    if not bucket or {"", ".", ".."} & set(names) or not place.isprintable():
        raise RemoteError(f"{flag} {cut(place)!r} names no place; give {scheme}://<bucket>/<path>.")

    module, package = PACKAGES[scheme]
    if not _is_installed(module):
        raise RemoteError(
            f"{flag} {cut(place)!r} needs {package}: {shlex.quote(sys.executable)} -m pip install"
            f" {package}"
        )
    return place.rstrip("/")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


class Store:
    """The objects of a place. Its functions may be called from several threads.

    Args:
        place: As `check_place` returns it.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.scheme = place.partition("://")[0]
        self.client: Any = None

    def find(self, folder: str = "") -> list[Object]:
        """All objects beneath the place, or beneath a folder of it, in the order of their names.

        Raises:
            RemoteError: The place cannot be read: there is no bucket, no right, or no network.
        """
        with self._one_line():
            client = self._client()
            objects = client.find(folder)
        # A console marks a folder by an empty object with its name.
        folders = {
            "/".join(parts[:length])
            for parts in (each.name.split("/") for each in objects)
            for length in range(1, len(parts))
        }
        kept = [
            each
            for each in objects
            if each.name and not (each.size == 0 and each.name.rstrip("/") in folders)
        ]
        return sorted(kept, key=lambda each: each.name)

    def download(self, objects: list[Object], target: Path) -> None:
        """Writes objects, exactly those that were listed, into a folder by their names.

        Raises:
            RemoteError: One cannot be read, has changed since, or has a name that leaves the
                folder.
            OSError: The folder cannot be written.
        """
        for each in objects:
            parts = each.name.split("/")
            if {"", ".", ".."} & set(parts) or "\0" in each.name:
                raise RemoteError(
                    f"{self.place}/{cut(each.name)} cannot be the name of a model's file. Delete"
                    " it."
                )
            target.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)

        client = self._client()

        def one(each: Object) -> None:
            file = target / each.name
            with self._one_line(each.name):
                client.download(each, file)
            if file.stat().st_size != each.size:
                raise RemoteError(
                    f"{self.place}/{cut(each.name)}: {file.stat().st_size} bytes of {each.size}"
                    " came."
                )

        with ThreadPoolExecutor(NUM_AT_ONCE, "downloads") as pool:
            for _ in pool.map(one, objects):
                pass

    def read(self, name: str) -> bytes | None:
        """The content of a small object, None where it does not exist."""
        with self._one_line(name):
            return self._client().read(name)

    def _client(self) -> Any:
        if self.client is None:
            self.client = _Google(self.place) if self.scheme == "gs" else _Obstore(self.place)
        return self.client

    @contextmanager
    def _one_line(self, name: str = "") -> Iterator[None]:
        """Turns the libraries' errors into one line."""
        try:
            yield
        except RemoteError:
            raise
        except Exception as error:
            # Both libraries, and those beneath, have some twenty kinds, without a common base.
            where = f"{self.place}/{cut(name)}" if name else self.place
            raise RemoteError(f"{where} cannot be read: {_reason(self.scheme, error)}") from None


class _Google:
    """Reads by google-cloud-storage, which compares each download with the service's checksum."""

    def __init__(self, place: str) -> None:
        import google.auth.exceptions
        from google.cloud import storage
        from google.cloud.storage.retry import DEFAULT_RETRY

        try:
            if os.environ.get("STORAGE_EMULATOR_HOST"):
                client = storage.Client.create_anonymous_client()
            else:
                client = storage.Client()
        except google.auth.exceptions.DefaultCredentialsError:
            client = storage.Client.create_anonymous_client()  # enough for public models

        bucket, _, path = place.removeprefix("gs://").partition("/")
        self.bucket = client.bucket(bucket)
        self.prefix = f"{path}/" if path else ""
        self.options = {"retry": DEFAULT_RETRY.with_timeout(RETRY), "timeout": (CONNECT, READ)}

    def find(self, folder: str) -> list[Object]:
        prefix = f"{self.prefix}{folder}/" if folder else self.prefix
        blobs = self.bucket.list_blobs(
            prefix=prefix, fields="items(name,size,generation),nextPageToken", **self.options
        )
        return [
            Object(blob.name.removeprefix(self.prefix), int(blob.size), str(blob.generation))
            for blob in blobs
        ]

    def download(self, each: Object, target: Path) -> None:
        blob = self.bucket.blob(f"{self.prefix}{each.name}", generation=int(each.digest))
        blob.download_to_filename(str(target), raw_download=True, **self.options)

    def read(self, name: str) -> bytes | None:
        import google.api_core.exceptions as api

        try:
            return bytes(self.bucket.blob(f"{self.prefix}{name}").download_as_bytes(**self.options))
        except api.NotFound:
            return None


class _Obstore:
    """Reads by obstore, which compares nothing.

    An object's ETag must be the one that was listed. Neither an ETag nor what obstore shows of
    Azure's answers is a digest of the content on every service; the SHA-256 of each file is in the
    version's manifest, and is compared before the version is loaded.
    """

    def __init__(self, place: str) -> None:
        from obstore.store import AzureStore, S3Store

        scheme = place.partition("://")[0]
        endpoint = os.environ.get(ENDPOINTS[scheme], "")
        options: dict[str, Any] = {
            "client_options": {
                "connect_timeout": f"{CONNECT}s",
                "read_timeout": f"{READ}s",
                "timeout": f"{REQUEST}s",
                "allow_http": endpoint.startswith("http:"),
            },
            "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=RETRY)},
        }
        if scheme == "az" and endpoint:
            options["endpoint"] = endpoint
        kinds: dict[str, Any] = {"s3": S3Store, "az": AzureStore}
        bucket, _, path = place.removeprefix(f"{scheme}://").partition("/")
        # Not by the URL, in which # ? and % would have a meaning.
        self.store = kinds[scheme](bucket, prefix=path or None, **options)

    def find(self, folder: str) -> list[Object]:
        import obstore

        return [
            Object(meta["path"], meta["size"], _etag(meta))
            for chunk in obstore.list(self.store, folder or None)
            for meta in chunk
        ]

    def download(self, each: Object, target: Path) -> None:
        import obstore

        answer = obstore.get(self.store, each.name)
        if _etag(answer.meta) != each.digest:
            raise RemoteError(f"{cut(each.name)} was replaced while it was read.")
        with target.open("wb") as file:
            file.writelines(answer.stream(min_chunk_size=1 << 20))

    def read(self, name: str) -> bytes | None:
        import obstore

        try:
            return bytes(obstore.get(self.store, name).bytes())
        except FileNotFoundError:
            return None


def _etag(meta: Any) -> str:
    # Azure's listing has its ETags without quotes, and its answers with them.
    return (meta["e_tag"] or "").strip('"')


def _reason(scheme: str, error: Exception) -> str:
    """The cause of a library's error, and a way out, in one line."""
    # obstore repeats everything after "Debug source", line by line.
    text = " ".join(str(error).partition("\n\nDebug source")[0].split())
    code = re.search("<Code>([A-Za-z0-9]+)</Code>", text)
    status = re.search(r"status code: (\d{3})", text)
    number = int(status[1]) if status else getattr(error, "code", None)
    number = number if isinstance(number, int) else 0

    if number == 404 or isinstance(error, FileNotFoundError):
        return "there is no such bucket or object. Correct the path, or create the bucket."
    if any(sign in text for sign in WRONG_REGION):
        return (
            "the bucket is in another region than AWS_REGION"
            f" ({os.environ.get('AWS_REGION') or 'not set'}). Set it to the bucket's."
        )
    no_account = "169.254.169.254" in text or "must be specified" in text
    if number in (401, 403) or no_account or "credential" in text.lower():
        cause = code[1] if code else f"HTTP {number}" if number and not no_account else "none given"
        return (
            f"access is refused ({cause}). Give credentials that may read it:"
            f" {CREDENTIALS[scheme]}."
        )
    if number:
        return f"the service answers {code[1] if code else f'HTTP {number}'}: {cut(text, 200)}"
    return (
        f"{cut(text, 300) or type(error).__name__}. Check the network and {ENDPOINTS[scheme]}"
        f" ({os.environ.get(ENDPOINTS[scheme]) or 'not set'})."
    )
