"""The training loop: the same code for one device and for many.

Everything that changes is in variables, which a checkpoint can hold.

One step takes one global batch, split over the replicas. Each replica's loss is the sum over its
rows, each times its weight if rows have weights, divided by the rows of the whole batch, and
gradients are summed over the replicas before they
are clipped: so a step equals that of one device with the whole batch, even where the batch does not
divide evenly. (Keras's own loop averages the replicas' means and clips before it sums.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import TrainerParams
from components.trainer.optimizer import (
    Adam,
    Average,
    clipped,
    distinct,
    learning_rate,
    summed_over_replicas,
)
from seqline.model import network


class Loop:
    """A model in training under a strategy. Make it inside the strategy's scope.

    Args:
        num_steps: of the whole training, for the learning rate.
        class_weights: float32 [num_classes], factors on the training losses of a class's rows;
            None for 1.
    """

    def __init__(
        self,
        model: keras.Model,
        params: TrainerParams,
        num_steps: int,
        strategy: tf.distribute.Strategy,
        class_weights: np.ndarray | None = None,
    ) -> None:
        self.model = model
        self.params = params
        self.num_steps = num_steps
        self.strategy = strategy
        self.trained = [variable.value for variable in model.trainable_variables]
        self.adam = Adam(self.trained, params.weight_decay)
        self.average = Average(self.trained, params.average_decay)
        self.class_weights = class_weights
        self.losses = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=params.label_smoothing, reduction=None
        )
        self.logits = network.logits(model)
        self.train = tf.function(self._train, autograph=False, reduce_retracing=True)
        self.evaluate = tf.function(self._evaluate, autograph=False, reduce_retracing=True)

    def variables(self) -> list[tf.Variable]:
        """Everything that changes while training.

        Weights, the layers' random states, the optimizer's moments, the average.
        """
        return [
            *(variable.value for variable in self.model.variables),
            *self.adam.means,
            *self.adam.squares,
            *self.average.averages,
        ]

    def state(self) -> list[np.ndarray]:
        """The values of `variables`."""
        return [variable.numpy() for variable in self.variables()]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Puts a `state` back."""
        for variable, value in zip(self.variables(), state, strict=True):
            variable.assign(value)

    def weights(self) -> list[np.ndarray]:
        """The model's weights, in Keras's order."""
        return [np.array(weight) for weight in self.model.get_weights()]

    def restore_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Puts `weights` back."""
        self.model.set_weights(list(weights))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block, the model has the averaged weights, if an average is kept."""
        kept = []
        if self.average.averages:
            kept = [variable.numpy() for variable in self.trained]
        for variable, average in zip(self.trained, self.average.averages, strict=bool(kept)):
            variable.assign(average.numpy())
        yield
        for variable, value in zip(self.trained, kept, strict=bool(kept)):
            variable.assign(value)

    def _train(
        self, iterator: Any, first: tf.Tensor, count: tf.Tensor, sums: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Makes the steps first .. first + count - 1.

        Args:
            iterator: of global batches, distributed, with weights if rows have weights.
            first: the number of the first step, from 0.
            sums: float64 [3], losses, right answers and rows of the epoch so far.

        Returns:
            (the sums with these steps, the global norm of the last gradient, the number of the
            first step with a loss that is not finite, -1 if there is none).
        """

        def body(
            step: tf.Tensor, sums: tf.Tensor, norm: tf.Tensor, bad: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            counted, norm = self.strategy.run(self._train_replica, (iterator.get_next(), step))
            counted, norm = self._sum(counted), self._any(norm)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(counted[0]), step, bad)
            return step + 1, sums + counted, norm, bad

        start = (first, sums, tf.constant(0.0), tf.constant(-1, tf.int64))
        _, sums, norm, bad = tf.while_loop(lambda step, *_: step < first + count, body, start)
        return sums, norm, bad

    def _sum(self, per_replica: Any) -> tf.Tensor:
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    def _any(self, per_replica: Any) -> tf.Tensor:
        return self.strategy.experimental_local_results(per_replica)[0]

    def _over_replicas(self, values: Any) -> Any:
        """The sum over the replicas, in each of them."""
        # Not for a single replica: all_reduce leaves its graph in a registry of gradients that
        # nothing empties, 15 MB for each training.
        if self.strategy.num_replicas_in_sync == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    def _train_replica(
        self, batch: tuple[Any, ...], step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step of one replica: (its counts float64 [3], the global norm of the gradient)."""
        inputs, labels, *weights = batch
        num_rows = self._over_replicas(tf.cast(tf.shape(labels)[0], tf.float32))
        with tf.GradientTape() as tape:
            logits = self.logits(inputs, training=True)  # [rows, num_classes]
            losses = self.losses(labels, logits)  # [rows]
            if self.class_weights is not None:
                losses *= tf.linalg.matvec(labels, self.class_weights)
            if weights:
                losses *= weights[0]
            loss = tf.reduce_sum(losses) / num_rows

        gradients = tape.gradient(loss, self.trained)
        if self.params.implementation == "keras":
            gradients = [distinct(gradient) for gradient in gradients]

        gradients = summed_over_replicas(gradients)
        gradients, norm = clipped(gradients, self.params.clip_norm)
        self.adam.apply(gradients, learning_rate(self.params, step, self.num_steps), step)
        self.average.update(step)
        return self._counted(losses, logits, labels), norm

    def _evaluate(self, iterator: Any, count: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        """The sums, float64 [3], with those of `count` more batches."""

        def body(step: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            counted = self.strategy.run(self._evaluate_replica, (iterator.get_next(),))
            return step + 1, sums + self._sum(counted)

        start = (tf.constant(0, tf.int64), sums)
        _, sums = tf.while_loop(lambda step, _: step < count, body, start)
        return sums

    def _evaluate_replica(self, batch: tuple[Any, tf.Tensor]) -> tf.Tensor:
        inputs, labels = batch
        logits = self.logits(inputs, training=False)
        return self._counted(self.losses(labels, logits), logits, labels)

    @staticmethod
    def _counted(losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The sum of the losses, right answers and rows, float64 [3]."""
        right = tf.argmax(logits, axis=-1) == tf.argmax(labels, axis=-1)  # [rows]
        counts = [
            tf.reduce_sum(tf.cast(losses, tf.float64)),
            tf.reduce_sum(tf.cast(right, tf.float64)),
            tf.cast(tf.size(losses), tf.float64),
        ]
        return tf.stack(counts)
