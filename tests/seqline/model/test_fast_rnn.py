"""FastSimpleRNN and DistinctEmbedding against Keras's own layers."""

import subprocess
import sys
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

from seqline.model.fast_rnn import DistinctEmbedding, FastSimpleRNN
from seqline.model.time_loops import CHUNK
from tests.support import CHECKOUT
from tests.support.networks import IDS, TOKENS, recurrent_model


class Layers:
    """Embedding and SimpleRNN, Keras's own or the fast ones, as a function of ids and a mask."""

    def __init__(self, fast: bool, **arguments: Any) -> None:
        self.embedding = (DistinctEmbedding if fast else layers.Embedding)(TOKENS, 3)
        self.rnn = (FastSimpleRNN if fast else layers.SimpleRNN)(4, **arguments)
        self.fast = fast
        self(IDS, None)
        self.variables = self.embedding.trainable_variables + self.rnn.trainable_variables

    def get_weights(self) -> list[np.ndarray]:
        return self.embedding.get_weights() + self.rnn.get_weights()

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.embedding.set_weights(weights[:1])
        self.rnn.set_weights(weights[1:])

    def __call__(self, ids: Any, mask: Any) -> Any:
        if self.fast:
            rows, positions = self.embedding(ids)
            return self.rnn(rows, positions=positions, mask=mask, training=True)
        return self.rnn(self.embedding(ids), mask=mask, training=True)


def like(fast: Any, stock: Any) -> Any:
    """`fast` with random weights of `stock`; a bias that is not zero."""
    random = np.random.default_rng(1)
    stock.set_weights(
        [
            random.normal(size=weight.shape, scale=0.5).astype(np.float32)
            for weight in stock.get_weights()
        ]
    )
    fast.set_weights(stock.get_weights())
    return fast


def outputs_and_gradients(function: Any, inputs: Any, variables: Any) -> list[np.ndarray]:
    """The outputs, and the gradients of a weighted sum of these.

    The gradients are by the inputs, where they are floats, and by the variables.
    """
    watched = [tf.constant(inputs)] if np.issubdtype(inputs.dtype, np.floating) else []
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = function(watched[0] if watched else inputs)
        weights = np.random.default_rng(2).normal(size=outputs.shape).astype(np.float32)
        loss = tf.reduce_mean(outputs * weights)
    gradients = tape.gradient(loss, [*watched, *variables])
    return [np.asarray(tf.convert_to_tensor(tensor)) for tensor in (outputs, *gradients)]


def assert_same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


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
    time=st.sampled_from([1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]),
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
@pytest.mark.parametrize("time", [1, CHUNK, 2 * CHUNK + 3])
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


def fitted(
    network: keras.Model, weights: list[np.ndarray], steps_per_execution: int = 1
) -> list[np.ndarray]:
    """Its weights after batches of several lengths, the last one smaller."""
    network.set_weights(weights)
    network.compile(
        keras.optimizers.SGD(0.5),
        "sparse_categorical_crossentropy",
        jit_compile=False,
        steps_per_execution=steps_per_execution,
    )

    batches = [(IDS[:, :time], np.arange(5) % 2) for time in (3, CHUNK, 35)] + [
        (IDS[:3, :20], np.array([0, 1, 1]))
    ]
    signature = (tf.TensorSpec((None, None), tf.int64), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    network.fit(
        data.apply(tf.data.experimental.assert_cardinality(4)), epochs=3, verbose=0, shuffle=False
    )
    return network.get_weights()


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_fit_learns_what_keras_does(steps_per_execution: int) -> None:
    stock, fast = recurrent_model(False), recurrent_model(True)
    assert [weight.shape for weight in fast.weights] == [weight.shape for weight in stock.weights]
    assert [weight.path for weight in fast.weights] == [weight.path for weight in stock.weights]

    random = np.random.default_rng(2)
    weights = [
        random.normal(size=weight.shape, scale=0.5).astype(np.float32)
        for weight in stock.get_weights()
    ]
    expected = fitted(stock, weights)

    # Twelve steps at a rate of 0.5: what float32 rounds off has grown.
    for one, other in zip(fitted(fast, weights, steps_per_execution), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(
        fast.predict(IDS, verbose=0), stock.predict(IDS, verbose=0), atol=1e-4
    )


def test_a_training_loop_of_its_own_learns_what_keras_does() -> None:
    def train(network: keras.Model, weights: list[np.ndarray]) -> list[np.ndarray]:
        network.set_weights(weights)
        optimizer = keras.optimizers.SGD(0.5)
        optimizer.build(network.trainable_variables)

        @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int64)])
        def step(ids: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(network(ids, training=True)[:, 0])
            optimizer.apply_gradients(
                zip(
                    tape.gradient(loss, network.trainable_variables),
                    network.trainable_variables,
                    strict=True,
                )
            )

        for time in (1, 5, 30):
            step(IDS[:, :time])
        return network.get_weights()

    stock, fast = recurrent_model(False), recurrent_model(True)
    weights = stock.get_weights()
    assert_same(train(fast, weights), train(stock, weights))


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
        random.normal(size=(3, CHUNK + 5, 3)).astype(np.float32),
        random.random((3, CHUNK + 5)) < 0.7,
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
    time=st.sampled_from([1, 3, CHUNK, CHUNK + 1, 2 * CHUNK + 5]),
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
    assert layer.get_config() == {**stock, "implementation": "keras", "pooling": None}
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


TWO_DEVICES = """
import sys
import keras, numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
from tests.support.networks import IDS, recurrent_model
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for number, is_fast in enumerate((False, True, True)):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network = recurrent_model(is_fast)
        loss = "sparse_categorical_crossentropy"
        network.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    random = np.random.default_rng
    network.set_weights([random(3).normal(size=weight.shape) for weight in network.weights])
    rows, labels = np.tile(IDS, (4, 1))[:18], np.arange(18) % 2
    network.fit(rows, labels, batch_size=6, epochs=2, shuffle=False, verbose=0)
    np.savez(f"{sys.argv[1]}/{number}.npz", *network.get_weights())
"""


def test_two_replicas_learn_what_keras_does_and_repeat_it_to_the_bit(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    weights = []
    for number in range(3):
        with np.load(tmp_path / f"{number}.npz") as arrays:
            weights.append([arrays[name] for name in arrays.files])

    expected, first, second = weights
    assert_same(first, expected)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
