import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.base import Figures, UserError
from components.features import EVAL, TRAIN, shard_path
from components.network import load
from components.trainer import BLOG_POST, TRAINER, TrainerParams, run
from components.trainer.fit import learning_rate
from components.trainer.input import dataset
from components.transform.materialize import serialize
from tests.conftest import TRAINER_PARAMS

ROOT = Path(__file__).parents[1]
SMALL = {"embedding_dim": 4, "rnn_units": 4, "skip_dim": 4, "batch_size": 64, "num_epochs": 2}
# Twenty texts of no to four tokens, told apart by their first token; the class is the length modulo three.
TEXTS = [[], *([number] * (number % 4 + 1) for number in range(1, 20))]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the TEXTS in three shards of 7, 7 and 6 rows."""
    root = tmp_path_factory.mktemp("rows")
    (root / "Split-train").mkdir()
    for shard in range(3):
        texts = TEXTS[shard * 7 : shard * 7 + 7]
        length = np.array([len(text) for text in texts])
        with tf.io.TFRecordWriter(str(shard_path(root, TRAIN, shard, 3)), "GZIP") as writer:
            for row in serialize(np.array([token for text in texts for token in text]), length, length % 3):
                writer.write(row)
    return root


def batches(rows: Path, **settings: object) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(dataset(rows, TRAIN, 20, **{"num_classes": 3, "batch_size": 8, "pad_to": None, **settings}).as_numpy_iterator())


def texts_of(epoch: list[tuple[np.ndarray, np.ndarray]]) -> list[list[int]]:
    return [[token for token in row if token] for ids, _ in epoch for row in ids.tolist()]


def test_batches_are_padded_to_their_longest_text(rows: Path) -> None:
    for ids, label in batches(rows):
        assert ids.dtype == np.int64
        assert label.dtype == np.float32
        lengths = (ids > 0).sum(axis=1)
        assert ids.shape == (len(ids), lengths.max())
        np.testing.assert_array_equal(ids > 0, np.arange(ids.shape[1]) < lengths[:, None])
        np.testing.assert_array_equal(label, np.eye(3)[lengths % 3])
    assert [len(ids) for ids, _ in batches(rows)] == [8, 8, 4]


def test_pad_to_is_the_time_of_every_batch(rows: Path) -> None:
    padded = batches(rows, pad_to=6, shuffle_seed=0)
    assert [ids.shape for ids, _ in padded] == [(8, 6), (8, 6), (4, 6)]
    assert [ids.shape for ids, _ in batches(rows, pad_to=2)] == [(8, 2), (8, 2), (4, 2)]


def test_a_batch_of_texts_without_a_token_has_one_column(rows: Path) -> None:
    first, _ = batches(rows, batch_size=1)[0]
    np.testing.assert_array_equal(first, [[0]])


def test_without_a_seed_the_order_is_fixed(rows: Path) -> None:
    assert texts_of(batches(rows)) == texts_of(batches(rows))
    assert sorted(texts_of(batches(rows))) == sorted(TEXTS)


def test_every_epoch_has_every_row_once_in_an_order_of_its_own(rows: Path) -> None:
    def epochs(seed: int) -> list[list[list[int]]]:
        data = dataset(rows, TRAIN, 20, num_classes=3, batch_size=8, pad_to=None, shuffle_seed=seed)
        assert len(data) == 3
        return [texts_of(list(data.as_numpy_iterator())) for _ in range(3)]

    first = epochs(1)
    assert all(sorted(epoch) == sorted(TEXTS) for epoch in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs(1) == first
    assert epochs(2)[0] != first[0]


def test_the_number_of_rows_is_checked(rows: Path) -> None:
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 7 elements"):
        list(dataset(rows, TRAIN, 50, num_classes=3, batch_size=8, pad_to=None))


def test_learning_rate() -> None:
    assert learning_rate(TrainerParams(learning_rate=0.01, schedule="constant"), 100) == 0.01
    cosine = learning_rate(TrainerParams(learning_rate=0.01, schedule="cosine"), 100)
    assert [float(cosine(step)) for step in (0, 50, 100, 200)] == pytest.approx([0.01, 0.01 * 0.525, 0.01 * 0.05, 0.01 * 0.05])


def test_pooling_last_is_the_blog_post_model_unless_a_setting_is_given() -> None:
    last = TrainerParams(pooling="last")
    assert {name: getattr(last, name) for name in BLOG_POST} == BLOG_POST
    assert TrainerParams(pooling="last", learning_rate=0.02).model_dump() == {**last.model_dump(), "learning_rate": 0.02}
    assert TrainerParams(pooling="mean").skip_dim == TrainerParams().skip_dim
    with pytest.raises(ValidationError, match="pooling"):
        TrainerParams(pooling="first")


def test_the_corpus_is_learned(model: Path, figures: dict[str, Figures]) -> None:
    found = figures["trainer"]
    assert found["eval_accuracy"] > 0.9
    assert found["train_accuracy"] > 0.9
    assert found["num_epochs"] == TRAINER_PARAMS.num_epochs
    network, _ = load(model, training=True)
    assert found["num_parameters"] == network.count_params()
    assert TRAINER.describe(found).endswith(f"in epoch {found['best_epoch']} of 6")


def test_the_best_epoch_has_the_highest_eval_accuracy(model: Path, features: Path, figures: dict[str, Figures]) -> None:
    history = json.loads((model / "history.json").read_text())
    assert set(history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert {len(values) for values in history.values()} == {figures["trainer"]["num_epochs"]}
    scores = [(accuracy, -loss) for accuracy, loss in zip(history["val_accuracy"], history["val_loss"], strict=True)]
    best = figures["trainer"]["best_epoch"] - 1
    assert scores[best] == max(scores)
    assert (figures["trainer"]["eval_accuracy"], -figures["trainer"]["eval_loss"]) == scores[best]

    # And the weights are that epoch's.
    network, spec = load(model)
    num_rows = json.loads((features / "transform.json").read_text())["num_rows"][EVAL]
    held_out = dataset(features, EVAL, num_rows, num_classes=spec.num_classes, batch_size=64, pad_to=None)
    hits = [np.asarray(network(ids)).argmax(axis=1) == label.argmax(axis=1) for ids, label in held_out.as_numpy_iterator()]
    assert np.concatenate(hits).mean() == pytest.approx(history["val_accuracy"][best], abs=1e-6)


def test_two_runs_give_the_same_bits(model: Path, features: Path, tmp_path: Path, figures: dict[str, Figures]) -> None:
    assert run(features=features, params=TRAINER_PARAMS, output=tmp_path) == figures["trainer"]
    for name in ("model.weights.h5", "network.json", "history.json"):
        assert (tmp_path / name).read_bytes() == (model / name).read_bytes(), name


def test_another_seed_gives_other_weights(features: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        run(features=features, params=TrainerParams(**SMALL, seed=seed), output=tmp_path / str(seed))
    assert (tmp_path / "1" / "history.json").read_bytes() != (tmp_path / "2" / "history.json").read_bytes()


def test_patience_ends_training(features: Path, tmp_path: Path) -> None:
    # Nothing moves at this rate: the first epoch stays the best, and the second is the one that patience allows.
    params = TrainerParams(**{**SMALL, "num_epochs": 9}, learning_rate=1e-30, schedule="constant", patience=1)
    assert run(features=features, params=params, output=tmp_path)["num_epochs"] == 2


def test_pooling_last_is_embedding_simple_rnn_dense(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(pooling="last", embedding_dim=4, rnn_units=5, batch_size=64, num_epochs=1)
    run(features=features, params=params, output=tmp_path)
    network, spec = load(tmp_path)
    num_ids = spec.num_tokens + 2
    assert [weight.shape for weight in network.get_weights()] == [(num_ids, 4), (4, 5), (5, 5), (5,), (5, 3), (3,)]
    trainable, _ = load(tmp_path, training=True)
    assert trainable.count_params() == network.count_params()

    stock = keras.Sequential([keras.layers.Embedding(num_ids, 4), keras.layers.SimpleRNN(5), keras.layers.Dense(3, activation="softmax")])
    held_out = dataset(features, TRAIN, 1000, num_classes=3, batch_size=32, pad_to=spec.max_length).take(3)
    for ids, _ in held_out:
        stock.build(ids.shape)
        stock.set_weights(network.get_weights())
        np.testing.assert_allclose(np.asarray(network(ids)), np.asarray(stock(ids)), atol=1e-6)


def test_a_loss_that_is_no_number_names_the_learning_rate(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(**SMALL, learning_rate=1e30, schedule="constant", clip_norm=0.0)
    with pytest.raises(UserError, match=r"diverged at trainer\.learning_rate 1e\+30\. Lower it, or set trainer\.clip_norm"):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


def test_weights_that_the_last_step_ruined_are_not_kept(features: Path, tmp_path: Path) -> None:
    # One step in all: its loss is still a number, and only the eval split tells.
    params = TrainerParams(**{**SMALL, "batch_size": 1000, "num_epochs": 1}, learning_rate=1e30, schedule="constant", clip_norm=0.0)
    with pytest.raises(UserError, match=r"diverged at trainer\.learning_rate 1e\+30"):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


TWO_REPLICAS = """
import functools, json, sys
from pathlib import Path
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
tf.distribute.MirroredStrategy = functools.partial(tf.distribute.MirroredStrategy, devices=["CPU:0", "CPU:1"])
from components.trainer import TrainerParams, run
features, output, params = Path(sys.argv[1]), Path(sys.argv[2]), TrainerParams(**json.loads(sys.argv[3]))
figures = run(features=features, params=params, output=output)
print(json.dumps({**figures, "num_replicas": tf.distribute.MirroredStrategy().num_replicas_in_sync}))
"""


def test_two_replicas_learn_the_corpus_too(model: Path, features: Path, tmp_path: Path, figures: dict[str, Figures]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS, str(features), str(tmp_path), TRAINER_PARAMS.model_dump_json()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["num_replicas"] == 2
    assert found["eval_accuracy"] > 0.9
    assert found["num_parameters"] == figures["trainer"]["num_parameters"]
    assert all(math.isfinite(loss) for loss in json.loads((tmp_path / "history.json").read_text())["loss"])
    assert load(tmp_path)[1] == load(model)[1]
