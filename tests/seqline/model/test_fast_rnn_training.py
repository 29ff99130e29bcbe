"""Networks with FastSimpleRNN and DistinctEmbedding learn what Keras's own layers do."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqline.model.time_loops import LEAST_TIME
from tests.seqline.model.stock_layers import assert_same
from tests.support import CHECKOUT
from tests.support.networks import IDS, recurrent_model


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

    batches = [(IDS[:, :time], np.arange(5) % 2) for time in (3, LEAST_TIME, 35)] + [
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


@pytest.mark.slow  # several devices
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
