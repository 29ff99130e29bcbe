"""The stubs of tensorflow-serving-api and of the health service against a server."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.support.certificate import certificate
from tests.support.grpc_requests import (
    CODE,
    HALF,
    SECONDS,
    example_request,
    predict,
    predict_request,
    refusal,
)
from tests.support.served import Server, serving
from tests.support.training import free_ports


@pytest.fixture(scope="module")
def health(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


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
