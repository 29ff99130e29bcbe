"""The endpoints: TensorFlow Serving's REST API, its metrics, and a page."""

import asyncio
import base64
import contextlib
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

import numpy as np
import tensorflow as tf
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving import answers, openapi, tensors
from serving.batching import Batcher
from serving.errors import RefusedError, short
from serving.metrics import Metrics
from serving.model import DEFAULT_SIGNATURE, LoadedModel, Signature
from serving.versions import Version, Versions

log = logging.getLogger("seqline.serve")

MODELS = re.compile(
    r"/v1/models(?:/(?P<name>[^/:]+)(?:/versions/(?P<number>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?:/(?P<metadata>metadata)|:(?P<verb>predict|classify|regress))?)?",
    re.IGNORECASE,
)
METRICS = ("/monitoring/prometheus/metrics", "/metrics")
ALIVE, READY, OPENAPI = "/healthz", "/readyz", "/openapi.json"
VERSION_HEADER = "x-model-version"
JSON = "application/json"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
EXAMPLES_SIGNATURE = "serving_examples"
# Longer bodies are read and written in a thread, so that other requests go on.
LONG_BODY = 1 << 16
# TensorFlow's errors that are about what was sent.
ABOUT_INPUT = (
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnimplementedError,
    tf.errors.NotFoundError,
)


