import json
from pathlib import Path

import keras
import numpy as np
import pytest

from components.trainer import TRAINER, TrainerParams, run
from components.trainer.input import dataset
from seqline.component import Figures
from seqline.data.features import EVAL, TRAIN
from seqline.model.network import load
from tests.support.corpus import TRAINER_PARAMS
from tests.support.training import SMALL, batches


def test_the_corpus_is_learned(model: Path, figures: dict[str, Figures]) -> None:
    trained = figures["trainer"]
    assert trained["eval_accuracy"] > 0.9
    assert trained["train_accuracy"] > 0.9
    assert trained["num_epochs"] == TRAINER_PARAMS.num_epochs
    network, _ = load(model, training=True)
    assert trained["num_parameters"] == network.count_params()
    assert TRAINER.describe(trained).endswith(f"in epoch {trained['best_epoch']} of 6")


def test_the_best_epoch_has_the_highest_eval_accuracy(
    model: Path, features: Path, figures: dict[str, Figures]
) -> None:
    history = json.loads((model / "history.json").read_text())
    assert set(history) == {
        "accuracy",
        "gradient_norm",
        "learning_rate",
        "loss",
        "val_accuracy",
        "val_loss",
    }
    assert {len(values) for values in history.values()} == {figures["trainer"]["num_epochs"]}

    scores = [
        (accuracy, -loss)
        for accuracy, loss in zip(history["val_accuracy"], history["val_loss"], strict=True)
    ]
    best = figures["trainer"]["best_epoch"] - 1
    assert scores[best] == max(scores)
    assert (figures["trainer"]["eval_accuracy"], -figures["trainer"]["eval_loss"]) == scores[best]

    # And the weights are that epoch's.
    network, spec = load(model)
    num_rows = json.loads((features / "transform.json").read_text())["num_rows"][EVAL]
    held_out = dataset(
        features, EVAL, num_rows, num_classes=spec.num_classes, batch_size=64, pad_to=None
    )

    hits = [
        np.asarray(network(ids)).argmax(axis=1) == label.argmax(axis=1)
        for ids, label in held_out.as_numpy_iterator()
    ]
    assert np.concatenate(hits).mean() == pytest.approx(history["val_accuracy"][best], abs=1e-6)


def test_two_runs_give_the_same_bits(
    model: Path, features: Path, tmp_path: Path, figures: dict[str, Figures]
) -> None:
    assert run(features=features, params=TRAINER_PARAMS, output=tmp_path) == figures["trainer"]
    for name in ("model.weights.h5", "network.json", "history.json"):
        assert (tmp_path / name).read_bytes() == (model / name).read_bytes(), name


def test_another_seed_gives_other_weights(model: Path, features: Path, tmp_path: Path) -> None:
    run(features=features, params=TRAINER_PARAMS.model_copy(update={"seed": 1}), output=tmp_path)
    losses, others = (
        json.loads((folder / "history.json").read_text())["loss"] for folder in (tmp_path, model)
    )
    assert [mine != theirs for mine, theirs in zip(losses, others, strict=True)] == [True] * 6


def test_pooling_last_is_embedding_simple_rnn_dense(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(
        pooling="last", embedding_dim=4, rnn_units=5, batch_size=64, num_epochs=1
    )
    run(features=features, params=params, output=tmp_path)
    network, spec = load(tmp_path)

    num_ids = spec.num_tokens + 2
    assert [weight.shape for weight in network.get_weights()] == [
        (num_ids, 4),
        (4, 5),
        (5, 5),
        (5,),
        (5, 3),
        (3,),
    ]

    trainable, _ = load(tmp_path, training=True)
    assert trainable.count_params() == network.count_params()

    stock = keras.Sequential(
        [
            keras.layers.Embedding(num_ids, 4),
            keras.layers.SimpleRNN(5),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    held_out = dataset(
        features, TRAIN, 1000, num_classes=3, batch_size=32, pad_to=spec.max_length
    ).take(3)

    for ids, _ in held_out:
        stock.build(ids.shape)
        stock.set_weights(network.get_weights())
        np.testing.assert_allclose(np.asarray(network(ids)), np.asarray(stock(ids)), atol=1e-6)


def test_sequences_are_learned_the_same_each_time(sequences: Path, tmp_path: Path) -> None:
    params = TrainerParams(**{**SMALL, "num_epochs": 6}, min_epoch_steps=16)
    figures = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        figures.append(run(features=sequences, params=params, output=tmp_path / name))

    assert figures[0] == figures[1]
    assert figures[0]["eval_accuracy"] >= 0.95
    for name in ("model.weights.h5", "network.json", "history.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), (
            name
        )

    spec = load(tmp_path / "one")[1]
    assert (spec.num_tokens, spec.dim, spec.num_classes, spec.max_length) == (0, 2, 2, 6)


def test_pooling_last_of_sequences_is_simple_rnn_dense(sequences: Path, tmp_path: Path) -> None:
    params = TrainerParams(
        pooling="last", rnn_units=5, batch_size=64, num_epochs=1, min_epoch_steps=1
    )
    run(features=sequences, params=params, output=tmp_path)
    network, _ = load(tmp_path)
    stock = keras.Sequential(
        [keras.layers.SimpleRNN(5), keras.layers.Dense(2, activation="softmax")]
    )

    for (values, length), _ in batches(sequences, num_rows=40, num_classes=2, pad_to=6, dim=2):
        stock.build(values.shape)
        stock.set_weights(network.get_weights())
        np.testing.assert_allclose(
            np.asarray(network((values, length))), np.asarray(stock(values)), atol=1e-6
        )


def test_the_implementation_keras_learns_the_same(features: Path, tmp_path: Path) -> None:
    # A token that is in a batch many times is one row of the embedding, and moves once.
    still = {
        "word_dropout": 0,
        "dropout": 0,
        "skip_dropout": 0,
        "branch_dropout": 0,
        "clip_norm": 0.1,
    }
    params = TrainerParams(**SMALL, **still, bidirectional=False)

    histories = []
    for implementation in ("fast", "keras"):
        (tmp_path / implementation).mkdir()
        run(
            features=features,
            params=params.with_values({"implementation": implementation}),
            output=tmp_path / implementation,
        )
        histories.append(json.loads((tmp_path / implementation / "history.json").read_text()))

    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], abs=1e-5), name
