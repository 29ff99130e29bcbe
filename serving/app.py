"""The endpoints: TensorFlow Serving's REST API, its metrics, and a page."""

import asyncio
import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving import answers, openapi, reading, tensors
from serving.batching import Batcher
from serving.errors import RefusedError, short
from serving.example_signatures import examples_signature, fits
from serving.holding import LIGHT_BYTES, Held, Total
from serving.limits import RequestLimits, held_bytes
from serving.metrics import Metrics
from serving.model import (
    ABOUT_INPUT,
    DEFAULT_SIGNATURE,
    EXAMPLES,
    LoadedModel,
    Signature,
)
from serving.readers import Readers
from serving.reading import Question, ReadRequest
from serving.strings import row_bytes
from serving.versions import Version, Versions

log = logging.getLogger("seqline.serve")

MODELS = re.compile(
    r"/v1/models(?:/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<number>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?:/(?P<metadata>metadata)|:(?P<verb>predict|classify|regress))?)?",
    re.IGNORECASE,
)
METRICS = ("/monitoring/prometheus/metrics", "/metrics")
ALIVE, READY, OPENAPI = "/healthz", "/readyz", "/openapi.json"
VERSION_HEADER = "x-model-version"
JSON = "application/json"
# A body is read here, in the event loop's thread, if that takes a fraction of a millisecond: if it
# has few bytes and few values. Other bodies are read in a process. Escapes, and tf.Examples, which
# only a body that names a signature has, are slow to read.
SLOW_BYTES = 4 << 10
LIGHT_VALUES = 2000
# A long answer is written in a thread, so that other requests go on.
LONG_ANSWER = 4 << 10
# Where an ASGI scope keeps what its request holds.
HELD = "seqline.held"
# An internal error is logged with its traceback this often, whatever is sent.
LOG_SECONDS = 10.0


