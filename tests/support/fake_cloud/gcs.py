"""A Google Cloud Storage in memory.

It has the part of the JSON API (cloud.google.com/storage/docs/json_api) that google-cloud-storage
needs to list, read, write, copy and delete objects, with preconditions on their generation; what
Apache Beam requests (batches, rewrites); and what TensorFlow's C++ client requests. Clients find it
by STORAGE_EMULATOR_HOST, set to `FakeGcs.url`, and TensorFlow by `tests.support.fake_cloud.proxy`.
"""

import base64
import email
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from urllib.parse import unquote

import google_crc32c

from tests.support.fake_cloud.server import Handler, Reply, error, listening, split

PRECONDITION = "At least one of the pre-conditions you specified did not hold."


@dataclass
class FakeGcs:
    """Buckets and objects.

    Attributes:
        url: of the server.
        page_size: objects in one answer to a listing.
        buckets: bucket -> name -> (metadata, content).
        uploads: id of a resumable upload -> (bucket, name, content so far, query of its start).
        failures: HTTP statuses that the next requests get instead of an answer.
        fault: (method, path) -> the status that this request gets, 0 for its answer. It may wait.
        loses: (name of an object that was just written) -> whether the answer is lost, as a 503.
        permissions: those that every account has.
        location: what every bucket's metadata say about its place.
        policy: role -> members, of every bucket.
        requests: "METHOD path" of all requests.
        generation: of the last object that was written.
        answering: held while a request is answered.
    """

    url: str = ""
    page_size: int = 1000
    buckets: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, str, bytearray, dict[str, str]]] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    fault: Callable[[str, str], int] = lambda method, path: 0
    loses: Callable[[str], bool] = lambda name: False
    permissions: set[str] = field(
        default_factory=lambda: {
            f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list")
        }
    )
    location: dict[str, Any] = field(default_factory=lambda: {"location": "EUROPE-WEST1"})
    policy: dict[str, list[str]] = field(
        default_factory=lambda: {"roles/storage.legacyBucketOwner": ["projectEditor:fake-project"]}
    )
    requests: list[str] = field(default_factory=list)
    generation: int = 1000
    answering: Any = field(default_factory=threading.RLock)

    def put(self, bucket: str, name: str, content: bytes, composed: bool = False) -> dict[str, Any]:
        """Stores an object, and makes its bucket if it is missing. A composed object has no MD5."""
        self.generation += 1
        metadata = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{self.generation}",
            "bucket": bucket,
            "name": name,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "etag": str(self.generation),
            "timeCreated": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "updated": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "size": str(len(content)),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        }

        if not composed:
            metadata["md5Hash"] = base64.b64encode(md5(content).digest()).decode()
        self.buckets.setdefault(bucket, {})[name] = metadata, content
        return metadata

    def read(self, path: str) -> bytes:
        """The content of gs://<bucket>/<name>. Raises KeyError for a missing object."""
        bucket, _, name = path.removeprefix("gs://").partition("/")
        return self.buckets[bucket][name][1]

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Reply:
        """The answer to a request.

        Requests are answered one after the other, so that a precondition and the write that it
        guards are one step.
        """
        if status := self.fault(method, path):
            return error(status, "told to fail")
        with self.answering:
            return self._answer(method, path, query, headers, body)

    def _answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Reply:
        self.requests.append(f"{method} {path}")
        if self.failures:
            return error(self.failures.pop(0), "told to fail")

        if path == "/storage/v1/b" and method == "POST":
            bucket = json.loads(body)["name"]
            self.buckets.setdefault(bucket, {})
            return 200, {"kind": "storage#bucket", "name": bucket}, {}

        if path == "/batch/storage/v1":
            return self._batch(headers, body)

        if match := re.fullmatch(
            r"/storage/v1/b/([^/]+)/o/([^/]+)/(compose|(?:copyTo|rewriteTo)/b/([^/]+)/o/([^/]+))",
            path,
        ):
            return self._copy(
                match[3].partition("/")[0],
                *(unquote(match[group] or "") for group in (1, 2, 4, 5)),
                query,
                body,
            )

        if match := re.fullmatch(
            "/storage/v1/b/([^/]+)/(iam/testPermissions|iam|storageLayout)", path
        ):
            return self._about_bucket(match[1], match[2])

        match = re.fullmatch(r"(/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?", path)
        if match is None:
            match = re.fullmatch(r"()/([^/]+)/(.+)", path)
            if match and method == "GET" and match[2] in self.buckets:
                # The XML API, as TensorFlow reads.
                media = query | {"alt": "media"}
                return self._object(method, match[2], unquote(match[3]), media, headers)

        if match is None:
            return error(501, f"the fake has no {method} {path}")
        action, bucket, name = match[1], match[2], unquote(match[3] or "")
        if bucket not in self.buckets:
            return error(404, "The specified bucket does not exist.")
        if action == "/upload":
            return self._upload(method, bucket, query, headers, body)
        if path.endswith("/o"):
            return self._list(bucket, query)
        if not name:
            return 200, {"kind": "storage#bucket", "name": bucket, **self.location}, {}
        return self._object(method, bucket, name, query, headers)

    def _about_bucket(self, bucket: str, question: str) -> Reply:
        if question == "storageLayout":  # TensorFlow asks before it renames
            answer = {
                "kind": "storage#storageLayout",
                "bucket": bucket,
                "hierarchicalNamespace": {"enabled": False},
            }
            return 200, answer, {}
        if bucket not in self.buckets:
            return error(404, "The specified bucket does not exist.")
        if question == "iam":
            bindings = [{"role": role, "members": who} for role, who in self.policy.items()]
            return 200, {"kind": "storage#policy", "bindings": bindings}, {}
        permissions = sorted(self.permissions)
        return 200, {"kind": "storage#testIamPermissionsResponse", "permissions": permissions}, {}

    def _list(self, bucket: str, query: dict[str, str]) -> Reply:
        first = query.get("pageToken", "")
        prefix = query.get("prefix", "")
        delimiter = query.get("delimiter")

        is_object: dict[str, bool] = {}  # an object's name, or the common prefix of some
        for name in sorted(name for name in self.buckets[bucket] if name.startswith(prefix)):
            head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            is_object[prefix + head + cut if cut else name] = not cut

        names = sorted(name for name in is_object if name >= first)
        size = min(self.page_size, int(query.get("maxResults", self.page_size)))
        page, rest = names[:size], names[size:]
        answer: dict[str, Any] = {
            "kind": "storage#objects",
            "items": [self.buckets[bucket][name][0] for name in page if is_object[name]],
        }
        if prefixes := [name for name in page if not is_object[name]]:
            answer["prefixes"] = prefixes
        if rest:
            answer["nextPageToken"] = rest[0]
        return 200, answer, {}

    def _object(
        self, method: str, bucket: str, name: str, query: dict[str, str], headers: Any
    ) -> Reply:
        metadata, content = self.buckets[bucket].get(name, ({}, b""))
        if (
            query.get("generation", metadata.get("generation")) != metadata.get("generation")
            or not metadata
        ):
            return error(404, f"No such object: {bucket}/{name}")

        if not self._holds(bucket, name, query):
            return error(412, PRECONDITION)
        if method == "DELETE":
            del self.buckets[bucket][name]
            return 204, b"", {}

        if query.get("alt") != "media":
            return 200, metadata, {}
        hashes = ",".join(
            f"{key}={metadata[value]}"
            for key, value in (("crc32c", "crc32c"), ("md5", "md5Hash"))
            if value in metadata
        )

        about = {
            "Content-Type": metadata["contentType"],
            "X-Goog-Generation": metadata["generation"],
            "X-Goog-Hash": hashes,
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range") or "")
        if wanted is None:
            return 200, content, about
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first >= len(content):
            return error(416, "The requested range cannot be satisfied.")

        return (
            206,
            content[first : last + 1],
            about | {"Content-Range": f"bytes {first}-{last}/{len(content)}"},
        )

    def _copy(
        self,
        action: str,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        query: dict[str, str],
        body: bytes,
    ) -> Reply:
        """Answers compose (the named object is the target), copyTo and rewriteTo (the source)."""
        if action == "compose":
            to_bucket, to_name = bucket, name
            sources = [(bucket, source["name"]) for source in json.loads(body)["sourceObjects"]]
        else:
            sources = [(bucket, name)]

        for source in sources:
            if source[1] not in self.buckets.get(source[0], {}):
                return error(404, f"No such object: {'/'.join(source)}")

        if to_bucket not in self.buckets:
            return error(404, "The specified bucket does not exist.")
        if not self._holds(to_bucket, to_name, query):
            return error(412, PRECONDITION)
        content = b"".join(self.buckets[place][source_name][1] for place, source_name in sources)
        made = self.put(to_bucket, to_name, content, composed=action == "compose")
        if action != "rewriteTo":
            return 200, made, {}
        size = {"totalBytesRewritten": made["size"], "objectSize": made["size"]}
        return 200, {"kind": "storage#rewriteResponse", "done": True, **size, "resource": made}, {}

    def _batch(self, headers: Any, body: bytes) -> Reply:
        """Answers several requests in one, a multipart/mixed of application/http."""
        message = email.message_from_bytes(
            b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
        )

        parts = []
        for part in message.get_payload():  # type: ignore[union-attr]
            head, _, inner = (
                part.get_payload(decode=True)
                .decode()
                .replace("\r\n", "\n")
                .lstrip()
                .partition("\n\n")
            )  # type: ignore[union-attr]
            method, target, _ = head.split("\n")[0].split(" ")
            status, content, _ = self._answer(method, *split(target), {}, inner.encode())
            text = json.dumps(content) if content else ""

            parts.append(
                "--part\r\nContent-Type: application/http\r\n"
                f"Content-ID: <response-{part['Content-ID']}>\r\n\r\n"  # type: ignore[index]
                f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length:"
                f" {len(text)}\r\n\r\n{text}\r\n"
            )

        return (
            200,
            ("".join(parts) + "--part--").encode(),
            {"Content-Type": "multipart/mixed; boundary=part"},
        )

    def _upload(
        self, method: str, bucket: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Reply:
        kind = query.get("uploadType")
        if kind == "media":
            return self._finish(bucket, query["name"], body, query)
        if kind == "multipart":
            message = email.message_from_bytes(
                b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
            )
            metadata, content = message.get_payload()  # type: ignore[misc]
            boundary = message.get_boundary() or ""

            # The raw bytes: email may change line ends.
            raw = (
                body.split(f"--{boundary}".encode())[2]
                .split(b"\r\n\r\n", 1)[1]
                .removesuffix(b"\r\n")
            )
            name = json.loads(metadata.get_payload())["name"]  # type: ignore[union-attr, arg-type]
            return self._finish(bucket, name, raw, query)

        if method == "POST":
            number = str(len(self.uploads))
            self.uploads[number] = (
                bucket,
                query.get("name") or json.loads(body)["name"],
                bytearray(),
                query,
            )
            if not self._holds(bucket, self.uploads[number][1], query):
                return error(412, PRECONDITION)

            # TensorFlow comes through the proxy, by the service's own name.
            host = headers.get("Host") or ""
            place = f"https://{host}" if host.endswith("googleapis.com") else self.url
            query_string = f"uploadType=resumable&upload_id={number}"
            location = f"{place}/upload/storage/v1/b/{bucket}/o?{query_string}"
            return 200, b"", {"Location": location}

        _, name, content, begun = self.uploads[query["upload_id"]]
        sent = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or "")
        if sent is None or sent[1] is not None:
            del content[int(sent[1]) if sent else 0 :]  # what is sent again replaces what was there
            content += body

        if sent is None or (sent[2] != "*" and int(sent[2]) == len(content)):
            return self._finish(bucket, name, bytes(content), begun)
        return 308, b"", {"Range": f"bytes=0-{len(content) - 1}"} if content else {}

    def _finish(self, bucket: str, name: str, content: bytes, query: dict[str, str]) -> Reply:
        if not self._holds(bucket, name, query):
            return error(412, PRECONDITION)
        written = self.put(bucket, name, content)
        if self.loses(name):
            return error(503, "it was written, and its answer is lost")
        return 200, written, {}

    def _holds(self, bucket: str, name: str, query: dict[str, str]) -> bool:
        """Whether an object has the generation that a request asks for; 0 means no object."""
        metadata = self.buckets[bucket].get(name, ({"generation": "0"}, b""))[0]
        return query.get("ifGenerationMatch", metadata["generation"]) == metadata["generation"]


@contextmanager
def serve(port: int = 0) -> Iterator[FakeGcs]:
    """Runs a server on a port of loopback (0: any free one)."""
    store = FakeGcs()

    class GcsHandler(Handler):
        answer = store.answer

    with listening(GcsHandler, port) as number:
        store.url = f"http://127.0.0.1:{number}"
        yield store
