import json
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from components.trainer import BLOG_POST, TRAINER, TrainerParams, checkpoint, counting, fit, run
from components.trainer import input as trainer_input
from components.trainer.checkpoint import Progress
from components.trainer.counting import Counts
from components.trainer.fit import passes_per_epoch
from components.trainer.input import dataset, shuffled
from components.trainer.optimizer import Adam, Average, clipped, learning_rate
from components.trainer.start import vocabulary
from seqline.component import Figures
from seqline.data.features import EVAL, TRAIN
from seqline.errors import UserError
from seqline.model.layers import bigram_buckets
from seqline.model.network import load
from tests.conftest import TRAINER_PARAMS

SMALL = {"embedding_dim": 4, "rnn_units": 4, "skip_dim": 4, "batch_size": 64, "num_epochs": 2}
# Twenty texts of no to four tokens, told apart by their first token; the class is the length modulo
# three.
TEXTS = [[], *([number] * (number % 4 + 1) for number in range(1, 20))]


# Forty sequences of one to five time steps of two numbers; the second one is noise, and the class
# is whether the first one rises.
SEQUENCES = [
    [[(step + 1) * (-1) ** number, number % 7 - 3] for step in range(number % 5 + 1)]
    for number in range(40)
]


def write_features(root: Path, split: str, shards: list[list[dict[str, list]]]) -> None:
    """Features by hand: rows of feature name -> numbers, by shard."""
    (root / f"Split-{split}").mkdir(parents=True)
    for number, rows in enumerate(shards):
        path = root / f"Split-{split}" / f"data_tfrecord-{number:05d}-of-{len(shards):05d}.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for row in rows:
                example = tf.train.Example()
                for name, numbers in row.items():
                    feature = example.features.feature[name]
                    (feature.float_list if name == "values" else feature.int64_list).value.extend(
                        numbers
                    )
                writer.write(example.SerializeToString())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the TEXTS in three shards of 7, 7 and 6 rows."""
    root = tmp_path_factory.mktemp("rows")
    made = [{"ids": text, "length": [len(text)], "label": [len(text) % 3]} for text in TEXTS]
    write_features(root, TRAIN, [made[:7], made[7:14], made[14:]])
    return root


def batches(rows: Path, **settings: object) -> list[tuple]:
    return list(
        dataset(
            rows,
            TRAIN,
            **{"num_rows": 20, "num_classes": 3, "batch_size": 8, "pad_to": None, **settings},
        ).as_numpy_iterator()
    )


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
    widths = [ids.shape[1] for ids, _ in batches(rows)]
    assert widths == sorted(widths), "rows of about the same length are together"


def test_pad_to_is_the_time_of_every_batch(rows: Path) -> None:
    padded = batches(rows, pad_to=6)
    assert [ids.shape for ids, _ in padded] == [(8, 6), (8, 6), (4, 6)]
    assert [ids.shape for ids, _ in batches(rows, pad_to=2)] == [(8, 2), (8, 2), (4, 2)]


def test_a_batch_of_texts_without_a_token_has_one_column(rows: Path) -> None:
    first, _ = batches(rows, batch_size=1)[0]
    np.testing.assert_array_equal(first, [[0]])


def test_without_a_seed_the_order_is_fixed(rows: Path) -> None:
    assert texts_of(batches(rows)) == texts_of(batches(rows))
    assert sorted(texts_of(batches(rows))) == sorted(TEXTS)


def passes(
    rows: Path, seed: int, first_pass: int = 0, first_batch: int = 0
) -> list[list[list[int]]]:
    """The texts of each batch of passes 0, 1 and 2, from a batch of a pass on."""
    position = {"first_pass": first_pass, "num_passes": 3, "first_batch": first_batch}
    data = shuffled(rows, 20, seed=seed, num_classes=3, batch_size=8, pad_to=None, **position)
    return [texts_of([batch]) for batch in data.as_numpy_iterator()]


def test_every_pass_has_every_row_once_in_an_order_of_its_own(rows: Path) -> None:
    found = passes(rows, 1)
    assert [sorted(map(len, found[start : start + 3])) for start in (0, 3, 6)] == [[4, 8, 8]] * 3
    first, second, third = (
        [text for batch in found[start : start + 3] for text in batch] for start in (0, 3, 6)
    )
    assert sorted(first) == sorted(second) == sorted(third) == sorted(TEXTS)
    assert first != second != third != first
    assert passes(rows, 1) == found
    assert passes(rows, 2)[:3] != found[:3]


@pytest.mark.parametrize(("first_pass", "first_batch"), [(0, 2), (1, 0), (1, 1), (2, 2)])
def test_the_order_can_be_taken_up_anywhere(rows: Path, first_pass: int, first_batch: int) -> None:
    assert (
        passes(rows, 1, first_pass, first_batch) == passes(rows, 1)[3 * first_pass + first_batch :]
    )


def test_the_number_of_rows_is_checked(rows: Path) -> None:
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 7 elements"):
        list(dataset(rows, TRAIN, 50, num_classes=3, batch_size=8, pad_to=None))


def test_learning_rate() -> None:
    assert float(
        learning_rate(TrainerParams(learning_rate=0.01, schedule="constant"), tf.constant(7), 100)
    ) == pytest.approx(0.01)
    cosine = [
        float(
            learning_rate(
                TrainerParams(learning_rate=0.01, schedule="cosine"), tf.constant(step), 100
            )
        )
        for step in (0, 50, 100)
    ]
    assert cosine == pytest.approx([0.01, 0.01 * 0.525, 0.01 * 0.05])


def test_adam_is_keras_adam_on_dense_gradients() -> None:
    random = np.random.default_rng(0)
    start, gradients = (
        random.normal(size=(3, 4)).astype(np.float32),
        random.normal(size=(5, 3, 4)).astype(np.float32),
    )
    ours, theirs = tf.Variable(start), keras.Variable(start)
    adam, stock = Adam([ours]), keras.optimizers.Adam(0.01)
    for step, gradient in enumerate(gradients):
        adam.apply([tf.constant(gradient)], tf.constant(0.01), tf.constant(step))
        stock.apply([tf.constant(gradient)], [theirs])
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), atol=1e-6)


def test_the_learning_rate_rises_over_the_warm_up() -> None:
    params = TrainerParams(learning_rate=0.01, schedule="linear", warmup=0.1)
    rates = [
        float(learning_rate(params, tf.constant(step), 100)) for step in (0, 4, 9, 10, 55, 100)
    ]
    assert rates == pytest.approx([0.001, 0.005, 0.01, 0.01, 0.00525, 0.0005])


def test_adam_leaves_rows_without_a_gradient_alone() -> None:
    random = np.random.default_rng(0)
    start, gradient = (
        random.normal(size=(4, 3)).astype(np.float32),
        random.normal(size=(2, 3)).astype(np.float32),
    )
    table, whole, small = tf.Variable(start), tf.Variable(start), tf.Variable(start[[3, 1]])
    lazy, dense, alone = Adam([table]), Adam([whole]), Adam([small])
    rate, indices = tf.constant(0.01), tf.constant([3, 1])
    for step in range(4):
        rows = tf.constant(gradient * (step - 1.5))
        lazy.apply([tf.IndexedSlices(rows, indices, tf.constant([4, 3]))], rate, tf.constant(step))
        dense.apply([tf.scatter_nd(indices[:, None], rows, [4, 3])], rate, tf.constant(step))
        alone.apply([rows], rate, tf.constant(step))
    np.testing.assert_array_equal(table.numpy()[[0, 2]], start[[0, 2]])
    np.testing.assert_allclose(table.numpy()[[3, 1]], small.numpy(), atol=1e-6)
    np.testing.assert_allclose(
        table.numpy(), whole.numpy(), atol=1e-6
    )  # in these steps every row has always had a gradient, or never
    lazy.apply([tf.IndexedSlices(tf.ones([1, 3]), [0], tf.constant([4, 3]))], rate, tf.constant(4))
    np.testing.assert_allclose(
        table.numpy()[[1, 2, 3]],
        np.stack([small.numpy()[1], start[2], small.numpy()[0]]),
        atol=1e-6,
    )


def test_weight_decay_is_decoupled_and_spares_biases() -> None:
    for gradient in (
        tf.zeros([2, 2]),
        tf.IndexedSlices(tf.zeros([2, 2]), tf.constant([1, 0]), tf.constant([2, 2])),
    ):
        kernel, bias = tf.Variable([[1.0, -2.0], [4.0, 8.0]]), tf.Variable([1.0, 2.0])
        Adam([kernel, bias], weight_decay=0.5).apply(
            [gradient, tf.zeros([2])], tf.constant(0.1), tf.constant(0)
        )
        np.testing.assert_allclose(kernel.numpy(), [[0.95, -1.9], [3.8, 7.6]], rtol=1e-6)
        np.testing.assert_array_equal(bias.numpy(), [1, 2])


def test_gradients_are_clipped_by_the_norm_of_all_of_them() -> None:
    gradients = [
        tf.constant([3.0]),
        tf.IndexedSlices(tf.constant([[4.0], [12.0]]), tf.constant([5, 2]), tf.constant([9, 1])),
    ]
    (dense, rows), norm = clipped(gradients, 6.5)
    assert (
        float(norm),
        float(dense[0]),
        rows.values.numpy().tolist(),
        rows.indices.numpy().tolist(),
    ) == (13, 1.5, [[2], [6]], [5, 2])
    (dense, rows), norm = clipped(gradients, 0)
    assert (float(norm), float(dense[0]), rows.values.numpy().tolist()) == (13, 3, [[4], [12]])


def test_the_average_is_that_of_tensorflow() -> None:
    ours, theirs = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    average, stock = (
        Average([ours], 0.5),
        tf.train.ExponentialMovingAverage(0.5, num_updates=tf.Variable(0)),
    )
    stock.apply([theirs])
    for step in range(12):
        ours.assign_add([0.5, -1.0])
        theirs.assign_add([0.5, -1.0])
        average.update(tf.constant(step))
        stock._num_updates.assign(step)  # type: ignore[attr-defined]
        stock.apply([theirs])
    np.testing.assert_allclose(
        average.averages[0].numpy(), stock.average(theirs).numpy(), rtol=1e-6
    )


def test_what_is_kept_is_the_average(model: Path, features: Path, tmp_path: Path) -> None:
    """With a decay near 1, and that capped by (1 + step) / (10 + step), the averages lag behind.

    Another model than without.
    """
    run(
        features=features,
        params=TRAINER_PARAMS.model_copy(update={"average_decay": 0.9}),
        output=tmp_path,
    )
    plain, averaged = (
        json.loads((folder / "history.json").read_text()) for folder in (model, tmp_path)
    )
    assert plain["loss"] == averaged["loss"], (
        "training goes on from the weights, not from their average"
    )
    assert plain["val_loss"] != averaged["val_loss"]
    assert averaged["val_accuracy"][-1] >= 0.9


def test_counts_of_the_train_split(rows: Path) -> None:
    counts = counting.count(rows, num_classes=3, num_buckets=64, num_tokens=19, dim=0)
    assert counts.classes.tolist() == [
        sum(len(text) % 3 == number for text in TEXTS) for number in range(3)
    ]
    pairs = [pair for text in TEXTS for pair in pairwise(text)]
    buckets = [int(bigram_buckets(np.array([pair]), 64, 20)[0][0, 0]) for pair in pairs]
    assert counts.bigrams.tolist() == [buckets.count(number) for number in range(64)]
    numbers = counts.bigram_rows(3)
    assert [number > 0 for number in numbers] == [total >= 3 for total in counts.bigrams]
    assert sorted(numbers[numbers > 0]) == list(range(1, 1 + (counts.bigrams >= 3).sum()))


def test_balanced_class_weights_are_those_of_scikit_learn() -> None:
    counts = Counts(np.array([6, 0, 2]), np.zeros(0, np.int64))
    labels = np.array([0] * 6 + [2] * 2)
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    np.testing.assert_allclose(counts.class_weights(), [expected[0], 0, expected[1]])


def test_a_split_of_several_blocks_has_every_row_once_a_pass(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_input, "BLOCK_ROWS", 9)  # blocks of 8: whole batches
    found = passes(rows, 1)
    assert [sorted(map(len, found[start : start + 3])) for start in (0, 3, 6)] == [[4, 8, 8]] * 3
    first, second = (
        [text for batch in found[start : start + 3] for text in batch] for start in (0, 3)
    )
    assert sorted(first) == sorted(second) == sorted(TEXTS)
    assert first != second
    assert passes(rows, 1, 1, 1) == found[4:]


def test_pooling_last_is_the_blog_post_model_unless_a_setting_is_given() -> None:
    last = TrainerParams(pooling="last")
    assert {name: getattr(last, name) for name in BLOG_POST} == BLOG_POST
    assert TrainerParams(pooling="last", learning_rate=0.02).model_dump() == {
        **last.model_dump(),
        "learning_rate": 0.02,
    }
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


def test_patience_ends_training(features: Path, tmp_path: Path) -> None:
    # Nothing moves at this rate: the first epoch stays the best, and the second is the one that
    # patience allows.
    params = TrainerParams(
        **{**SMALL, "num_epochs": 9}, learning_rate=1e-30, schedule="constant", patience=1
    )
    assert run(features=features, params=params, output=tmp_path)["num_epochs"] == 2


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


def test_a_loss_that_is_no_number_names_the_learning_rate(features: Path, tmp_path: Path) -> None:
    params = TrainerParams(**SMALL, learning_rate=1e30, schedule="constant", clip_norm=0.0)
    with pytest.raises(
        UserError,
        match=(
            r"The loss of step 2 .*diverged at trainer\.learning_rate 1e\+30 .*Lower it, or set"
            r" trainer\.clip_norm"
        ),
    ):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


def test_weights_that_the_last_step_ruined_are_not_kept(features: Path, tmp_path: Path) -> None:
    # One step in all: its loss is still a number, and only the eval split tells.
    params = TrainerParams(
        **{**SMALL, "batch_size": 1000, "num_epochs": 1},
        learning_rate=1e30,
        schedule="constant",
        clip_norm=0.0,
    )
    with pytest.raises(UserError, match=r"diverged at trainer\.learning_rate 1e\+30"):
        run(features=features, params=params, output=tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the SEQUENCES, the same in train and eval."""
    root = tmp_path_factory.mktemp("sequences")
    made = [
        {
            "values": [number for step in row for number in step],
            "length": [len(row)],
            "label": [index % 2],
        }
        for index, row in enumerate(SEQUENCES)
    ]
    for split in (TRAIN, EVAL):
        write_features(root, split, [made[:20], made[20:]])
    (root / "vocabularies").mkdir()
    (root / "vocabularies" / "labels").write_text("falls\nrises\n")
    summary = {"content": "sequence", "dim": 2, "max_length": 6, "num_rows": {TRAIN: 40, EVAL: 40}}
    (root / "transform.json").write_text(json.dumps(summary))
    return root


