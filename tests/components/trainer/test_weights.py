"""Weights of rows in the loss."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import TrainerParams
from components.trainer.input import shuffled
from components.trainer.loop import Loop
from seqline.data.features import EVAL, TRAIN
from tests.support.training import train_on_replicas, write_features

# No dropout: replicas draw for their own rows.
STILL = {"word_dropout": 0, "dropout": 0, "skip_dropout": 0, "branch_dropout": 0}
SMALL = {
    "wide": False,
    "embedding_dim": 4,
    "rnn_units": 4,
    "skip_dim": 4,
    "bidirectional": False,
    **STILL,
}


def step(rows: list[list[float]], classes: list[int], weights: list[float] | None) -> list[float]:
    """One step of a linear model of zeros: [losses, right answers, rows, norm of the gradient]."""
    model = keras.Sequential(
        [
            keras.layers.Input([2]),
            keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", activation="softmax"),
        ]
    )
    params = TrainerParams(clip_norm=0, label_smoothing=0)
    loop = Loop(model, params, 1, tf.distribute.get_strategy())
    batch = (tf.constant(rows), tf.one_hot(classes, 2))
    if weights is not None:
        batch += (tf.constant(weights),)

    data = iter(tf.data.Dataset.from_tensors(batch))
    zero = tf.constant(0, tf.int64)
    sums, norm, bad = loop.train(data, zero, zero + 1, tf.zeros([3], tf.float64))
    assert int(bad) == -1
    return [*sums.numpy().tolist(), float(norm)]


def test_the_loss_is_the_weighted_sum_over_the_rows_of_the_batch() -> None:
    """By hand: all probabilities are 1/2, so a row's loss is ln 2.

    Its gradient is x (p - y), of norm sqrt(1/2) for a row [1, 0] or [0, 1]. Those of the two rows
    are orthogonal.
    """
    norm = math.sqrt(0.5)
    rows, classes = [[1.0, 0.0], [0.0, 1.0]], [0, 1]
    expected = [2 * math.log(2), 1, 2, math.hypot(norm, norm) / 2]
    assert step(rows, classes, None) == pytest.approx(expected)
    expected = [3 * math.log(2), 1, 2, math.hypot(2 * norm, norm) / 2]
    assert step(rows, classes, [2.0, 1.0]) == pytest.approx(expected)

    # Weight 2 is the row twice: the same sum, over a batch of three.
    twice = step([rows[0], *rows], [0, *classes], None)
    assert twice == pytest.approx([3 * math.log(2), 2, 3, math.hypot(2 * norm, norm) / 3])

    # Weight 0 is no row, in a batch of the same size.
    assert step(rows, classes, [0.0, 1.0])[3] == pytest.approx(norm / 2)
    assert step(rows, classes, [0.0, 0.0]) == pytest.approx([0, 1, 2, 0])


@pytest.fixture(scope="module")
def feature_rows() -> list[dict[str, list]]:
    """Texts whose class is whether their first token is odd; the weight is a tenth of it."""
    return [
        {
            "ids": [place % 18 + 1] * (place % 4 + 1),
            "length": [place % 4 + 1],
            "label": [(place % 18 + 1) % 2],
            "weight": [(place % 18 + 1) / 10],
        }
        for place in range(53)
    ]


def write(root: Path, rows: list[dict[str, list]], is_weighted: bool) -> Path:
    """Features of the rows in train and eval."""
    for split in (TRAIN, EVAL):
        write_features(root, split, [rows[:20], rows[20:]])
    (root / "vocabularies").mkdir()
    (root / "vocabularies" / "labels").write_text("even\nodd\n")
    (root / "vocabularies" / "tokens").write_text("".join(f"t{place}\n" for place in range(18)))
    num_rows = {TRAIN: len(rows), EVAL: len(rows)}
    summary = {"content": "text", "dim": None, "max_length": 6, "num_rows": num_rows}
    if is_weighted:
        summary["weighted"] = True
    (root / "transform.json").write_text(json.dumps(summary))
    return root


def test_a_row_keeps_its_weight_in_every_order(
    feature_rows: list[dict[str, list]], tmp_path: Path
) -> None:
    rows = write(tmp_path / "features", feature_rows, True)
    data = shuffled(
        rows,
        53,
        seed=1,
        first_pass=0,
        num_passes=2,
        first_batch=0,
        num_classes=2,
        batch_size=8,
        pad_to=None,
        is_weighted=True,
        block_rows=24,
    )
    num_rows = 0
    for ids, label, weight in data.as_numpy_iterator():
        np.testing.assert_array_equal(weight, (ids[:, 0] / 10).astype(np.float32))
        np.testing.assert_array_equal(label, np.eye(2)[ids[:, 0] % 2])
        num_rows += len(ids)
    assert num_rows == 2 * 53


@pytest.mark.slow
def test_weights_of_one_change_no_bit_and_replicas_agree(
    feature_rows: list[dict[str, list]], tmp_path: Path
) -> None:
    """53 rows in batches of 20: the last one, of 13, does not divide by two replicas."""
    params = TrainerParams(**SMALL, batch_size=20, num_epochs=3, class_weights="balanced")
    ones = [{**row, "weight": [1.0]} for row in feature_rows]
    plain = write(tmp_path / "features of none", ones, False)
    of_ones = write(tmp_path / "features of ones", ones, True)
    weighted = write(tmp_path / "features", feature_rows, True)

    trained: dict[str, list[np.ndarray]] = {}
    histories = {}
    for features, trainings in (
        (plain, {"one": (1, params)}),
        (of_ones, {"of ones": (1, params)}),
        (weighted, {"weighted": (1, params), "on two": (2, params)}),
    ):
        train_on_replicas(trainings, features, tmp_path)
        for name in trainings:
            trained[name] = weights_of(tmp_path / name)
            histories[name] = json.loads((tmp_path / name / "history.json").read_text())

    assert histories["of ones"] == histories["one"]
    for weight, other in zip(trained["of ones"], trained["one"], strict=True):
        np.testing.assert_array_equal(weight, other)

    for name, values in histories["weighted"].items():
        assert histories["on two"][name] == pytest.approx(values, abs=1e-5), name
    assert histories["weighted"]["loss"] != histories["one"]["loss"]


def weights_of(model: Path) -> list[np.ndarray]:
    from seqline.model.network import load

    return [np.array(weight) for weight in load(model)[0].get_weights()]