class App:
    """An ASGI application.

    Args:
        versions: The models.
        batcher: Runs their calls.
        metrics: Where requests are counted.
        max_body_bytes: Bytes of one request's body.
        max_rows: Rows of one request.
        max_total_bytes: Bytes of the bodies of all requests in flight.
    """

    def __init__(
        self,
        versions: Versions,
        batcher: Batcher,
        metrics: Metrics,
        max_body_bytes: int,
        max_rows: int,
        max_total_bytes: int,
    ) -> None:
        self.versions = versions
        self.batcher = batcher
        self.metrics = metrics
        self.max_body_bytes = max_body_bytes
        self.max_rows = max_rows
        self.max_total_bytes = max_total_bytes
        self.total_bytes = 0
        self.page, self.page_headers = _page()
        # What the document shows, and the document.
        self.openapi: tuple[Any, bytes] = (None, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        request = Request(scope, receive)
        started = time.monotonic()
        model = version = method = ""

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
            return
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"][:200])
            response = _answer(
                answers.dump({"error": "Internal error; the server's log has more."}), 500
            )

        self.metrics.on_request(
            model, version, method or "other", response.status_code, time.monotonic() - started
        )
        await response(scope, receive, send)

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
        try:
            async with self._body(request) as body:
                # Chosen only now: the versions may have changed while the body arrived.
                version = self.versions.choose(name, number, label)
                model = self.versions.acquire(version)
                try:
                    call = self._predict if verb == "predict" else self._classify_or_regress
                    return _answer(await call(model, verb, body), version=version)
                finally:
                    self.versions.release(version)
        except ABOUT_INPUT as error:
            raise RefusedError(short(error.message)) from None

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body. It counts towards max_total_bytes until the request is answered."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError("Content-Encoding must be identity.", status=415)

        too_long = RefusedError(
            f"The request's body has more than {self.max_body_bytes} bytes; send its rows in"
            " several.",
            status=413,
        )

        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_body_bytes:
            raise too_long

        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                self.total_bytes += len(chunk)

                if size > self.max_body_bytes:
                    raise too_long
                if self.total_bytes > self.max_total_bytes:
                    raise RefusedError(
                        "Too many bytes of requests are waiting already. Try again.",
                        status=503,
                        retry_after=1,
                    )

            yield b"".join(chunks)
        finally:
            self.total_bytes -= size

    async def _predict(self, model: LoadedModel, verb: str, body: bytes) -> bytes:
        def read() -> tuple[Signature, bool, tensors.Tensors]:
            document = tensors.parse(body)
            signature = _signature(model, tensors.signature_name(document) or DEFAULT_SIGNATURE)
            return signature, *tensors.read_inputs(document, signature.inputs, self.max_rows)

        signature, by_row, inputs = await _apart(len(body), read)
        outputs = await self.batcher.run(model, signature, inputs)
        return await _apart(
            sum(value.nbytes for value in outputs.values()),
            lambda: answers.predict_answer(by_row, outputs),
        )

    async def _classify_or_regress(self, model: LoadedModel, verb: str, body: bytes) -> bytes:
        def read() -> tuple[Signature, np.ndarray]:
            document = tensors.parse(body)
            signature = _examples_signature(model, verb, tensors.signature_name(document))
            return signature, tensors.read_examples(document, self.max_rows)

        signature, examples = await _apart(len(body), read)
        outputs = await self.batcher.run(
            model, signature, dict.fromkeys(signature.inputs, examples)
        )
        answers.refuse_not_finite(outputs)
        results = _regressions(outputs) if verb == "regress" else _classes(outputs, model.labels)

        # TensorFlow Serving's documentation says "result" in one place and "results" in another;
        # the server says "results".
        return await _apart(
            len(examples) << 8, lambda: answers.dump({"results": results, "result": results})
        )

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
                    verb: [
                        key for key, one in version.loaded.signatures.items() if _fits(one, verb)
                    ]
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


def _signature(model: LoadedModel, name: str) -> Signature:
    if name not in model.signatures:
        known = ", ".join(model.signatures)
        raise RefusedError(
            f'Serving signature name: "{name[:100]}" not found in signature def; there are {known}'
        )
    return model.signatures[name]


def _examples_signature(model: LoadedModel, verb: str, name: str) -> Signature:
    """The signature that a classify or regress request asks.

    It has that method, or, as the exporter's, takes serialized tf.Examples and gives probabilities.
    """
    for candidate in [name] if name else [DEFAULT_SIGNATURE, EXAMPLES_SIGNATURE]:
        if candidate in model.signatures and _fits(model.signatures[candidate], verb):
            return model.signatures[candidate]

    if name:
        _signature(model, name)
        tried = f"{name!r} is none"
    else:
        tried = f"neither {DEFAULT_SIGNATURE} nor {EXAMPLES_SIGNATURE} is one"
    raise RefusedError(f"Expected a {verb} signature, for tf.Examples; {tried}.")


def _fits(signature: Signature, verb: str) -> bool:
    inputs = list(signature.inputs.values())
    if len(inputs) != 1 or inputs[0].dtype.kind != "O" or inputs[0].shape not in (None, (-1,)):
        return False
    if verb == "regress":
        return signature.method == REGRESS and "outputs" in signature.outputs
    if signature.method == CLASSIFY:
        return bool({"classes", "scores"} & signature.outputs.keys())
    return list(signature.inputs) == ["examples"] and "probabilities" in signature.outputs


def _classes(outputs: tensors.Tensors, labels: list[str]) -> list[list[list[Any]]]:
    """For each example [[label, score], ...], with the classes in the model's order."""
    scores = outputs.get("scores", outputs.get("probabilities"))
    classes = outputs.get("classes")
    given = classes if classes is not None else scores
    assert given is not None
    if given.ndim != 2 or (scores is not None and scores.shape != given.shape):
        raise RefusedError("The signature's outputs are not [batch, classes].")

    num_rows, num_classes = given.shape
    if classes is not None:
        named = answers.to_plain(classes, "classes")
    else:
        named = [labels if len(labels) == num_classes else [""] * num_classes] * num_rows

    scored = [[0.0] * num_classes] * num_rows
    if scores is not None:
        scored = answers.to_plain(scores, "scores")

    pairs = zip(named, scored, strict=True)
    return [[list(pair) for pair in zip(*row, strict=True)] for row in pairs]


def _regressions(outputs: tensors.Tensors) -> list[float]:
    values = outputs["outputs"]
    return answers.to_plain(values.reshape(-1), "outputs")


async def _apart(num_bytes: int, work: Callable[[], Any]) -> Any:
    """The result of work on so many bytes, which is done in a thread if they are many."""
    if num_bytes < LONG_BODY:
        return work()
    awaited: Awaitable[Any] = asyncio.get_running_loop().run_in_executor(None, work)
    return await awaited


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise RefusedError(
            f"Method {request.method[:20]} is not allowed here; use {methods[0]}.", status=405
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
        response.headers["allow"] = str(error).rpartition(" use ")[2].rstrip(".")
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
