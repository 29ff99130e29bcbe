"""Keras's own layers and the fast ones, as functions that tests compare."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from seqline.model.fast_rnn import DistinctEmbedding, FastSimpleRNN
from tests.support.networks import IDS, TOKENS


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
