"""The answers of a SavedModel of pre-tokenised rows or of sequences."""

import json
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.exporter import ExporterParams, run
from components.trainer import TrainerParams
from components.trainer import run as run_trainer
from components.transform import TransformParams
from components.transform import run as run_transform
from seqline.data.examples import Content
from seqline.data.features import SPLITS
from seqline.model import network
from serving.predict import predict
from tests.support.corpus import write_examples
from tests.support.exports import read_serialized

WORDS = ["cat", "dog", "Dog", "a cat", "\u00e9"]

TOKEN_ROWS = [
    ([WORDS[(number * step + step) % 5] for step in range(number % 6)] + ["end"], "ab"[number % 2])
    for number in range(24)
]

SEQUENCE_ROWS = [
    ([[number - 12, step**2, 0.1] for step in range(number % 6 + 1)], "ab"[number % 2])
    for number in range(24)
]

SMALL = {
    "wide": False,
    "embedding_dim": 4,
    "rnn_units": 4,
    "skip_dim": 4,
    "batch_size": 16,
    "num_epochs": 1,
}


Transformed = Callable[[Content], tuple[Path, Path]]


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """Makes (Examples, Features) of the rows."""

    @cache
    def make(content: Content) -> tuple[Path, Path]:
        work = tmp_path_factory.mktemp("transformed")
        rows = TOKEN_ROWS if content == "tokens" else SEQUENCE_ROWS
        splits = {"train": rows[:16], "eval": rows[16:20], "test": rows[20:]}
        examples = write_examples(work / "examples", splits, content)
        params = TransformParams(min_frequency=1, max_length=5)
        (work / "features").mkdir()
        run_transform(examples=examples, params=params, output=work / "features")
        return examples, work / "features"

    return make


