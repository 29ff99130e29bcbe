"""What the gRPC methods of a server refuse, and with which code."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
)

from tests.support.grpc_requests import (
    CODE,
    HALF,
    SECONDS,
    example_request,
    predict,
    predict_request,
    refusal,
)
from tests.support.served import Server


def versioned(number: int = 0, label: str = "") -> Any:
    request = predict_request(HALF, x=np.float32([2.0]))
    if label:
        request.model_spec.version_label = label
    else:
        request.model_spec.version.value = number
    return request


def filtered(*outputs: str) -> Any:
    request = predict_request(HALF, x=np.float32([2.0]))
    request.output_filter.extend(outputs)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_pb2.PredictRequest(), CODE.INVALID_ARGUMENT, "Missing ModelSpec"),
        (predict_request("gone"), CODE.NOT_FOUND, "Servable not found for request: Latest(gone)"),
        (versioned(5), CODE.NOT_FOUND, f"Servable not found for request: Specific({HALF}, 5)"),
        (versioned(-1), CODE.NOT_FOUND, "Servable not found"),
        (versioned(label="x"), CODE.FAILED_PRECONDITION, "Unrecognized servable version label: x"),
        (
            predict_request(HALF, "none"),
            CODE.FAILED_PRECONDITION,
            'Serving signature key "none" not found.',
        ),
        (predict_request(HALF), CODE.INVALID_ARGUMENT, "input size does not match signature: 0!=1"),
        (
            predict_request(HALF, z=np.float32([1])),
            CODE.INVALID_ARGUMENT,
            "input size does not match signature: 1!=1. Sent extra: {z}. Missing but required: {x}",
        ),
        (predict_request(HALF, x=["a"]), CODE.INVALID_ARGUMENT, "Input x: Expects DT_FLOAT"),
        (predict_request(HALF, x=np.float32(1)), CODE.INVALID_ARGUMENT, "Input x: got shape []"),
        (filtered("z"), CODE.INVALID_ARGUMENT, "output tensor alias not found in signature: z"),
        (filtered("y", "y"), CODE.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
        (predict_request(HALF, x=np.zeros(301, np.float32)), CODE.RESOURCE_EXHAUSTED, "301 rows"),
        (predict_request(HALF, x=np.zeros(30_000, np.float32)), CODE.RESOURCE_EXHAUSTED, "larger"),
        (
            predict_request("text", "serving_examples", examples=[b"no example"]),
            None,
            "",
        ),
    ],
)
def test_what_predict_refuses(stub: Any, request_: Any, code: Any, message: str) -> None:
    got, details = refusal(stub.Predict, request_)
    assert got == code if code else got not in (CODE.INTERNAL, CODE.UNKNOWN)
    assert message in details


def test_a_tensor_that_claims_terabytes(stub: Any) -> None:
    request = predict_request("text", text=["a"])
    request.inputs["text"].tensor_shape.dim[0].size = 1 << 40
    assert refusal(stub.Predict, request)[0] == CODE.RESOURCE_EXHAUSTED


def test_a_compressed_message_is_not_inflated(stub: Any) -> None:
    request = predict_request("text", text=["a" * 1000_000])
    code, details = refusal(stub.Predict, request, compression=grpc.Compression.Gzip)
    assert (code, details) == (CODE.UNIMPLEMENTED, "Compression algorithm 'gzip' is disabled.")


def test_what_the_other_methods_refuse(stub: Any, models: Any) -> None:
    kind = classification_pb2.ClassificationRequest
    code, details = refusal(stub.Classify, example_request(kind, HALF, "", {"x": 1.0}))
    assert (code, details[:26]) == (CODE.INVALID_ARGUMENT, "Expected a classify signat")
    request = example_request(kind, "text", "")
    assert refusal(stub.Classify, request) == (CODE.INVALID_ARGUMENT, "Input is empty.")
    request = example_request(kind, "text", "", {"text": 1.0})
    assert refusal(stub.Classify, request)[0] == CODE.INVALID_ARGUMENT

    code, _ = refusal(stub.MultiInference, inference_pb2.MultiInferenceRequest())
    assert code == CODE.UNIMPLEMENTED
    reload_ = model_management_pb2.ReloadConfigRequest()
    code, details = refusal(models.HandleReloadConfigRequest, reload_)
    assert (code, "--model_config_file" in details) == (CODE.UNIMPLEMENTED, True)

    metadata = get_model_metadata_pb2.GetModelMetadataRequest()
    assert refusal(stub.GetModelMetadata, metadata)[0] == CODE.INVALID_ARGUMENT
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "gone"
    assert refusal(models.GetModelStatus, status)[0] == CODE.NOT_FOUND


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [
            "tensorflow.serving.PredictionService/Predict",
            "tensorflow.serving.PredictionService/Classify",
            "tensorflow.serving.PredictionService/Regress",
            "tensorflow.serving.PredictionService/GetModelMetadata",
            "tensorflow.serving.ModelService/GetModelStatus",
            "grpc.health.v1.Health/Check",
            "tensorflow.serving.SessionService/SessionRun",
        ]
    ),
    st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda more: b"\x0a\x06\x0a\x04text" + more),
)
def test_any_bytes_are_answered_without_an_internal_error(
    server: Server, channel: grpc.Channel, method: str, body: bytes
) -> None:
    call = channel.unary_unary(f"/{method}").future(body, timeout=SECONDS)
    assert call.code() in (
        CODE.OK,
        CODE.INVALID_ARGUMENT,
        CODE.NOT_FOUND,
        CODE.FAILED_PRECONDITION,
        CODE.RESOURCE_EXHAUSTED,
        CODE.UNIMPLEMENTED,
    ), call.details()
    assert "Traceback" not in server.log.read_text()


def test_a_call_without_a_message_and_one_whose_deadline_passes(
    server: Server, channel: grpc.Channel, stub: Any
) -> None:
    call = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as raised:
        call(iter([]), timeout=SECONDS)
    assert raised.value.details() == "The call has no message."

    # A client that never sends its message ends by its own deadline, and holds up nobody.
    release = threading.Event()

    def never() -> Iterator[bytes]:
        release.wait()
        yield b""

    waiting = call.future(never(), timeout=1)
    predict(stub, HALF, x=np.float32([1.0]))
    with pytest.raises(grpc.RpcError) as raised:
        waiting.result()
    release.set()
    assert raised.value.code() == CODE.DEADLINE_EXCEEDED
