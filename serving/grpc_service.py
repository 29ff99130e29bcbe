"""The methods of TensorFlow Serving's PredictionService and ModelService.

Each takes the bytes of its request and gives those of its response. The status of a failure is
TensorFlow Serving's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import messages
from serving.app import App
from serving.errors import RefusedError
from serving.example_signatures import examples_signature
from serving.examples import check_serialized
from serving.model import DEFAULT_SIGNATURE, EXAMPLES, LoadedModel, Signature
from serving.tensors import Tensors
from serving.versions import Version

# Longer messages are read and written in a thread, one at a time.
LONG_MESSAGE = 1 << 16
# Bytes that are counted for each class or regression of an answer.
BYTES_OF_VALUE = 64
SIGNATURE_DEF = "signature_def"


class FailedCall(Exception):  # noqa: N818 - an RPC that fails may be no error of ours
    """Ends a call with a status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class PredictionService:
    """The methods.

    Args:
        app: The REST side, whose models, batches and limits these are.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.thread = ThreadPoolExecutor(1, "messages")

    async def predict(self, body: bytes, call: Any) -> bytes:
        request = await self._parse(predict_pb2.PredictRequest, body)
        async with self._chosen(request, call) as (version, model):
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = model.signatures.get(name)
            if signature is None:
                raise FailedCall(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f'Serving signature key "{name[:100]}" not found.',
                )

            wanted = _wanted(request.output_filter, signature)
            inputs = await self._apart(len(body), lambda: self._inputs(request, signature))
            outputs = await self.app.run(model, signature, inputs, call.held)

            def answer() -> bytes:
                response = predict_pb2.PredictResponse(model_spec=_spec(call, version, name))
                for alias in wanted:
                    response.outputs[alias].CopyFrom(messages.to_proto(outputs[alias]))
                return response.SerializeToString()

            return await self._apart(sum(outputs[alias].nbytes for alias in wanted), answer)

    def _inputs(self, request: Any, signature: Signature) -> Tensors:
        """The tensors of a predict request.

        Raises:
            RefusedError: They are not the signature's inputs, or together too large.
        """
        given, wanted = set(request.inputs), set(signature.inputs)
        if given != wanted:
            extra = ",".join(sorted(given - wanted)[:10])[:200]
            raise RefusedError(
                f"input size does not match signature: {len(given)}!={len(wanted)}. Sent extra:"
                f" {{{extra}}}. Missing but required: {{{','.join(sorted(wanted - given))}}}."
            )

        limits = self.app.limits
        inputs = {
            name: messages.to_array(
                request.inputs[name], spec, name, limits.max_rows, limits.max_held_bytes
            )
            for name, spec in signature.inputs.items()
        }
        limits.check_inputs(inputs)
        if signature.takes_examples:
            [serialized] = inputs.values()
            check_serialized(serialized)
        return inputs

    async def classify(self, body: bytes, call: Any) -> bytes:
        request = await self._parse(classification_pb2.ClassificationRequest, body)
        async with self._chosen(request, call) as (version, model):
            signature, outputs = await self._ask_examples(
                request, model, "classify", len(body), call
            )

            def answer() -> bytes:
                response = classification_pb2.ClassificationResponse(
                    model_spec=_spec(call, version, signature.name)
                )
                _add_classes(response.result, outputs, model.labels)
                return response.SerializeToString()

            size = sum(value.size for value in outputs.values())
            return await self._apart(size * BYTES_OF_VALUE, answer)

    async def regress(self, body: bytes, call: Any) -> bytes:
        request = await self._parse(regression_pb2.RegressionRequest, body)
        async with self._chosen(request, call) as (version, model):
            signature, outputs = await self._ask_examples(
                request, model, "regress", len(body), call
            )
            values = outputs["outputs"].reshape(-1)

            def answer() -> bytes:
                response = regression_pb2.RegressionResponse(
                    model_spec=_spec(call, version, signature.name)
                )
                for value in values.tolist():
                    response.result.regressions.add(value=value)
                return response.SerializeToString()

            return await self._apart(values.size * BYTES_OF_VALUE, answer)

    async def _ask_examples(
        self, request: Any, model: LoadedModel, verb: str, num_bytes: int, call: Any
    ) -> tuple[Signature, Tensors]:
        """The signature for the tf.Examples of a request, and its outputs."""
        limits = self.app.limits
        signature = examples_signature(model, verb, request.model_spec.signature_name)

        def read() -> Tensors:
            examples = messages.examples_of(request.input, limits.max_rows, limits.max_held_bytes)
            limits.check_inputs({EXAMPLES: examples})
            return dict.fromkeys(signature.inputs, examples)

        inputs = await self._apart(num_bytes, read)
        outputs = await self.app.run(model, signature, inputs, call.held)
        return signature, outputs

    async def multi_inference(self, body: bytes, call: Any) -> bytes:
        raise FailedCall(
            grpc.StatusCode.UNIMPLEMENTED,
            "MultiInference is not served. Call Classify and Regress instead.",
        )

    async def get_model_metadata(self, body: bytes, call: Any) -> bytes:
        request = await self._parse(get_model_metadata_pb2.GetModelMetadataRequest, body)
        if not request.metadata_field:
            raise RefusedError("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise RefusedError(f"Metadata field {field[:100]} is not supported")

        async with self._chosen(request, call) as (version, model):
            definitions = get_model_metadata_pb2.SignatureDefMap()
            json_format.ParseDict({"signature_def": model.metadata}, definitions)
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=_spec(call, version, "")
            )
            response.metadata[SIGNATURE_DEF].Pack(definitions)
            return response.SerializeToString()

    async def get_model_status(self, body: bytes, call: Any) -> bytes:
        request = await self._parse(get_model_status_pb2.GetModelStatusRequest, body)
        name, number, label = self._named(request, call)

        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self.app.versions.status(name, number, label)["model_version_status"]:
            json_format.ParseDict(status, response.model_version_status.add())
        return response.SerializeToString()

    async def handle_reload_config_request(self, body: bytes, call: Any) -> bytes:
        raise FailedCall(
            grpc.StatusCode.UNIMPLEMENTED,
            "This server follows the file of --model_config_file; change that file instead.",
        )

    # Requests.

    async def _parse(self, kind: Any, body: bytes) -> Any:
        return await self._apart(len(body), lambda: messages.parse(kind, body))

    async def _apart(self, num_bytes: int, work: Callable[[], Any]) -> Any:
        """The result of work on so many bytes, which is done in the thread if they are many."""
        if num_bytes < LONG_MESSAGE:
            return work()
        awaited: Awaitable[Any] = asyncio.get_running_loop().run_in_executor(self.thread, work)
        return await awaited

    def _named(self, request: Any, call: Any) -> tuple[str, int | None, str | None]:
        """The model's name and the version's number or label that a request names.

        Raises:
            RefusedError: It names no model.
            FailedCall: There is no such label.
        """
        spec = request.model_spec
        if not request.HasField("model_spec") or not spec.name:
            raise RefusedError("Missing ModelSpec")

        model = self.app.versions.models.get(spec.name)
        if model is not None:
            call.model = spec.name

        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return spec.name, spec.version.value, None
        if choice == "version_label":
            if model is not None and spec.version_label not in model.labels:
                raise FailedCall(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Unrecognized servable version label: {spec.version_label[:100]}",
                )
            return spec.name, None, spec.version_label
        return spec.name, None, None

    @asynccontextmanager
    async def _chosen(self, request: Any, call: Any) -> AsyncIterator[tuple[Version, LoadedModel]]:
        """The version that answers a request. It stays loaded until the request is answered."""
        version = self.app.versions.choose(*self._named(request, call))
        call.version = str(version.number)
        model = self.app.versions.acquire(version)
        try:
            yield version, model
        finally:
            self.app.versions.release(version)


def _spec(call: Any, version: Version, signature_name: str) -> Any:
    spec = model_pb2.ModelSpec(name=call.model, signature_name=signature_name)
    spec.version.value = version.number
    return spec


def _wanted(output_filter: Any, signature: Signature) -> list[str]:
    """The outputs that a request asks for: all of them without a filter."""
    wanted: dict[str, None] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise RefusedError(
                f"output tensor alias not found in signature: {alias[:100]} Outputs expected to be"
                f" in the set {{{','.join(signature.outputs)}}}."
            )
        if alias in wanted:
            raise RefusedError(f"duplicate output tensor alias: {alias}")
        wanted[alias] = None
    return list(wanted or signature.outputs)


def _add_classes(result: Any, outputs: Tensors, labels: list[str]) -> None:
    """Adds the classes of each row to a ClassificationResult, in the model's order."""
    classes, scores = outputs.get("classes"), outputs.get("scores", outputs.get("probabilities"))
    given = classes if classes is not None else scores
    assert given is not None
    if given.ndim != 2 or (scores is not None and scores.shape != given.shape):
        raise RefusedError("The signature's outputs are not [batch, classes].")

    num_rows, num_classes = given.shape
    named = labels if len(labels) == num_classes else [""] * num_classes
    scored = [0.0] * num_classes
    for row in range(num_rows):
        if classes is not None:
            named = [value.decode("utf-8", "replace") for value in classes[row]]
        if scores is not None:
            scored = scores[row].tolist()
        listed = result.classifications.add()
        for label, score in zip(named, scored, strict=True):
            listed.classes.add(label=label, score=score)
