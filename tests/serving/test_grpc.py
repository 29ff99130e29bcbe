"""The stubs of tensorflow-serving-api and of the health service against a server."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.support.certificate import certificate
from tests.support.served import Server, serving
from tests.support.training import free_ports

SECONDS = 60
CODE = grpc.StatusCode
HALF = "half_plus_three"


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        server.grpc, [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture(scope="module")
def health(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def predict_request(name: str, signature: str = "", **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def predict(stub: Any, *arguments: str, **inputs: Any) -> dict[str, np.ndarray]:
    answer = stub.Predict(predict_request(*arguments, **inputs), timeout=SECONDS)
    return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


def example_request(kind: Any, name: str, signature: str, *rows: dict[str, Any]) -> Any:
    request = kind()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        for key, value in row.items():
            if isinstance(value, str):
                features[key].bytes_list.value.append(value.encode())
            else:
                features[key].float_list.value.append(value)
    return request


def refusal(call: Any, request: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=SECONDS, **options)
    return raised.value.code(), raised.value.details()


# Answers.


def test_texts_get_the_probabilities_that_rest_gives_bit_by_bit(server: Server, stub: Any) -> None:
    texts = ["The cat and dog", "The plum", ""]
    got = predict(stub, "text", text=texts)
    rest = server.answer("/v1/models/text:predict", {"inputs": texts})["outputs"]
    assert got["probabilities"].dtype == np.float32
    assert got["probabilities"].tolist() == np.float32(rest["probabilities"]).tolist()
    assert [label.decode() for label in got["label"]] == rest["label"]
    assert got["class_id"].tolist() == rest["class_id"]


def test_tokens_and_sequences(server: Server, stub: Any) -> None:
    tokens = [["the", "cat"], ["plum", ""]]
    got = predict(stub, "tokens", tokens=tokens)
    rest = server.answer("/v1/models/tokens:predict", {"inputs": tokens})["outputs"]
    assert got["probabilities"].tolist() == np.float32(rest["probabilities"]).tolist()

    inputs = {"sequence": [[[0.5, 1.0], [2.0, 0.0]]], "length": [2]}
    given = {"sequence": np.float32(inputs["sequence"]), "length": np.int64(inputs["length"])}
    metadata = server.get("/v1/models/sequence/metadata").json()["metadata"]["signature_def"]
    dtype = metadata["signature_def"]["serving_default"]["inputs"]["length"]["dtype"]
    given["length"] = given["length"].astype(getattr(tf, dtype[3:].lower()).as_numpy_dtype)
    got = predict(stub, "sequence", **given)
    rest = server.answer("/v1/models/sequence:predict", {"inputs": inputs})["outputs"]
    assert got["probabilities"].tolist() == np.float32(rest["probabilities"]).tolist()


def test_the_answer_names_what_answered_and_the_filter_chooses(stub: Any) -> None:
    request = predict_request("documented", tag=["a"], signal=np.int32([[1, 2, 3, 4, 5]]))
    request.inputs["sensor"].CopyFrom(tf.make_tensor_proto(np.ones((1, 2, 2), np.float32)))
    request.output_filter.extend(["sum", "tag"])
    answer = stub.Predict(request, timeout=SECONDS)
    assert dict(answer.outputs).keys() == {"sum", "tag"}
    assert list(answer.outputs["sum"].int_val) == [15]
    assert list(answer.outputs["tag"].string_val) == [b"a"]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "documented",
        1,
        "serving_default",
    )


def test_a_version_by_number_and_by_label(stub: Any) -> None:
    request = predict_request(HALF, x=np.float32([2.0]))
    answer = stub.Predict(request, timeout=SECONDS)
    assert (answer.model_spec.version.value, list(answer.outputs["y"].float_val)) == (124, [5.0])

    request.model_spec.version.value = 123
    assert list(stub.Predict(request, timeout=SECONDS).outputs["y"].float_val) == [4.0]
    request.model_spec.version_label = "canary"
    assert stub.Predict(request, timeout=SECONDS).model_spec.version.value == 124


def test_classify_and_regress(server: Server, stub: Any) -> None:
    kind = classification_pb2.ClassificationRequest
    answer = stub.Classify(example_request(kind, HALF, "classify", {"x": 1.0}, {"x": 2.0}))
    rows = [
        [(one.label, one.score) for one in row.classes] for row in answer.result.classifications
    ]
    assert rows == [[("plus", 4.5), ("minus", -4.5)], [("plus", 5.0), ("minus", -5.0)]]
    assert answer.model_spec.signature_name == "classify"

    text = {"text": "The cat and dog"}
    answer = stub.Classify(example_request(kind, "text", "", text), timeout=SECONDS)
    [rest] = server.answer("/v1/models/text:classify", {"examples": [text]})["results"]
    [row] = answer.result.classifications
    assert [(one.label, one.score) for one in row.classes] == [
        (label, float(np.float32(score))) for label, score in rest
    ]

    kind = regression_pb2.RegressionRequest
    request = example_request(kind, HALF, "tensorflow/serving/regress", {"x": 1.0}, {"x": 2.0})
    answer = stub.Regress(request, timeout=SECONDS)
    assert [one.value for one in answer.result.regressions] == [4.5, 5.0]


def test_metadata_and_status(stub: Any, models: Any) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "text"
    answer = stub.GetModelMetadata(request, timeout=SECONDS)
    assert answer.model_spec.version.value == 7
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(definitions)
    signature = definitions.signature_def["serving_default"]
    assert signature.inputs["text"].name == "serving_default_text:0"
    assert signature.inputs["text"].dtype == tf.string.as_datatype_enum

    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = HALF
    answer = models.GetModelStatus(status, timeout=SECONDS)
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(one.version, one.state) for one in answer.model_version_status] == [
        (124, available),
        (123, available),
    ]


def test_health(health: Any) -> None:
    def check(name: str) -> Any:
        return health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS).status

    serving = health_pb2.HealthCheckResponse.SERVING
    assert check("") == check("text") == serving
    assert check("empty") == health_pb2.HealthCheckResponse.NOT_SERVING
    unknown = health_pb2.HealthCheckRequest(service="gone")
    assert refusal(health.Check, unknown)[0] == CODE.NOT_FOUND

    for name, status in (("text", serving), ("gone", 3)):  # SERVICE_UNKNOWN
        watch = health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        assert next(watch).status == status
        watch.cancel()


# Refusals.


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


def test_calls_are_counted(server: Server, stub: Any) -> None:
    predict(stub, HALF, x=np.float32([1.0]))
    refusal(stub.Predict, predict_request("text"))
    text = server.get("/monitoring/prometheus/metrics").text
    labels = f'code="",method="predict",model_name="{HALF}",status="OK",version="124"'
    assert f":tensorflow:serving:request_count{{{labels}}} " in text
    labels = 'code="",method="predict",model_name="text",status="INVALID_ARGUMENT",version="7"'
    assert f":tensorflow:serving:request_count{{{labels}}} " in text
    labels = f'API="Predict",entrypoint="GRPC",le="100.0",model_name="{HALF}"'
    assert f":tensorflow:serving:request_latency_bucket{{{labels}}} " in text
    assert "gone" not in text


def test_the_token_and_tls_hold_for_grpc(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    token_file = tmp_path / "token"
    token_file.write_text("a-token-of-our-own_123")
    [port] = free_ports(1)
    flags = (
        f"--port={port}",
        f"--model_base_path={tmp_path / 'none'}",
        f"--token_file={token_file}",
        f"--ssl_certificate_file={certificate_file}",
        f"--ssl_key_file={key_file}",
    )
    credentials = grpc.ssl_channel_credentials(certificate_file.read_bytes())

    with (
        serving(tmp_path, *flags) as server,
        grpc.secure_channel(f"localhost:{port}", credentials) as secure,
        grpc.insecure_channel(server.grpc) as plain,
    ):
        health = health_pb2_grpc.HealthStub(secure)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        named = health_pb2.HealthCheckRequest(service="half")
        assert refusal(health.Check, named)[0] == CODE.UNAUTHENTICATED

        stub = prediction_service_pb2_grpc.PredictionServiceStub(secure)
        request = predict_request("half")
        assert refusal(stub.Predict, request)[0] == CODE.UNAUTHENTICATED
        for token, code in (("wrong", CODE.UNAUTHENTICATED), (token_file.read_text(), None)):
            metadata = [("authorization", f"Bearer {token}")]
            got = refusal(stub.Predict, request, metadata=metadata)[0]
            assert got == (code or CODE.NOT_FOUND)

        stub = prediction_service_pb2_grpc.PredictionServiceStub(plain)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Predict(request, timeout=5)
        assert raised.value.code() in (CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED)
        assert server.log.read_text().count("\n") < 10