class App:
    """An ASGI application.

    Args:
        versions: The models.
        batcher: Runs their calls.
        metrics: Where requests are counted.
        readers: Read long bodies.
        limits: Limits of one request.
        max_total_bytes: Bytes of all requests in flight: bodies, what was read, and answers.
    """

    def __init__(
        self,
        versions: Versions,
        batcher: Batcher,
        metrics: Metrics,
        readers: Readers,
        limits: RequestLimits,
        max_total_bytes: int,
    ) -> None:
        self.versions = versions
        self.batcher = batcher
        self.metrics = metrics
        self.readers = readers
        self.limits = limits
        self.total = Total(max_total_bytes)
        # One thread: several would take turns in holding up the event loop's.
        self.writer = ThreadPoolExecutor(1, "answers")
        self.last_logged = -LOG_SECONDS
        self.page, self.page_headers = _page()
        # What the document shows, and the document.
        self.openapi: tuple[Any, bytes] = (None, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        request = Request(scope, receive)
        started = time.monotonic()
        model = version = method = ""
        held = Held(self.total)
        scope[HELD] = held

        try:
            path = scope["path"]
            match = MODELS.fullmatch(path)
            if match and match["name"] in self.versions.models:
                model = match["name"]
                method = (match["verb"] or match["metadata"] or "status").lower()

            response = await (
                self._models(request, match) if match else self._others(request, path)
            )
            version = response.headers.get(VERSION_HEADER, "")
        except RefusedError as error:
            response = _refusal(error)
        except ClientDisconnect:
            held.release()
            return
        except Exception:
            self._log_failure(scope)
            response = _answer(
                answers.dump({"error": "Internal error; the server's log has more."}), 500
            )

        self.metrics.on_request(
            model, version, method or "other", response.status_code, time.monotonic() - started
        )
        try:
            await response(scope, receive, send)
        finally:
            held.release()

    def _log_failure(self, scope: Scope) -> None:
        """Logs the exception of a request; not each one, should they come by thousands."""
        now = time.monotonic()
        asked = f"{scope['method']} {scope['path'][:200]}"
        if now >= self.last_logged + LOG_SECONDS:
            self.last_logged = now
            log.exception("%s", asked)

    async def _others(self, request: Request, path: str) -> Response:
        if path in ("/", *METRICS, ALIVE, READY, OPENAPI):
            _allow(request, "GET", "HEAD")
        if path == "/":
            return Response(self.page, headers=self.page_headers, media_type="text/html")
        if path in METRICS:
            return Response(self._measure(), media_type="text/plain; version=0.0.4")
        if path == ALIVE:
            return _answer(answers.dump({"status": "ok"}))
        if path == OPENAPI:
            return _answer(self._openapi())
        if path == READY:
            if reason := self.versions.not_ready():
                raise RefusedError(reason, status=503, retry_after=1)
            return _answer(answers.dump({"status": "ready"}))

        status = 400 if path.lower().startswith("/v1/") else 404
        raise RefusedError(f"Malformed request: {request.method} {path[:200]}", status=status)

    async def _models(self, request: Request, match: re.Match[str]) -> Response:
        """Answers a path under /v1/models."""
        name, label = match["name"], match["label"]
        number = int(match["number"]) if match["number"] else None
        if match["verb"]:
            _allow(request, "POST")
            return await self._call(request, match["verb"].lower(), name, number, label)

        _allow(request, "GET", "HEAD")
        if name is None:
            return _answer(answers.dump({"models": sorted(self.versions.models)}))
        if not match["metadata"]:
            return _answer(answers.dump(self.versions.status(name, number, label)))

        version = self.versions.choose(name, number, label)
        definitions = self.versions.acquire(version).metadata
        self.versions.release(version)
        document = {
            "model_spec": {"name": name, "signature_name": "", "version": str(version.number)},
            "metadata": {"signature_def": {"signature_def": definitions}},
        }
        return _answer(answers.dump(document), version=version)

    async def _call(
        self, request: Request, verb: str, name: str, number: int | None, label: str | None
    ) -> Response:
        self.versions.find(name)
        held: Held = request.scope[HELD]
        body = await self._body(request, held)

        # Chosen only now: the versions may have changed while the body arrived.
        version = self.versions.choose(name, number, label)
        model = self.versions.acquire(version)
        encoding = _encoding(request)
        try:
            if verb == "predict":
                answer = await self._predict(model, encoding, body, held)
            else:
                answer = await self._classify_or_regress(model, verb, encoding, body, held)
        except ABOUT_INPUT as error:
            raise RefusedError(short(error.message)) from None
        finally:
            self.versions.release(version)

        held.add(len(answer))
        return _answer(answer, version=version)

    async def _body(self, request: Request, held: Held) -> bytearray:
        """The request's body."""
        _encoding(request)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20:
            self.limits.check_body(int(declared))

        # Not a list of what arrived: a client may send a byte at a time.
        body = bytearray()
        async for chunk in request.stream():
            self.limits.check_body(len(body) + len(chunk))
            held.add(len(chunk))
            body += chunk
        return body

    async def _read(self, question: Question, body: bytearray, held: Held) -> ReadRequest:
        if _is_light(question, body):
            read = reading.read(question, body, self.limits)
            held.add(sum(held_bytes(value) for value in read.inputs.values()))
            return read
        return await self.readers.read(question, body, held.add)

    async def _predict(
        self, model: LoadedModel, encoding: str, body: bytearray, held: Held
    ) -> bytes:
        inputs = {name: signature.inputs for name, signature in model.signatures.items()}
        examples = [name for name, one in model.signatures.items() if one.takes_examples]
        question = Question(encoding, DEFAULT_SIGNATURE, inputs, examples)
        read = await self._read(question, body, held)

        signature = model.signatures[read.signature]
        outputs = await self.run(model, signature, read.inputs, held)
        return await self._write(
            outputs, lambda: answers.predict_answer(read.by_row, outputs, held.add)
        )

    async def _classify_or_regress(
        self, model: LoadedModel, verb: str, encoding: str, body: bytearray, held: Held
    ) -> bytes:
        read = await self._read(Question(encoding, None, {}, []), body, held)
        signature = examples_signature(model, verb, read.signature)
        inputs = dict.fromkeys(signature.inputs, read.inputs[EXAMPLES])

        outputs = await self.run(model, signature, inputs, held)
        answers.refuse_not_finite(outputs)
        if verb == "regress":
            return await self._write(outputs, lambda: answers.regress_answer(outputs))
        return await self._write(
            outputs, lambda: answers.classify_answer(outputs, model.labels, held.add)
        )

    async def run(
        self, model: LoadedModel, signature: Signature, inputs: dict[str, Any], held: Held
    ) -> tensors.Tensors:
        if not signature.batchable:
            # It is not split, and the model may pad each row to the longest.
            sizes = [row_bytes(value) for value in inputs.values() if value.shape and len(value)]
            padded = sum(len(each) * int(each.max()) for each in sizes)
            self.limits.check_held(padded, "The rows, each as long as the longest, take")

        outputs = await self.batcher.run(model, signature, inputs)
        held.add(sum(value.nbytes for value in outputs.values()))
        return outputs

    async def _write(self, outputs: tensors.Tensors, work: Callable[[], bytes]) -> bytes:
        """The result of work on outputs, which is done in a thread if they are many."""
        if sum(value.size for value in outputs.values()) * 8 < LONG_ANSWER:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.writer, work)

    def _openapi(self) -> bytes:
        """The OpenAPI document of the newest version of each model that answers."""
        newest = {
            name: model.versions[model.available()[-1]]
            for name, model in self.versions.models.items()
            if model.available()
        }
        shown = {
            name: (
                version.stamp,
                self.versions.models[name].available(),
                list(self.versions.models[name].labels),
            )
            for name, version in newest.items()
        }

        # Nothing else runs meanwhile, so no version is unloaded.
        if self.openapi[0] != shown:
            models = {}
            for name, version in newest.items():
                assert version.loaded is not None
                verbs = {
                    verb: [key for key, one in version.loaded.signatures.items() if fits(one, verb)]
                    for verb in ("classify", "regress")
                }
                models[name] = openapi.Shown(version.loaded, verbs, *shown[name][1:])
            self.openapi = (shown, answers.dump(openapi.document(models)))
        return self.openapi[1]

    def _measure(self) -> bytes:
        self.metrics.loaded.clear()
        for name, model in self.versions.models.items():
            for number in model.available():
                self.metrics.loaded.labels(name, str(number)).set(1)
        self.metrics.waiting.set(self.batcher.num_waiting)
        self.metrics.running.set(self.batcher.limits.num_threads - self.batcher.free)
        return self.metrics.text()


