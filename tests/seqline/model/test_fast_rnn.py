"""FastSimpleRNN and DistinctEmbedding against Keras's own layers."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from seqline.model.fast_rnn import FastSimpleRNN
from seqline.model.time_loops import LEAST_TIME
from tests.seqline.model.stock_layers import Layers, assert_same, like, outputs_and_gradients
from tests.support.networks import IDS, recurrent_model


def compare(values: np.ndarray, mask: np.ndarray | None, **arguments: Any) -> None:
    stock, fast = layers.SimpleRNN(4, **arguments), FastSimpleRNN(4, **arguments)
    stock.build(values.shape)
    fast.build(values.shape)
    like(fast, stock)

    expected = outputs_and_gradients(
        lambda inputs: stock(inputs, mask=mask, training=True), values, stock.trainable_variables
    )

    assert_same(
        outputs_and_gradients(
            lambda inputs: fast(inputs, mask=mask, training=True), values, fast.trainable_variables
        ),
        expected,
    )
    np.testing.assert_array_equal(
        np.asarray(fast(values, mask=mask)), np.asarray(stock(values, mask=mask))
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    time=st.sampled_from([1, 2, LEAST_TIME - 1, LEAST_TIME, LEAST_TIME + 1, 2 * LEAST_TIME + 5]),
    batch=st.sampled_from([1, 2, 5]),
    kind=st.sampled_from(["none", "right", "left", "random", "all"]),
    activation=st.sampled_from(["tanh", "relu", "linear", "sigmoid", None]),
    use_bias=st.booleans(),
    return_sequences=st.booleans(),
    go_backwards=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_keras(
    time: int, batch: int, kind: str, **arguments: Any
) -> None:
    random = np.random.default_rng(time + 100 * batch)
    lengths = random.integers(0, time + 1, (batch, 1))
    steps = np.arange(time)
    masks = {
        "none": None,
        "right": steps < lengths,
        "left": steps >= time - lengths,
        "random": random.random((batch, time)) < 0.6,
        "all": np.zeros((batch, time), bool),
    }
    compare(random.normal(size=(batch, time, 3)).astype(np.float32), masks[kind], **arguments)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("time", [1, LEAST_TIME, 2 * LEAST_TIME + 3])
def test_distinct_embedding_with_positions_is_embedding_and_rnn(
    time: int, return_sequences: bool, go_backwards: bool
) -> None:
    arguments = {"return_sequences": return_sequences, "go_backwards": go_backwards}
    ids, mask = IDS[:, :time], IDS[:, :time] > 2
    stock = Layers(False, **arguments)
    fast = like(Layers(True, **arguments), stock)
    for present in (None, mask):
        expected = outputs_and_gradients(partial(stock, mask=present), ids, stock.variables)
        assert_same(
            outputs_and_gradients(partial(fast, mask=present), ids, fast.variables), expected
        )


def test_the_implementation_keras_is_the_stock_one_to_the_bit() -> None:
    values = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    stock, fast = layers.SimpleRNN(4), FastSimpleRNN(4, implementation="keras")
    stock.build(values.shape)
    fast.build(values.shape)
    like(fast, stock)
    expected = outputs_and_gradients(
        lambda inputs: stock(inputs, training=True), values, stock.trainable_variables
    )

    actual = outputs_and_gradients(
        lambda inputs: fast(inputs, training=True), values, fast.trainable_variables
    )
    assert all(np.array_equal(one, other) for one, other in zip(actual, expected, strict=True))

    with pytest.raises(ValueError, match="'quick'"):
        FastSimpleRNN(4, implementation="quick")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [{"dropout": 0.5, "seed": 1}, {"return_state": True}, {"dtype": "float64"}, {"unroll": True}],
)
def test_what_the_fast_path_does_not_know_goes_the_stock_way(arguments: dict[str, Any]) -> None:
    values = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    stock, fast = layers.SimpleRNN(4, **arguments), FastSimpleRNN(4, **arguments)
    stock.build(values.shape)
    fast.build(values.shape)
    like(fast, stock)
    expected, actual = (keras.tree.flatten(layer(values, training=True)) for layer in (stock, fast))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_recurrent_dropout_drops_what_keras_drops(
    return_sequences: bool, go_backwards: bool
) -> None:
    arguments = {
        "recurrent_dropout": 0.4,
        "seed": 1,
        "return_sequences": return_sequences,
        "go_backwards": go_backwards,
    }

    random = np.random.default_rng(0)
    values, mask = (
        random.normal(size=(3, LEAST_TIME + 5, 3)).astype(np.float32),
        random.random((3, LEAST_TIME + 5)) < 0.7,
    )

    def found(kind: Any, present: Any) -> list[np.ndarray]:
        layer = kind(4, **arguments)
        layer.build(values.shape)
        like(layer, layer)
        outputs = outputs_and_gradients(
            lambda inputs: layer(inputs, mask=present, training=True),
            values,
            layer.trainable_variables,
        )
        return [*outputs, np.asarray(layer(values, mask=present))]

    for present in (None, mask):
        assert_same(found(FastSimpleRNN, present), found(layers.SimpleRNN, present))


POOLINGS = {
    "last": lambda states: states[-1],
    "mean": lambda states: tf.reduce_mean(states, axis=0),
    "max": lambda states: tf.reduce_max(states, axis=0),
    "mean_max": lambda states: tf.concat(
        [tf.reduce_mean(states, axis=0), tf.reduce_max(states, axis=0)], axis=0
    ),
}


@pytest.mark.parametrize("pooling", POOLINGS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    time=st.sampled_from([1, 3, LEAST_TIME, LEAST_TIME + 1, 2 * LEAST_TIME + 5]),
    batch=st.sampled_from([1, 4]),
    dropped=st.booleans(),
)
def test_pooling_inside_is_pooling_of_kerass_states(
    pooling: str, time: int, batch: int, dropped: bool
) -> None:
    random = np.random.default_rng(time)
    values, lengths = (
        random.normal(size=(batch, time, 3)).astype(np.float32),
        random.integers(0, time + 1, batch),
    )
    arguments: dict[str, Any] = {"recurrent_dropout": 0.4, "seed": 1} if dropped else {}
    stock, fast = (
        layers.SimpleRNN(4, return_sequences=True, **arguments),
        FastSimpleRNN(4, pooling=pooling, **arguments),
    )
    stock.build(values.shape)
    fast.build(values.shape)
    like(fast, stock)

    def expected(inputs: Any) -> Any:
        states = stock(inputs, training=True)
        nothing = 0 * tf.reduce_sum(states) + tf.zeros([8 if pooling == "mean_max" else 4])
        return tf.stack(
            [
                POOLINGS[pooling](states[row, :length]) if length else nothing
                for row, length in enumerate(lengths)
            ]
        )

    wanted = outputs_and_gradients(expected, values, stock.trainable_variables)
    actual = outputs_and_gradients(
        lambda inputs: fast(inputs, length=lengths, training=True), values, fast.trainable_variables
    )
    assert_same(actual, wanted)


def test_pooling_wants_the_fast_path() -> None:
    with pytest.raises(ValueError, match="fast path only"):
        FastSimpleRNN(4, pooling="max", dropout=0.5)


def test_config_round_trip() -> None:
    layer = FastSimpleRNN(
        4, activation="relu", go_backwards=True, implementation="keras", name="rnn"
    )
    assert FastSimpleRNN.from_config(layer.get_config()).get_config() == layer.get_config()
    stock = layers.SimpleRNN(4, activation="relu", go_backwards=True, name="rnn").get_config()
    own = {"implementation": "keras", "pooling": None, "num_parts": 2}
    assert layer.get_config() == stock | own
    fast = recurrent_model(True)
    copy = keras.Model.from_config(fast.get_config())
    copy.set_weights(fast.get_weights())
    np.testing.assert_array_equal(copy.predict(IDS, verbose=0), fast.predict(IDS, verbose=0))


def test_an_exported_network_holds_nothing_compiled(tmp_path: Path) -> None:
    network = recurrent_model(True)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int64)])
    def serve(ids: tf.Tensor) -> tf.Tensor:
        return network(ids, training=False)

    module = tf.Module()
    module.network, module.serve = network, serve  # type: ignore[attr-defined]
    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    assert b"Xla" not in (tmp_path / "saved_model.pb").read_bytes()
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(np.asarray(loaded.serve(IDS)), np.asarray(network(IDS)), atol=1e-6)