@pytest.mark.parametrize("pad_to", [None, 6])
def test_batches_of_sequences(sequences: Path, pad_to: int | None) -> None:
    found = []
    for (values, length), label in batches(
        sequences, num_rows=40, num_classes=2, pad_to=pad_to, dim=2
    ):
        assert (values.dtype, length.dtype, label.dtype) == (np.float32, np.int64, np.float32)
        assert values.shape == (8, pad_to or length.max(), 2)
        assert length.shape == (8,)
        for row, number, one_hot in zip(values, length, label, strict=True):
            assert not row[number:].any()
            found.append(row[:number].tolist())
            assert one_hot.tolist() == ([1, 0] if row[0, 0] > 0 else [0, 1])
    assert sorted(found) == sorted(SEQUENCES)


def test_a_batch_of_sequences_without_a_time_step_has_one_of_zeros(tmp_path: Path) -> None:
    write_features(tmp_path, TRAIN, [[{"values": [], "length": [0], "label": [0]}] * 2])
    [((values, length), _)] = batches(tmp_path, num_rows=2, dim=3)
    np.testing.assert_array_equal(values, np.zeros((2, 1, 3)))
    assert length.tolist() == [0, 0]


def test_sequences_are_learned_the_same_each_time(sequences: Path, tmp_path: Path) -> None:
    params = TrainerParams(**{**SMALL, "num_epochs": 6}, min_epoch_steps=16)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(run(features=sequences, params=params, output=tmp_path / name))
    assert found[0] == found[1]
    assert found[0]["eval_accuracy"] >= 0.95
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


