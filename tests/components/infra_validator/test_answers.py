"""The recorded answers, and their comparison with those of a server."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.infra_validator import (
    InfraValidatorParams,
    validation,
)
from components.infra_validator.validation import warmup_requests
from seqline.data.answers import Answer
from tests.components.infra_validator.support import evaluated


@pytest.mark.parametrize("content", ["tokens", "sequence"])
def test_rows_are_recorded_without_padding(content: str, tmp_path: Path) -> None:
    _, evaluation = evaluated(content, tmp_path)
    answers = [json.loads(line) for line in (evaluation / "answers.jsonl").read_text().splitlines()]
    expected = {
        "tokens": [{"tokens": ["token"] * size} for size in range(1, 8)],
        "sequence": [
            {"sequence": [[1.0, float(np.float32(0.1 * size))]] * size, "length": size}
            for size in range(1, 8)
        ],
    }

    assert [answer["row"] for answer in answers] == expected[content]
    assert [answer["probabilities"] for answer in answers] == [[0.25, 0.75], [0.75, 0.25]] * 3 + [
        [0.25, 0.75]
    ]


def test_answers_lose_nothing(evaluation: Path, saved_model: Path) -> None:
    answers = [json.loads(line) for line in (evaluation / "answers.jsonl").read_text().splitlines()]
    serve = tf.saved_model.load(str(saved_model / "saved_model")).signatures["serving_default"]
    probabilities = serve(text=tf.constant([answer["row"]["text"] for answer in answers]))[
        "probabilities"
    ].numpy()
    recorded = np.array([answer["probabilities"] for answer in answers])
    assert (recorded == recorded.astype(np.float32)).all()
    np.testing.assert_allclose(probabilities, recorded, rtol=0, atol=1e-6)


def test_warm_up_requests_are_sent_as_the_rest_api_takes_them(tmp_path: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = "serving_fast"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a", b"\xff"]))
    request.inputs["length"].CopyFrom(tf.make_tensor_proto([1, 2], tf.int64))
    other = prediction_log_pb2.PredictionLog()
    other.classify_log.request.model_spec.name = "x"

    with tf.io.TFRecordWriter(str(tmp_path / "warmup")) as writer:
        writer.write(log.SerializeToString())
        writer.write(other.SerializeToString())

    [sent] = warmup_requests(tmp_path / "warmup")
    assert sent == {
        "signature_name": "serving_fast",
        "inputs": {"text": [{"b64": "YQ=="}, {"b64": "/w=="}], "length": [1, 2]},
    }
    assert list(warmup_requests(tmp_path / "none")) == []


class Answering:
    """A server that has one answer."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": [self.answer]}


def test_labels_differ_only_where_two_classes_are_as_good_as_equal() -> None:
    tolerance = validation.Tolerance(1e-5, "a test")
    answer = Answer({"text": "a"}, [0.25, 0.5, 0.25], "fruit", 1)
    server: Any = Answering(probabilities=[0.25, 0.5, 0.25], label="metals", class_id=2)

    [refusal], difference = validation.compare(server, [answer], tolerance)
    assert (
        refusal
        == "row 1 of test: the server answers label 'metals', the evaluator got 'fruit', with 0.5"
        " against 0.25 for the next class: no rounding turns them around, the model's labels are"
        " in another order"
    )
    assert difference == 0

    equal = replace(answer, probabilities=[0.1, 0.450001, 0.449999])
    server = Answering(probabilities=[0.1, 0.449999, 0.450001], label="metals", class_id=2)
    assert validation.compare(server, [equal], tolerance)[0] == []

    unnamed = Answer(answer.row, answer.probabilities)
    server = Answering(probabilities=[0.25, 0.5, 0.25])
    assert validation.compare(server, [unnamed], tolerance) == ([], 0.0)


def test_the_tolerance_is_the_models_own_unless_it_is_set(tmp_path: Path) -> None:
    assert validation.tolerance_of(tmp_path, InfraValidatorParams()).value == 1e-4
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "model.json").write_text('{"parity": {"tolerance": 2.5e-05}}')
    assert (
        str(validation.tolerance_of(tmp_path, InfraValidatorParams()))
        == "2.5e-05: the tolerance in the model's model.json"
    )
    assert (
        str(validation.tolerance_of(tmp_path, InfraValidatorParams(max_difference=0.5)))
        == "0.5: infra_validator.max_difference"
    )
