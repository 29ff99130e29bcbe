"""The file that goes with a model of MLflow asks it as `seqline predict` does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow as tf

from pipeline.trackers.seqline_pyfunc import ServedModel, _load_pyfunc
from serving.predict import predict

TEXTS = ["The cat and dog!", "an apple; a pear", "", "gold \u00e9 iron", "nothing known"]


def test_it_answers_as_predict_does(saved_model: Path) -> None:
    model = _load_pyfunc(str(saved_model / "saved_model"))
    texts = TEXTS * 60  # more than a batch
    answers = model.predict(pd.DataFrame({"other": range(len(texts)), "text": texts}))
    expected = list(predict(saved_model / "saved_model", texts))

    assert list(answers.columns) == ["label", "probabilities"]
    assert answers["label"].tolist() == [answer["label"] for answer in expected]
    for given, answer in zip(answers["probabilities"], expected, strict=True):
        assert list(given) == list(answer["probabilities"])
        assert given == pytest.approx(answer["probabilities"], abs=1e-6)


def test_it_keeps_the_index_and_takes_no_rows(saved_model: Path) -> None:
    model = ServedModel(saved_model / "saved_model")
    rows = pd.DataFrame({"text": TEXTS[:2]}, index=[7, 3])
    assert model.predict(rows).index.tolist() == [7, 3]
    assert model.predict(rows[:0]).columns.tolist() == ["label", "probabilities"]


def test_a_request_without_the_column_says_so(saved_model: Path) -> None:
    model = ServedModel(saved_model / "saved_model")
    with pytest.raises(ValueError, match="needs the column 'text'; it has 'review'"):
        model.predict(pd.DataFrame({"review": ["good"]}))


def saved(folder: Path, serve: Callable[..., Any], **arguments: tf.TensorSpec) -> ServedModel:
    """A SavedModel whose signature answers by counting, loaded as one of seqline's."""
    module = tf.Module()
    signature = tf.function(serve).get_concrete_function(**arguments)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    (folder / "assets" / "labels").write_text("short\nlong\n")
    return ServedModel(folder)


def counted(lengths: tf.Tensor) -> dict[str, tf.Tensor]:
    """long, with the probability of a tenth for each part of a row."""
    long = tf.cast(lengths, tf.float32) / 10
    label = tf.where(long > 0.5, "long", "short")
    return {"label": label, "probabilities": tf.stack([1 - long, long], axis=1)}


def test_tokens_are_padded(tmp_path: Path) -> None:
    def serve(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        return counted(tf.reduce_sum(tf.cast(tokens != "", tf.int32), axis=1))

    spec = tf.TensorSpec([None, None], tf.string, name="tokens")
    model = saved(tmp_path, serve, tokens=spec)
    rows = pd.DataFrame({"tokens": [["a", "b"], "white space between these four words"]})
    answers = model.predict(rows)
    assert answers["label"].tolist() == ["short", "long"]
    assert answers["probabilities"][0] == pytest.approx({"short": 0.8, "long": 0.2})
    assert list(answers["probabilities"][1]) == ["long", "short"]


def test_sequences_are_padded_and_have_their_lengths(tmp_path: Path) -> None:
    def serve(sequence: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        return counted(length + tf.cast(tf.reduce_sum(sequence, axis=[1, 2]), tf.int64))

    model = saved(
        tmp_path,
        serve,
        sequence=tf.TensorSpec([None, None, 2], tf.float32, name="sequence"),
        length=tf.TensorSpec([None], tf.int64, name="length"),
    )
    rows = pd.DataFrame({"sequence": [[[1.0, 2.0]], [[0.0, 0.0], [0, 4]]]})
    answers = model.predict(rows)
    assert [row["long"] for row in answers["probabilities"]] == pytest.approx([0.4, 0.6])