@pytest.mark.parametrize(
    ("given", "num_steps", "dim", "expected"),
    [
        (None, 5, 0, 1),
        (None, 5, 2, 7),
        (None, 32, 2, 1),
        (None, 31, 2, 2),
        (1, 5, 2, 1),
        (25, 10, 0, 3),
        (25, 1000, 0, 1),
    ],
)
def test_an_epoch_over_few_rows_goes_over_them_several_times(
    given: int | None, num_steps: int, dim: int, expected: int
) -> None:
    assert passes_per_epoch(TrainerParams(min_epoch_steps=given), num_steps, dim) == expected


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it is done."""


@pytest.mark.parametrize("killed_at", [2, 9])
def test_a_run_that_was_killed_ends_with_the_same_bits(
    killed_at: int,
    model: Path,
    features: Path,
    figures: dict[str, Figures],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit, "CALL_STEPS", 4)
    params = TRAINER_PARAMS.model_copy(update={"checkpoint_seconds": 1e-9})
    calls = []

    def save(*arguments: object) -> None:
        calls.append(None)
        if len(calls) == killed_at:
            raise KilledError
        save_checkpoint(*arguments)  # type: ignore[arg-type]

    save_checkpoint = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", save)
    for name in ("killed", "finished"):
        (tmp_path / name).mkdir()
    with pytest.raises(KilledError):
        run(features=features, params=params, output=tmp_path / "killed", work=tmp_path / "work")
    assert len(list((tmp_path / "work").glob("*.npz"))) == min(killed_at - 1, checkpoint.NUM_KEPT)
    assert (
        run(features=features, params=params, output=tmp_path / "finished", work=tmp_path / "work")
        == figures["trainer"]
    )
    for name in ("model.weights.h5", "network.json", "history.json"):
        assert (tmp_path / "finished" / name).read_bytes() == (model / name).read_bytes(), name


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    for step in (1, 2, 3):
        checkpoint.save(
            tmp_path, Progress(step=step, best=(0.5, -1.0)), [np.full(2, step)], [np.zeros(1)]
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000002.npz",
        "checkpoint-000000003.npz",
    ]
    newest = tmp_path / "checkpoint-000000003.npz"
    newest.write_bytes(newest.read_bytes()[:100])
    assert checkpoint.newest(tmp_path) == 2
    progress, state, best = checkpoint.load(tmp_path, 2)
    with pytest.raises(UserError, match=r"checkpoint-000000003\.npz cannot be read"):
        checkpoint.load(tmp_path, 3)
    assert (progress.step, progress.best, state[0].tolist(), best[0].tolist()) == (
        2,
        (0.5, -1.0),
        [2, 2],
        [0],
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


def trained(features: Path, output: Path, **settings: object) -> tuple[keras.Model, Figures]:
    output.mkdir()
    figures = run(
        features=features,
        params=TRAINER_PARAMS.with_values({"num_epochs": 1, **settings}),
        output=output,
    )
    return load(output)[0], figures


def test_embeddings_start_from_the_vectors_of_a_file(features: Path, tmp_path: Path) -> None:
    tokens = vocabulary(features, "tokens")
    lines = [
        b"2 8",
        tokens[3] + b" 1 2 3 4 5 6 7 8",
        b"elsewhere 0 0 0 0 0 0 0 0",
        tokens[0] + b" .5 .5 .5 .5 -1e1 0 0 0 ",
    ]
    (tmp_path / "vectors.txt").write_bytes(b"\n".join(lines) + b"\n")
    settings = {"learning_rate": 1e-30, "embeddings": str(tmp_path / "vectors.txt")}
    network, figures = trained(features, tmp_path / "model", **settings)
    table = np.asarray(network.get_layer("embedding").get_weights()[0])
    assert figures["num_tokens_with_vectors"] == 2
    np.testing.assert_allclose(
        table[[4, 1]], [[1, 2, 3, 4, 5, 6, 7, 8], [0.5, 0.5, 0.5, 0.5, -10, 0, 0, 0]], atol=1e-20
    )
    (tmp_path / "vectors.txt").write_bytes(tokens[3] + b" 1 2 3\n")
    with pytest.raises(
        UserError, match=r"vectors\.txt:1 has 3 numbers; trainer\.embedding_dim is 8"
    ):
        trained(features, tmp_path / "shorter", **settings)
    (tmp_path / "vectors.txt").write_bytes(b"elsewhere 0 0 0 0 0 0 0 0\n")
    with pytest.raises(UserError, match="no vector for any of the"):
        trained(features, tmp_path / "none", **settings)


def test_the_key_follows_the_content_of_what_training_starts_from(tmp_path: Path) -> None:
    assert TRAINER.external_digest is not None
    (tmp_path / "one.txt").write_text("a 1\n")
    (tmp_path / "two.txt").write_text("a 1\n")
    one, two = (TrainerParams(embeddings=str(tmp_path / name)) for name in ("one.txt", "two.txt"))
    assert one.key_fields() == two.key_fields() == TrainerParams().key_fields()
    assert (
        TRAINER.external_digest(one, None)
        == TRAINER.external_digest(two, None)
        != TRAINER.external_digest(TrainerParams(), None)
        == ""
    )
    (tmp_path / "two.txt").write_text("a 2\n")
    assert TRAINER.external_digest(one, None) != TRAINER.external_digest(two, None)


def test_a_profile_and_the_scalars_are_written(features: Path, tmp_path: Path) -> None:
    trained(features, tmp_path / "model", profile_steps=3)
    assert list((tmp_path / "model" / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb"))
    tags = set()
    for path in (tmp_path / "model" / "tensorboard").glob("events*"):
        for record in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in record.summary.value}
    assert tags >= {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "gradient_norm",
        "examples_per_second",
    }
