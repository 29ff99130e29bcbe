from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqline.model.layers import (
    Bigrams,
    BranchDropout,
    MeanEmbedding,
    MeanOfDistinct,
    Pooling,
    ReverseText,
    WithinLength,
    WordDropout,
    bigram_buckets,
)
from seqline.model.network import Spec, build, copy_weights, load, logits, save
from tests.support.networks import SPEC

# The same for sequences of two numbers a time step.
SEQUENCE_SPEC = replace(SPEC, num_tokens=0, dim=2)
IDS = np.array([[3, 9, 10, 1], [7, 2, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
VALUES = np.random.default_rng(1).normal(size=(4, 4, 2)).astype(np.float32)
LENGTHS = np.array([4, 2, 1, 0])
# Two rows of three states: a text of two tokens, and one without any.
STATES = np.array([[[1, -2], [3, -4], [9, 9]], [[-1, 5], [2, 2], [8, -8]]], np.float32)
PRESENT = np.array([[True, True, False], [False, False, False]])


@pytest.mark.parametrize(
    ("kind", "masking", "expected"),
    [
        ("last", True, [[3, -4], [0, 0]]),
        ("mean", True, [[2, -3], [0, 0]]),
        ("max", True, [[3, -2], [0, 0]]),
        ("mean_max", True, [[2, -3, 3, -2], [0, 0, 0, 0]]),
        ("last", False, [[9, 9], [8, -8]]),
        ("mean", False, [[13 / 3, 1], [3, -1 / 3]]),
        ("max", False, [[9, 9], [8, 5]]),
        ("mean_max", False, [[13 / 3, 1, 9, 9], [3, -1 / 3, 8, 5]]),
    ],
)
def test_pooling(kind: str, masking: bool, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(
        np.asarray(Pooling(kind, masking)(STATES, PRESENT)), expected, rtol=1e-6
    )


def test_pooling_equals_numpy_on_random_states() -> None:
    random = np.random.default_rng(0)
    lengths = [1, 5, 3, 7]
    states = np.tanh(random.normal(size=(4, 7, 6))).astype(np.float32)
    present = np.arange(7) < np.array(lengths)[:, None]
    texts = [row[:length] for row, length in zip(states, lengths, strict=True)]
    by_hand = {
        "last": [text[-1] for text in texts],
        "mean": [text.mean(0) for text in texts],
        "max": [text.max(0) for text in texts],
    }

    for kind, expected in by_hand.items():
        np.testing.assert_allclose(
            np.asarray(Pooling(kind, True)(states, present)), expected, atol=1e-6
        )


def test_mean_embedding_is_the_gain_times_the_mean() -> None:
    np.testing.assert_allclose(
        np.asarray(MeanEmbedding(8.0)(STATES, PRESENT)), [[16, -24], [0, 0]], rtol=1e-6
    )


def test_mean_of_distinct_is_mean_embedding() -> None:
    rows = np.array([[0, 0], [1, -2], [3, -4]], np.float32)
    positions = np.array([[1, 2, 0], [0, 0, 0], [2, 2, 1]])
    present = np.array([[True, True, False], [False, False, False], [True, True, True]])
    mean = np.asarray(MeanOfDistinct(8.0)(rows, positions, present))
    np.testing.assert_allclose(
        mean, np.asarray(MeanEmbedding(8.0)(rows[positions], present)), rtol=1e-6
    )


def test_bigrams_have_ids_behind_the_tokens_where_training_has_seen_them() -> None:
    layer = Bigrams(16, oov=10, first_id=11)
    layer.build(None)
    buckets, known = bigram_buckets(np.array([[3, 9, 4, 10, 5, 1, 0, 0]]), 16, oov=10)
    assert known.tolist() == [[True, True, False, False, True, False, False]]
    rows = np.zeros(16, np.int32)
    rows[buckets[0, 0]], rows[buckets[0, 4]] = 2, 1
    assert len({buckets[0, 0], buckets[0, 1], buckets[0, 4]}) == 3
    layer.set_weights([rows])
    assert np.asarray(layer(np.array([[3, 9, 4, 10, 5, 1, 0, 0]]))).tolist() == [
        [3, 9, 4, 10, 5, 1, 0, 0, 12, 0, 0, 0, 11, 0, 0]
    ]
    assert np.asarray(layer(np.array([[3]]))).tolist() == [[3]]


def test_bigram_buckets_are_the_same_integers_in_a_graph_and_spread_evenly() -> None:
    ids = np.random.default_rng(0).integers(1, 2**30, (1, 100_001))
    buckets, _ = bigram_buckets(ids, 65_536, oov=0)
    in_graph = tf.function(lambda ids: bigram_buckets(ids, 65_536, oov=0)[0])(tf.constant(ids))
    np.testing.assert_array_equal(buckets, np.asarray(in_graph))
    small, _ = bigram_buckets(np.random.default_rng(1).integers(1, 300, (1, 100_001)), 16, oov=0)
    for bucket_ids, size in ((buckets // 4096, 16), (small, 16)):
        counts = np.bincount(bucket_ids[0], minlength=size)
        assert np.abs(counts - 100_000 / size).max() < 5 * np.sqrt(100_000 / size)


FAST = {
    "plain": {},
    "bigrams": {"bigram_buckets": 16, "num_bigrams": 3},
    "both directions": {"bidirectional": True},
    "two layers": {"num_layers": 2, "bidirectional": True, "pooling": "mean"},
    "last": {"pooling": "last"},
    "mean_max": {"pooling": "mean_max", "bidirectional": True},
    "no mask": {"masking": False, "max_length": 4, "bidirectional": True, "pooling": "mean_max"},
    "no skip branch": {"skip_dim": 0},
    "sequences": {"num_tokens": 0, "dim": 2},
    "sequences, two layers": {"num_tokens": 0, "dim": 2, "num_layers": 2, "bidirectional": True},
}


@pytest.mark.parametrize("kind", FAST)
def test_the_fast_implementation_has_the_probabilities_and_gradients_of_keras(kind: str) -> None:
    quiet = {"word_dropout": 0.0, "dropout": 0.0, "skip_dropout": 0.0, "branch_dropout": 0.0}
    spec = replace(SPEC, **quiet, **FAST[kind])
    stock, fast = build(spec), build(spec, implementation="fast")
    if spec.bigram_buckets:
        rows = np.zeros(16, np.int32)
        rows[bigram_buckets(IDS, 16, 10)[0][0]] = [1, 2, 3]
        stock.get_layer("bigrams").set_weights([rows])

    copy_weights(stock, fast)
    inputs = (VALUES, LENGTHS) if spec.dim else IDS

    results = []
    for model in (stock, fast):
        weights = {weight.path: weight.value for weight in model.trainable_weights}
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            loss = tf.reduce_sum(probabilities * np.arange(12.0).reshape(4, 3) ** 2)

        gradients = dict(
            zip(
                weights,
                map(tf.convert_to_tensor, tape.gradient(loss, list(weights.values()))),
                strict=True,
            )
        )
        results.append(
            (probabilities, dict(sorted(gradients.items())), model(inputs, training=False))
        )

    (expected, gradients, served), (probabilities, fast_gradients, evaluated) = results
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(evaluated, served, atol=1e-6)
    assert list(fast_gradients) == list(gradients)
    for path, gradient in gradients.items():
        assert np.abs(gradient).max() > 0, path
        np.testing.assert_allclose(
            fast_gradients[path], gradient, rtol=1e-5, atol=1e-5, err_msg=path
        )


def test_reverse_text_leaves_the_padding_behind() -> None:
    sequence = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    reversed_once = np.asarray(ReverseText()(sequence, PRESENT))
    np.testing.assert_array_equal(reversed_once, [[[2, 3], [0, 1], [4, 5]], sequence[1]])
    np.testing.assert_array_equal(np.asarray(ReverseText()(reversed_once, PRESENT)), sequence)


def test_within_length_is_false_for_padding() -> None:
    present = np.asarray(WithinLength()(VALUES, LENGTHS))
    assert present.tolist() == [
        [True] * 4,
        [True, True, False, False],
        [True, False, False, False],
        [False] * 4,
    ]


def test_word_dropout_replaces_tokens_by_oov_while_training_only() -> None:
    ids = np.tile(np.array([[1, 2, 3, 0]]), (1000, 1))
    layer = WordDropout(0.25, oov=10, seed=1)
    np.testing.assert_array_equal(np.asarray(layer(ids)), ids)
    np.testing.assert_array_equal(np.asarray(layer(ids, training=False)), ids)
    dropped = np.asarray(layer(ids, training=True))
    changed = dropped != ids
    assert set(dropped[changed]) == {10}
    assert not changed[:, 3].any()
    assert changed[:, :3].mean() == pytest.approx(0.25, abs=0.04)


def test_branch_dropout_drops_one_branch_at_most_while_training_only() -> None:
    recurrent, skip = np.ones((2000, 2), np.float32), np.full((2000, 1), 5, np.float32)
    layer = BranchDropout(0.5, seed=1)
    np.testing.assert_array_equal(np.asarray(layer(recurrent, skip)), np.hstack([recurrent, skip]))
    dropped = np.asarray(layer(recurrent, skip, training=True))
    kinds, counts = np.unique(dropped, axis=0, return_counts=True)
    assert kinds.tolist() == [[0, 0, 5], [1, 1, 0], [1, 1, 5]]
    np.testing.assert_allclose(counts / 2000, [0.25, 0.25, 0.5], atol=0.05)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
def test_probabilities_do_not_depend_on_the_padding(pooling: str, bidirectional: bool) -> None:
    model = build(replace(SPEC, pooling=pooling, bidirectional=bidirectional))
    probabilities = np.asarray(model(IDS))
    assert probabilities.shape == (4, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    padded = np.asarray(model(np.pad(IDS, [(0, 0), (0, 20)])))
    np.testing.assert_allclose(padded, probabilities, atol=1e-6)
    alone = [np.asarray(model(row[None, : max(1, (row > 0).sum())]))[0] for row in IDS]
    np.testing.assert_allclose(alone, probabilities, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean_max"])
def test_probabilities_of_sequences_do_not_depend_on_what_is_behind_them(
    pooling: str, bidirectional: bool
) -> None:
    model = build(replace(SEQUENCE_SPEC, pooling=pooling, bidirectional=bidirectional))
    clean = VALUES * (np.arange(4) < LENGTHS[:, None])[:, :, None]
    probabilities = np.asarray(model((clean, LENGTHS)))
    assert probabilities.shape == (4, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.asarray(model((VALUES, LENGTHS))), probabilities, atol=1e-6)
    padded = np.pad(VALUES, [(0, 0), (0, 20), (0, 0)], constant_values=7)
    np.testing.assert_allclose(np.asarray(model((padded, LENGTHS))), probabilities, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        alone = model((VALUES[row : row + 1, : max(1, length)], LENGTHS[row : row + 1]))
        np.testing.assert_allclose(np.asarray(alone)[0], probabilities[row], atol=1e-6)


def test_the_network_of_sequences_by_hand() -> None:
    model = build(SEQUENCE_SPEC, training=False)
    assert [layer.name for layer in model.layers if layer.weights] == [
        "rnn",
        "skip_embedding",
        "output",
    ]

    values = VALUES[1, :2]
    kernel, recurrent, bias = (
        np.asarray(weight) for weight in model.get_layer("rnn").get_weights()
    )
    states = [np.tanh(values[0] @ kernel + bias)]
    states.append(np.tanh(values[1] @ kernel + states[0] @ recurrent + bias))
    weight, offset = model.get_layer("skip_embedding").get_weights()
    skip = 8 * np.maximum(values @ weight + offset, 0).mean(axis=0)
    output, bias = model.get_layer("output").get_weights()
    scores = np.concatenate([np.max(states, axis=0), skip]) @ output + bias

    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(np.asarray(model((VALUES, LENGTHS)))[1], expected, atol=1e-6)


@pytest.mark.parametrize("spec", [SPEC, SEQUENCE_SPEC])
def test_the_softmax_of_the_logits_are_the_probabilities(spec: Spec) -> None:
    model = build(spec, training=False)
    inputs = (VALUES, LENGTHS) if spec.dim else IDS
    scores = np.asarray(logits(model)(inputs, training=False))
    assert scores.shape == (4, 3)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(model(inputs)), expected, atol=1e-6)


def test_without_masking_the_time_is_max_length() -> None:
    model = build(replace(SPEC, masking=False))
    assert model.input_shape == (None, 6)
    assert build(SPEC).input_shape == (None, None)
    assert build(replace(SEQUENCE_SPEC, masking=False)).input_shape == [(None, 6, 2), (None,)]
    assert build(SEQUENCE_SPEC).input_shape == [(None, None, 2), (None,)]


def test_bidirectional_reads_the_text_from_its_end_too() -> None:
    model = build(replace(SPEC, bidirectional=True, pooling="last", skip_dim=0), training=False)
    forward, backward = model.get_layer("rnn"), model.get_layer("rnn_backward")
    assert not np.array_equal(forward.get_weights()[0], backward.get_weights()[0])
    assert model.get_layer("output").kernel.shape == (10, 3)

    text = IDS[1, :2]
    embedded = np.asarray(model.get_layer("embedding").embeddings)[text]

    def states(layer: keras.layers.SimpleRNN, inputs: np.ndarray) -> list[np.ndarray]:
        kernel, recurrent, bias = (np.asarray(weight) for weight in layer.get_weights())
        state, states_ = np.zeros(5, np.float32), []
        for value in inputs:
            state = np.tanh(value @ kernel + state @ recurrent + bias)
            states_.append(state)
        return states_

    # Either direction's last state has read the whole text.
    pooled = np.concatenate([states(forward, embedded)[-1], states(backward, embedded[::-1])[-1]])
    output, bias = model.get_layer("output").get_weights()
    scores = pooled @ output + bias
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(np.asarray(model(IDS[1:2]))[0], expected, atol=1e-6)


def test_the_seed_fixes_the_initial_weights() -> None:
    first, second, other = (build(replace(SPEC, seed=seed)).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, bidirectional=True, pooling="mean_max", skip_dim=0),
        replace(SPEC, masking=False),
        SEQUENCE_SPEC,
        replace(SEQUENCE_SPEC, bidirectional=True, pooling="mean_max", skip_dim=0),
        replace(SEQUENCE_SPEC, masking=False),
    ],
)
def test_save_and_load(spec: Spec, tmp_path: Path) -> None:
    padding = [(0, 0), (0, 2), (0, 0)]
    inputs = (np.pad(VALUES, padding), LENGTHS) if spec.dim else np.pad(IDS, padding[:2])
    model = build(spec)
    model(inputs, training=True)  # moves the random state
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(model, spec, tmp_path / name)

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()

    trainable, loaded_spec = load(tmp_path / "one", training=True)
    served, _ = load(tmp_path / "one")
    assert loaded_spec == spec
    np.testing.assert_array_equal(np.asarray(trainable(inputs)), np.asarray(model(inputs)))
    np.testing.assert_allclose(np.asarray(served(inputs)), np.asarray(model(inputs)), atol=1e-7)


def test_the_network_for_inference_has_no_dropout_and_no_random_state() -> None:
    trainable, served = build(SPEC), build(SPEC, training=False)
    kinds = {type(layer).__name__ for layer in served.layers}
    assert not kinds & {"Dropout", "WordDropout", "BranchDropout"}
    assert {"WordDropout", "Dropout", "BranchDropout"} <= {
        type(layer).__name__ for layer in trainable.layers
    }
    assert not served.non_trainable_weights
    assert {weight.path for weight in served.weights} == {
        weight.path for weight in trainable.trainable_weights
    }
    np.testing.assert_array_equal(np.asarray(served(IDS, training=True)), np.asarray(served(IDS)))