@pytest.fixture(scope="module", params=["tokens", "sequence", "sequence, padding read"])
def served(
    request: pytest.FixtureRequest,
    transformed: Transformed,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """A SavedModel, and everything that it was made of.

    Of pre-tokenised rows, or of sequences of three numbers a time step; both have at most five
    tokens or time steps.
    """
    work = tmp_path_factory.mktemp("served")
    content, plain = request.param.split(",")[0], "padding" in request.param
    rows = TOKEN_ROWS if content == "tokens" else SEQUENCE_ROWS
    examples, features = transformed(content)
    for name in ("model", "saved_model"):
        (work / name).mkdir()

    params = TrainerParams(**SMALL, pooling="last" if plain else "max", min_epoch_steps=4)
    run_trainer(features=features, params=params, output=work / "model")
    run(
        examples=examples,
        features=features,
        model=work / "model",
        params=ExporterParams(),
        output=work / "saved_model",
    )

    loaded = tf.saved_model.load(str(work / "saved_model" / "saved_model"))
    requests = [row for row, _ in rows]
    serialized = [read_serialized(examples, split) for split in SPLITS]

    # One shard a split: the rows are in order.
    return {
        "content": content,
        "time": 5 if plain else None,
        "rows": requests,
        "examples": tf.constant([row for split in serialized for row in split]),
        "features": features,
        "network": network.load(work / "model", training=True)[0],
        "loaded": loaded,
        "path": work / "saved_model" / "saved_model",
    }


def ask(served: dict[str, Any], rows: list, time: int = 6) -> dict[str, np.ndarray]:
    """serving_default's answers to rows padded to `time`."""
    if served["content"] == "tokens":
        request = {
            "tokens": tf.constant(
                [row + [""] * (time - len(row)) for row in rows], tf.string, shape=(len(rows), time)
            )
        }
    else:
        # What follows a row must not count: here it is not zeros.
        padded = [row + [[7, 7, 7]] * (time - len(row)) for row in rows]
        request = {"sequence": tf.constant(padded, tf.float32, shape=(len(rows), time, 3))}
        request["length"] = tf.constant([len(row) for row in rows], tf.int64)

    return {
        name: value.numpy()
        for name, value in served["loaded"].signatures["serving_default"](**request).items()
    }


def read_features(served: dict[str, Any]) -> list[tuple[list, int, int]]:
    """(ids or values, length, label) of every row, in order."""
    rows = []
    for split in SPLITS:
        for serialized in read_serialized(served["features"], split):
            feature = tf.train.Example.FromString(serialized).features.feature
            content = feature["ids"].int64_list.value or np.reshape(
                feature["values"].float_list.value, (-1, 3)
            )

            rows.append(
                (
                    list(content),
                    feature["length"].int64_list.value[0],
                    feature["label"].int64_list.value[0],
                )
            )

    return rows


def dense(served: dict[str, Any], time: int) -> tuple[np.ndarray, np.ndarray]:
    """(the Features' ids or values padded to `time`, the lengths)."""
    rows = read_features(served)
    shape, dtype = ((time,), np.int64) if served["content"] == "tokens" else ((time, 3), np.float32)
    padded = np.zeros((len(rows), *shape), dtype)
    for row, (content, length, _) in zip(padded, rows, strict=True):
        row[:length] = content
    return padded, np.array([length for _, length, _ in rows])


def test_signatures_of_tokens_and_sequences(served: dict[str, Any]) -> None:
    def describe(specs: dict[str, tf.TensorSpec]) -> dict[str, list]:
        return {name: [spec.dtype.name, list(spec.shape)] for name, spec in specs.items()}

    signatures, time = served["loaded"].signatures, served["time"]
    by_content = {
        "tokens": ({"tokens": ["string", [None, None]]}, {"ids": ["int64", [None, time]]}),
        "sequence": (
            {"sequence": ["float32", [None, None, 3]], "length": ["int64", [None]]},
            {"values": ["float32", [None, time, 3]]},
        ),
    }
    default, row = by_content[served["content"]]
    answer = {
        "class_id": ["int64", [None]],
        "label": ["string", [None]],
        "probabilities": ["float32", [None, 2]],
    }

    assert describe(signatures["serving_default"].structured_input_signature[1]) == default
    for name in ("serving_examples", "transform_features"):
        assert describe(signatures[name].structured_input_signature[1]) == {
            "examples": ["string", [None]]
        }
    assert ("serving_ids" in signatures) == (served["content"] == "tokens")
    assert "serving_ascii" not in signatures
    for name in ("serving_default", "serving_examples", "serving_fast"):
        assert describe(signatures[name].structured_outputs) == answer

    lengths = {"length": ["int64", [None]], "label": ["int64", [None]]}
    assert describe(signatures["transform_features"].structured_outputs) == {**row, **lengths}
    assets = {path.name for path in (served["path"] / "assets").iterdir()}
    assert assets == ({"tokens", "labels"} if served["content"] == "tokens" else {"labels"})


def test_rows_give_the_features_that_the_trainer_read(served: dict[str, Any]) -> None:
    transformed = served["loaded"].signatures["transform_features"](examples=served["examples"])
    expected, length = dense(served, 5)
    np.testing.assert_array_equal(
        transformed["ids" if served["content"] == "tokens" else "values"].numpy(), expected
    )
    assert transformed["length"].numpy().tolist() == length.tolist()
    assert transformed["label"].numpy().tolist() == [label for _, _, label in read_features(served)]


def test_rows_give_the_probabilities_of_the_trained_network(served: dict[str, Any]) -> None:
    padded, length = dense(served, 5)
    expected = np.asarray(
        served["network"](
            padded if served["content"] == "tokens" else (padded, length), training=False
        )
    )

    answer = ask(served, served["rows"])
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(answer["class_id"], answer["probabilities"].argmax(axis=1))
    assert answer["label"].tolist() == [[b"a", b"b"][class_id] for class_id in answer["class_id"]]

    by_examples = served["loaded"].signatures["serving_examples"](examples=served["examples"])
    for name, value in answer.items():
        np.testing.assert_array_equal(by_examples[name].numpy(), value)


def test_predict_asks_for_tokens_and_sequences(served: dict[str, Any]) -> None:
    answers = list(predict(served["path"], map(json.dumps, served["rows"])))
    expected = ask(served, served["rows"])
    for answer, row, label, probabilities in zip(
        answers, served["rows"], expected["label"], expected["probabilities"], strict=True
    ):
        assert answer[served["content"]] == row
        assert answer["label"] == label.decode()
        assert [answer["probabilities"][name] for name in "ab"] == pytest.approx(
            probabilities.tolist(), abs=2e-6
        )


def test_numbers_that_are_too_large_give_no_class(served: dict[str, Any]) -> None:
    """In the graph itself, for any server; the other rows of the batch keep their answers."""
    if served["content"] == "tokens":
        pytest.skip("rows of tokens hold ids, not numbers that could overflow")

    # Which of the sums are infinite, and which are not, depends on the weights.
    large = [[[a * 3e38, b * 3e38, c * 3e38]] * 5 for a, b, c in product((1, -1), repeat=3)]
    rows = [served["rows"][1], *large]
    answer = ask(served, rows)
    lacking = ~np.isfinite(answer["probabilities"]).all(axis=1)
    assert lacking.any()
    assert not lacking[0]

    likeliest = np.nan_to_num(answer["probabilities"]).argmax(axis=1)
    np.testing.assert_array_equal(answer["class_id"], np.where(lacking, -1, likeliest))
    labels = [b"a", b"b", b""]
    assert answer["label"].tolist() == [labels[class_id] for class_id in answer["class_id"]]
    np.testing.assert_allclose(
        answer["probabilities"][0], ask(served, rows[:1])["probabilities"][0], atol=1e-6
    )

    for number, predicted in enumerate(predict(served["path"], map(json.dumps, rows))):
        assert predicted["sequence"] == rows[number]
        if lacking[number]:
            assert predicted["error"] == (
                f"Row {number + 1} has no class: the model's probabilities for it are not finite"
                " numbers."
            )
        else:
            assert predicted["label"] == answer["label"][number].decode()


def test_padding_and_other_rows_do_not_matter(served: dict[str, Any]) -> None:
    together = ask(served, served["rows"])["probabilities"]
    np.testing.assert_allclose(
        ask(served, served["rows"], time=30)["probabilities"], together, atol=1e-6
    )
    for row, expected in zip(served["rows"][:8], together, strict=False):
        np.testing.assert_allclose(
            ask(served, [row], len(row))["probabilities"][0], expected, atol=1e-6
        )


def test_a_row_is_read_up_to_max_length(served: dict[str, Any]) -> None:
    row = (served["rows"][3] * 5)[:12]
    np.testing.assert_array_equal(
        ask(served, [row], 12)["probabilities"], ask(served, [row[:5]], 12)["probabilities"]
    )


@pytest.mark.parametrize(
    ("rows", "time"), [([[]], 0), ([[]], 3), ([], 0), ([], 3), ([[], None], 6)]
)
def test_rows_of_nothing_and_no_rows_get_an_answer(
    served: dict[str, Any], rows: list, time: int
) -> None:
    given = [served["rows"][4] if row is None else row for row in rows]
    probabilities = ask(served, given, time)["probabilities"]
    assert probabilities.shape == (len(rows), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(len(rows)), atol=1e-6)
    nothing = served["loaded"].signatures["serving_examples"](examples=tf.constant([], tf.string))[
        "probabilities"
    ]
    assert nothing.shape == (0, 2)


@pytest.mark.parametrize("served", ["sequence"], indirect=True)
@pytest.mark.parametrize(
    ("length", "message"),
    [
        ([4, 2], "greater than the time"),
        ([-1, 2], "negative"),
        ([1], "one entry for each row"),
        ([1, 1, 1], "one entry for each row"),
    ],
)
def test_a_length_that_cannot_be_is_an_error(
    served: dict[str, Any], length: list[int], message: str
) -> None:
    serve = served["loaded"].signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(sequence=tf.zeros([2, 3, 3]), length=tf.constant(length, tf.int64))


@pytest.mark.parametrize("served", ["sequence"], indirect=True)
def test_an_example_with_a_part_of_a_time_step_is_an_error(served: dict[str, Any]) -> None:
    made = tf.train.Example()
    made.features.feature["sequence"].float_list.value.extend([1, 2, 3, 4])
    for name in ("serving_examples", "transform_features"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no multiple of 3 numbers"):
            served["loaded"].signatures[name](examples=tf.constant([made.SerializeToString()]))