def _encoding(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in reading.ENCODINGS:
        known = ", ".join(reading.ENCODINGS[1:])
        raise RefusedError(
            f"Content-Encoding {encoding[:40]!r} is not known here; send one of {known}.",
            status=415,
        )
    return encoding


def _is_light(question: Question, body: bytearray) -> bool:
    """Whether a body is read so fast that nobody waits for it."""
    if question.encoding in reading.INFLATED or len(body) > LIGHT_BYTES:
        return False
    slow = b"\\" in body or b"signature_name" in body or question.default is None
    if len(body) > SLOW_BYTES and slow:
        return False
    return sum(map(body.count, (b",", b"[", b"{"))) <= LIGHT_VALUES


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise RefusedError(
            f"Method {request.method[:20]} is not allowed here; use {' or '.join(methods)}.",
            status=405,
        )


def _answer(body: bytes, status: int = 200, version: Version | None = None) -> Response:
    return Response(body, status, {VERSION_HEADER: str(version.number)} if version else None, JSON)


def _refusal(error: RefusedError) -> Response:
    response = _answer(
        answers.dump({"error": str(error).encode("utf-8", "replace").decode()}), error.status
    )
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    if error.status == 405:
        methods = str(error).rpartition(" use ")[2].rstrip(".")
        response.headers["allow"] = methods.replace(" or ", ", ")
    return response


def _page() -> tuple[bytes, dict[str, str]]:
    """The page, and headers that allow its own script and style and nothing else."""
    page = (resources.files("serving") / "page.html").read_bytes()
    hashes = {}
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), page, re.DOTALL)
        assert inside is not None
        hashes[tag] = base64.b64encode(hashlib.sha256(inside[1]).digest()).decode()

    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src"
        f" 'sha256-{hashes['style']}'; connect-src 'self'; img-src data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )
    return page, {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
