"""A Google Cloud Storage in memory: the part of its JSON API (cloud.google.com/storage/docs/json_api) that google-cloud-storage needs
to list, read, write and delete objects, with preconditions on their generation. Point STORAGE_EMULATOR_HOST at `FakeGcs.url`.
"""

import base64
import email
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

PRECONDITION = "At least one of the pre-conditions you specified did not hold."
# status, body (JSON, or bytes), headers
Reply = tuple[int, Any, dict[str, str]]


@dataclass
class FakeGcs:
    """Buckets and objects. page_size: objects in one answer to a listing.

    failures: HTTP statuses that the next requests get instead of an answer, as services do now and then. requests: what was asked.
    """

    url: str = ""
    page_size: int = 1000
    buckets: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, str, bytearray, dict[str, str]]] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    generation: int = 1000
    answering: Any = field(default_factory=threading.Lock)

    def put(self, bucket: str, name: str, content: bytes, composed: bool = False) -> dict[str, Any]:
        """Stores an object, and makes its bucket where that is missing. A composed object has no MD5."""
        self.generation += 1
        metadata = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{self.generation}",
            "bucket": bucket,
            "name": name,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "size": str(len(content)),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        }
        if not composed:
            metadata["md5Hash"] = base64.b64encode(md5(content).digest()).decode()
        self.buckets.setdefault(bucket, {})[name] = metadata, content
        return metadata

    def answer(self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes) -> Reply:
        """One request. One after the other: a precondition and what follows from it are one step."""
        with self.answering:
            return self._answer(method, path, query, headers, body)

    def _answer(self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes) -> Reply:
        self.requests.append(f"{method} {path}")
        if self.failures:
            return _error(self.failures.pop(0), "told to fail")
        if path == "/storage/v1/b" and method == "POST":
            bucket = json.loads(body)["name"]
            self.buckets.setdefault(bucket, {})
            return 200, {"kind": "storage#bucket", "name": bucket}, {}
        match = re.fullmatch(r"(/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?", path)
        if match is None:
            return _error(501, f"the fake has no {method} {path}")
        action, bucket, name = match[1], match[2], unquote(match[3] or "")
        if bucket not in self.buckets:
            return _error(404, "The specified bucket does not exist.")
        if action == "/upload":
            return self._upload(method, bucket, query, headers, body)
        if path.endswith("/o"):
            return self._list(bucket, query)
        if not name:
            return 200, {"kind": "storage#bucket", "name": bucket}, {}
        return self._object(method, bucket, name, query, headers)

    def _list(self, bucket: str, query: dict[str, str]) -> Reply:
        first = query.get("pageToken", "")
        names = sorted(name for name in self.buckets[bucket] if name.startswith(query.get("prefix", "")) and name >= first)
        page, rest = names[: self.page_size], names[self.page_size :]
        found = {"kind": "storage#objects", "items": [self.buckets[bucket][name][0] for name in page]}
        return 200, found | ({"nextPageToken": rest[0]} if rest else {}), {}

    def _object(self, method: str, bucket: str, name: str, query: dict[str, str], headers: Any) -> Reply:
        metadata, content = self.buckets[bucket].get(name, ({}, b""))
        if query.get("generation", metadata.get("generation")) != metadata.get("generation") or not metadata:
            return _error(404, f"No such object: {bucket}/{name}")
        if not self._holds(bucket, name, query):
            return _error(412, PRECONDITION)
        if method == "DELETE":
            del self.buckets[bucket][name]
            return 204, b"", {}
        if query.get("alt") != "media":
            return 200, metadata, {}
        hashes = ",".join(f"{key}={metadata[value]}" for key, value in (("crc32c", "crc32c"), ("md5", "md5Hash")) if value in metadata)
        about = {"Content-Type": metadata["contentType"], "X-Goog-Generation": metadata["generation"], "X-Goog-Hash": hashes}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range") or "")
        if wanted is None:
            return 200, content, about
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first >= len(content):
            return _error(416, "The requested range cannot be satisfied.")
        return 206, content[first : last + 1], about | {"Content-Range": f"bytes {first}-{last}/{len(content)}"}

    def _upload(self, method: str, bucket: str, query: dict[str, str], headers: Any, body: bytes) -> Reply:
        kind = query.get("uploadType")
        if kind == "media":
            return self._finish(bucket, query["name"], body, query)
        if kind == "multipart":
            message = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
            metadata, content = message.get_payload()  # type: ignore[misc]
            boundary = message.get_boundary() or ""
            # The bytes themselves: a mail's line ends may be changed, an object's may not.
            raw = body.split(f"--{boundary}".encode())[2].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            return self._finish(bucket, json.loads(metadata.get_payload())["name"], raw, query)  # type: ignore[union-attr, arg-type]
        if method == "POST":
            number = str(len(self.uploads))
            self.uploads[number] = bucket, query.get("name") or json.loads(body)["name"], bytearray(), query
            if not self._holds(bucket, self.uploads[number][1], query):
                return _error(412, PRECONDITION)
            return 200, b"", {"Location": f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={number}"}
        _, name, content, begun = self.uploads[query["upload_id"]]
        total = (headers.get("Content-Range") or f"/{len(content) + len(body)}").rpartition("/")[2]
        content += body
        if total != "*" and int(total) == len(content):
            return self._finish(bucket, name, bytes(content), begun)
        return 308, b"", {"Range": f"bytes=0-{len(content) - 1}"} if content else {}

    def _finish(self, bucket: str, name: str, content: bytes, query: dict[str, str]) -> Reply:
        return (200, self.put(bucket, name, content), {}) if self._holds(bucket, name, query) else _error(412, PRECONDITION)

    def _holds(self, bucket: str, name: str, query: dict[str, str]) -> bool:
        """Whether an object has the generation that a request asks for; 0 means that there is none."""
        metadata = self.buckets[bucket].get(name, ({"generation": "0"}, b""))[0]
        return query.get("ifGenerationMatch", metadata["generation"]) == metadata["generation"]


def _error(status: int, message: str) -> Reply:
    return status, {"error": {"code": status, "message": message}}, {}


@contextmanager
def serve() -> Iterator[FakeGcs]:
    """A running server on a free port of loopback."""
    store = FakeGcs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_method(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content, headers = store.answer(self.command, parts.path, query, self.headers, body)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_DELETE = handle_method  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
