"""The endpoints, case by case as TensorFlow Serving's documentation (api_rest) has them."""

import base64
from typing import Any

import numpy as np
import pytest

from tests.support.served import Server


def status_of(version: str) -> dict[str, Any]:
    return {
        "version": version,
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


# Model status API.


def test_status_of_all_versions_of_one_and_of_a_label(server: Server) -> None:
    path = "/v1/models/half_plus_three"
    assert server.get(path).json() == {"model_version_status": [status_of("124"), status_of("123")]}
    assert server.get(f"{path}/versions/123").json() == {"model_version_status": [status_of("123")]}
    assert server.get(f"{path}/labels/canary").json() == {
        "model_version_status": [status_of("124")]
    }


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/half", 404, "Could not find any versions of model half"),
        ("/v1/models/empty", 404, "Could not find any versions of model empty"),
        (
            "/v1/models/half_plus_three/versions/5",
            404,
            "Could not find version 5 of model half_plus_three",
        ),
        (
            "/v1/models/half_plus_three/labels/gone",
            400,
            "Unrecognized servable version label: gone",
        ),
        (
            "/v1/models/half_plus_three/versions/one",
            400,
            "Malformed request: GET /v1/models/half_plus_three/versions/one",
        ),
        (
            "/v1/models/half_plus_three/versions/" + "9" * 5000,
            400,
            "Malformed request: GET /v1/models/half_plus_three/versions/999",
        ),
        ("/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("/elsewhere", 404, "Malformed request: GET /elsewhere"),
        ("/v1/models/half_plus_three:predict", 405, "Method GET is not allowed here; use POST."),
    ],
)
def test_what_is_not_there(server: Server, path: str, status: int, message: str) -> None:
    got = server.get(path)
    assert got.status_code == status
    assert got.json()["error"].startswith(message)
    assert got.headers.get("allow") == ("POST" if status == 405 else None)


# Model metadata API.


def test_metadata(server: Server) -> None:
    got = server.get("/v1/models/text/metadata").json()
    assert got["model_spec"] == {"name": "text", "signature_name": "", "version": "7"}

    signature = got["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"] == {
        "text": {"dtype": "DT_STRING", "tensor_shape": shape, "name": "serving_default_text:0"}
    }
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert {"probabilities", "label", "class_id"} <= signature["outputs"].keys()
    assert (
        server.get("/v1/models/half_plus_three/versions/123/metadata").json()["model_spec"][
            "version"
        ]
        == "123"
    )


# Classify and regress API.


def test_regress_as_in_the_example(server: Server) -> None:
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert server.answer("/v1/models/half_plus_three/versions/123:regress", body)["results"] == [
        3.5,
        4.0,
    ]

    body = {
        "signature_name": "tensorflow/serving/regress",
        "context": {"x": 1.0},
        "examples": [{}, {"other": [1, 2]}],
    }

    assert server.answer("/v1/models/half_plus_three/labels/canary:regress", body)["results"] == [
        4.5,
        4.5,
    ]


def test_classify(server: Server) -> None:
    body = {"signature_name": "classify", "examples": [{"x": 1.0}, {"x": 2.0}]}
    expected = [[["plus", 3.5], ["minus", -3.5]], [["plus", 4.0], ["minus", -4.0]]]
    got = server.answer("/v1/models/half_plus_three/versions/123:classify", body)
    assert got == {"results": expected, "result": expected}


def test_classify_asks_the_exporters_signature_of_examples(server: Server) -> None:
    texts = ["The cat and dog", "The plum", ""]
    [plain] = server.answer("/v1/models/text:predict", {"inputs": texts}).values()
    got = server.answer(
        "/v1/models/text:classify", {"examples": [{"text": text} for text in texts]}
    )["results"]
    assert [[label for label, _ in row] for row in got] == [["animals", "fruit", "metals"]] * 3
    np.testing.assert_allclose(
        [[score for _, score in row] for row in got], plain["probabilities"], atol=1e-6
    )

    encoded = {"b64": base64.b64encode(texts[0].encode()).decode()}
    [alone] = server.answer("/v1/models/text:classify", {"examples": [{"text": encoded}]})[
        "results"
    ]
    assert [label for label, _ in alone] == ["animals", "fruit", "metals"]

    # A batch of another size is summed up in another order: the same but for the rounding of
    # float32.
    assert [score for _, score in alone] == pytest.approx([score for _, score in got[0]], abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("text:regress", {"examples": [{"text": "a"}]}, "Expected a regress signature"),
        ("half_plus_three:classify", {"examples": [{"x": 1.0}]}, "Expected a classify signature"),
        (
            "text:classify",
            {"signature_name": "serving_default", "examples": [{"text": "a"}]},
            "Expected a classify signature",
        ),
        (
            "text:classify",
            {"signature_name": "none", "examples": [{"text": "a"}]},
            'Serving signature name: "none" not found',
        ),
        ("text:classify", {}, "Expecting 'examples' value to be an list/array"),
        ("text:classify", {"examples": []}, "'examples' value is an empty array"),
        ("text:classify", {"examples": ["a"]}, "Example must be JSON object"),
        (
            "text:classify",
            {"examples": [{"text": None}]},
            "Feature: text has element with unexpected JSON type",
        ),
        (
            "text:classify",
            {"examples": [{"text": ["a", 1]}]},
            "Feature: text has elements of several types",
        ),
        (
            "text:classify",
            {"examples": [{"text": [["a"]]}]},
            "Feature: text has element with unexpected JSON type",
        ),
        (
            "text:classify",
            {"examples": [{"number": 2**63, "text": "a"}]},
            'Feature: "number" cannot be stored',
        ),
        (
            "text:classify",
            {"examples": [{"text": "a"}], "context": {"text": "b"}},
            "Feature: text is in 'context' and in example 0",
        ),
        (
            "text:classify",
            {"examples": [{}]},
            "Name: <unknown>, Feature: text (data type: string) is required",
        ),
        ("text:classify", {"examples": [{"text": 1}]}, "Name: <unknown>, Key: text"),
    ],
)
def test_what_classify_and_regress_refuse(
    server: Server, path: str, body: Any, message: str
) -> None:
    assert server.refusal(f"/v1/models/{path}", body).startswith(message)


# Metrics.


def test_metrics(server: Server) -> None:
    server.answer("/v1/models/half_plus_three/versions/123:predict", {"instances": [1.0]})
    server.refusal("/v1/models/documented:predict", {})
    got = server.get("/monitoring/prometheus/metrics")
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    labels = 'code="200",method="predict",model_name="half_plus_three",status="OK",version="123"'
    assert f":tensorflow:serving:request_count{{{labels}}} " in got.text
    labels = 'API="Predict",entrypoint="REST",le="100.0",model_name="text"'
    assert f":tensorflow:serving:request_latency_bucket{{{labels}}} " in got.text
    assert ':tensorflow:serving:loaded_version{model_name="text",version="7"} 1.0' in got.text
    assert ":tensorflow:serving:batching_session:batch_size_bucket" in got.text
    assert "gone" not in got.text  # a made-up name is not a label
