"""The training loop: the same code for one device and for many, and every state of it in variables that a checkpoint can hold.

One step takes one global batch, split over the replicas. Each replica's loss is the sum over its rows, divided by the rows of the
whole batch, and gradients are summed over the replicas before they are clipped: the step is that of one device with the whole
batch, also where the batch does not divide evenly. (Keras's own loop averages the replicas' means and clips before it sums.)
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import TrainerParams

# The cosine schedule ends at this fraction of the learning rate.
LAST_RATE = 0.05


def learning_rate(params: TrainerParams, step: tf.Tensor, num_steps: int) -> tf.Tensor:
    """Of the step with this number (from 0)."""
    rate = tf.constant(params.learning_rate, tf.float32)
    if params.schedule == "constant":
        return rate
    done = tf.cast(step, tf.float32) / num_steps
    return rate * ((1 - LAST_RATE) * 0.5 * (1 + tf.cos(math.pi * done)) + LAST_RATE)


class Adam:
    """Adam on dense gradients: Kingma and Ba, arXiv:1412.6980, algorithm 1 with the order of the last paragraph of section 2.

    TensorFlow's fused operation does a variable in one pass. Every replica makes the same update of its copy.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self.variables = list(variables)
        self.means = [tf.Variable(tf.zeros_like(each), trainable=False) for each in self.variables]
        self.squares = [tf.Variable(tf.zeros_like(each), trainable=False) for each in self.variables]

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> None:
        """One update; step counts from 0."""
        count = tf.cast(step + 1, tf.float32)
        for variable, mean, square, gradient in zip(self.variables, self.means, self.squares, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=self.BETA_1**count,
                beta2_power=self.BETA_2**count,
                lr=rate,
                beta1=self.BETA_1,
                beta2=self.BETA_2,
                epsilon=self.EPSILON,
                grad=gradient,
            )


class Loop:
    """A model in training under a strategy. Make it inside the strategy's scope.

    sums: float64 [3] of the epoch so far: losses, right answers, rows. norm: global norm of the last gradient. bad_step: the number of
    the first step with a loss that is not finite, -1 without one.
    """

    def __init__(self, model: keras.Model, params: TrainerParams, num_steps: int, strategy: tf.distribute.Strategy) -> None:
        self.model = model
        self.params = params
        self.num_steps = num_steps
        self.strategy = strategy
        self.trained = [each.value for each in model.trainable_variables]
        self.adam = Adam(self.trained)
        self.losses = keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing, reduction=None)
        self.bad_step = -1
        self.train = tf.function(self._train, autograph=False, reduce_retracing=True)
        self.evaluate = tf.function(self._evaluate, autograph=False, reduce_retracing=True)

    def variables(self) -> list[tf.Variable]:
        """All that changes while training: weights, the layers' random states, the optimizer's moments."""
        return [*(each.value for each in self.model.variables), *self.adam.means, *self.adam.squares]

    def state(self) -> list[np.ndarray]:
        """The values of `variables`."""
        return [each.numpy() for each in self.variables()]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Puts a `state` back."""
        for variable, value in zip(self.variables(), state, strict=True):
            variable.assign(value)

    def weights(self) -> list[np.ndarray]:
        """The model's weights, in Keras's order."""
        return [np.array(each) for each in self.model.get_weights()]

    def restore_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Puts `weights` back."""
        self.model.set_weights(list(weights))

    def _train(self, iterator: Any, first: tf.Tensor, count: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Steps first .. first + count - 1 -> (sums and theirs, float64 [3]; norm of the last gradient; the first bad step or -1)."""

        def body(step: tf.Tensor, sums: tf.Tensor, norm: tf.Tensor, bad: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found, norm = self.strategy.run(self._train_replica, (iterator.get_next(), step))
            found, norm = self._sum(found), self._any(norm)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(found[0]), step, bad)
            return step + 1, sums + found, norm, bad

        start = (first, sums, tf.constant(0.0), tf.constant(-1, tf.int64))
        _, sums, norm, bad = tf.while_loop(lambda step, *_: step < first + count, body, start)
        return sums, norm, bad

    def _sum(self, per_replica: Any) -> tf.Tensor:
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    def _any(self, per_replica: Any) -> tf.Tensor:
        return self.strategy.experimental_local_results(per_replica)[0]

    def _train_replica(self, batch: tuple[Any, tf.Tensor], step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inputs, labels = batch
        context = tf.distribute.get_replica_context()
        num_rows = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.shape(labels)[0], tf.float32))
        with tf.GradientTape() as tape:
            probabilities = self.model(inputs, training=True)
            losses = self.losses(labels, probabilities)  # [rows]
            loss = tf.reduce_sum(losses) / num_rows
        # Dense: rows of an embedding that differ by replica could not be summed otherwise, and Adam moves all rows anyway.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, self.trained)]
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        if self.params.clip_norm:
            scale = self.params.clip_norm / tf.maximum(norm, self.params.clip_norm)
            gradients = [each * scale for each in gradients]
        self.adam.apply(gradients, learning_rate(self.params, step, self.num_steps), step)
        return self._counted(losses, probabilities, labels), norm

    def _evaluate(self, iterator: Any, count: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        """count batches -> sums and theirs, float64 [3]."""

        def body(step: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, sums + self._sum(self.strategy.run(self._evaluate_replica, (iterator.get_next(),)))

        return tf.while_loop(lambda step, _: step < count, body, (tf.constant(0, tf.int64), sums))[1]

    def _evaluate_replica(self, batch: tuple[Any, tf.Tensor]) -> tf.Tensor:
        inputs, labels = batch
        probabilities = self.model(inputs, training=False)
        return self._counted(self.losses(labels, probabilities), probabilities, labels)

    @staticmethod
    def _counted(losses: tf.Tensor, probabilities: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        right = tf.argmax(probabilities, axis=-1) == tf.argmax(labels, axis=-1)
        found = [
            tf.reduce_sum(tf.cast(losses, tf.float64)),
            tf.reduce_sum(tf.cast(right, tf.float64)),
            tf.cast(tf.size(losses), tf.float64),
        ]
        return tf.stack(found)
