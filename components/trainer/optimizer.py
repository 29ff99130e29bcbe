"""The optimizer: Adam, lazy about the rows of embeddings, and what goes with it."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from components.trainer import TrainerParams

# The cosine schedule ends at this fraction of the learning rate.
LAST_RATE = 0.05


def learning_rate(params: TrainerParams, step: tf.Tensor, num_steps: int) -> tf.Tensor:
    """Of the step with this number (from 0).

    A linear rise over the warm-up's share of all steps, then the schedule.
    """
    step = tf.cast(step, tf.float32)
    num_warmup = params.warmup * num_steps
    done = tf.maximum(step - num_warmup, 0) / (num_steps - num_warmup)
    if params.schedule == "constant":
        factor = tf.ones_like(step)
    elif params.schedule == "linear":
        factor = (1 - LAST_RATE) * (1 - done) + LAST_RATE
    else:
        factor = (1 - LAST_RATE) * 0.5 * (1 + tf.cos(math.pi * done)) + LAST_RATE
    return params.learning_rate * factor * tf.minimum((step + 1) / max(num_warmup, 1), 1)


# A tf.Tensor, or the tf.IndexedSlices of an embedding.
Gradient = Any


def distinct(gradient: Gradient) -> Gradient:
    """The same with every row of an embedding once.

    Keras's own Embedding gives one for each place in the batch where its token is.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(indices))
    return tf.IndexedSlices(
        values, tf.cast(indices, tf.int32), tf.cast(gradient.dense_shape, tf.int32)
    )


def summed_over_replicas(gradients: Sequence[Gradient]) -> list[Gradient]:
    """Sums gradients over the replicas.

    Rows of an embedding (IndexedSlices, none twice) stay rows.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return list(gradients)
    # Each replica has other rows: the exchange is of whole tables, and of which rows had a
    # gradient.
    sparse = [each for each in gradients if isinstance(each, tf.IndexedSlices)]
    touched = [
        tf.scatter_nd(
            each.indices[:, None], tf.ones_like(each.indices, tf.float32), each.dense_shape[:1]
        )
        for each in sparse
    ]
    dense = [tf.convert_to_tensor(each) for each in gradients]
    dense, touched = context.all_reduce(tf.distribute.ReduceOp.SUM, [dense, touched])
    masks = iter(touched)
    return [
        _rows(table, next(masks)) if isinstance(each, tf.IndexedSlices) else table
        for each, table in zip(gradients, dense, strict=True)
    ]


def _rows(table: tf.Tensor, touched: tf.Tensor) -> tf.IndexedSlices:
    indices = tf.cast(tf.where(touched > 0)[:, 0], tf.int32)
    return tf.IndexedSlices(tf.gather(table, indices), indices, tf.shape(table))


def clipped(gradients: Sequence[Gradient], clip_norm: float) -> tuple[list[Gradient], tf.Tensor]:
    """(gradients of a global norm of clip_norm at most, or as they are for 0.

    Their norm before).
    """
    norm = tf.linalg.global_norm(gradients)
    if not clip_norm:
        return list(gradients), norm
    scale = clip_norm / tf.maximum(norm, clip_norm)
    return [
        (
            tf.IndexedSlices(each.values * scale, each.indices, each.dense_shape)
            if isinstance(each, tf.IndexedSlices)
            else each * scale
        )
        for each in gradients
    ], norm


class Adam:
    """Adam.

    Kingma and Ba, arXiv:1412.6980, algorithm 1 with the order of the last paragraph of section 2.

    Lazy about rows: an embedding's row and its moments change only in steps in which a token of the
    batch is in it (as TensorFlow Addons' LazyAdam; Keras's Adam moves every row in every step, from
    what is left of its moments). Where every row has a gradient, both are the same. weight_decay is
    decoupled (Loshchilov and Hutter, arXiv:1711.05101): every weight but biases loses rate *
    weight_decay of itself in a step that changes it.

    Every replica makes the same update of its copy.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, variables: Sequence[tf.Variable], weight_decay: float = 0.0) -> None:
        self.variables = list(variables)
        self.weight_decay = weight_decay
        self.means = [tf.Variable(tf.zeros_like(each), trainable=False) for each in self.variables]
        self.squares = [
            tf.Variable(tf.zeros_like(each), trainable=False) for each in self.variables
        ]

    def apply(self, gradients: Sequence[Gradient], rate: tf.Tensor, step: tf.Tensor) -> None:
        """One update; step counts from 0."""
        count = tf.cast(step + 1, tf.float32)
        powers = self.BETA_1**count, self.BETA_2**count
        for variable, mean, square, gradient in zip(
            self.variables, self.means, self.squares, gradients, strict=True
        ):
            decay = self.weight_decay if len(variable.shape) > 1 else 0.0
            if isinstance(gradient, tf.IndexedSlices):
                self._apply_rows(variable, mean, square, gradient, rate, powers, decay)
            else:
                self._apply_all(variable, mean, square, gradient, rate, powers, decay)

    def _apply_all(self, variable, mean, square, gradient, rate, powers, decay) -> None:  # type: ignore[no-untyped-def]
        if decay:
            variable.assign_sub(rate * decay * variable)
        tf.raw_ops.ResourceApplyAdam(  # one pass over all of it
            var=variable.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=self.BETA_1,
            beta2=self.BETA_2,
            epsilon=self.EPSILON,
            grad=gradient,
        )

    def _apply_rows(self, variable, mean, square, gradient, rate, powers, decay) -> None:  # type: ignore[no-untyped-def]
        indices, values = gradient.indices, gradient.values

        def rows(table: tf.Variable) -> tf.Tensor:
            return tf.raw_ops.ResourceGather(
                resource=table.handle, indices=indices, dtype=table.dtype
            )

        new_mean = self.BETA_1 * rows(mean) + (1 - self.BETA_1) * values
        new_square = self.BETA_2 * rows(square) + (1 - self.BETA_2) * tf.square(values)
        change = (
            new_mean
            * (rate * tf.sqrt(1 - powers[1]) / (1 - powers[0]))
            / (tf.sqrt(new_square) + self.EPSILON)
        )
        if decay:
            change += rate * decay * rows(variable)
        tf.raw_ops.ResourceScatterUpdate(resource=mean.handle, indices=indices, updates=new_mean)
        tf.raw_ops.ResourceScatterUpdate(
            resource=square.handle, indices=indices, updates=new_square
        )
        tf.raw_ops.ResourceScatterSub(resource=variable.handle, indices=indices, updates=change)


class Average:
    """An exponential moving average of variables, as tf.train.ExponentialMovingAverage with
    num_updates: decay is less at first.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float) -> None:
        self.variables = list(variables)
        self.decay = decay
        self.averages = (
            [tf.Variable(each, trainable=False) for each in self.variables] if decay else []
        )

    def update(self, step: tf.Tensor) -> None:
        """After the step with this number (from 0)."""
        count = tf.cast(step, tf.float32)
        rate = 1 - tf.minimum(self.decay, (1 + count) / (10 + count))
        for variable, average in zip(self.variables, self.averages, strict=bool(self.decay)):
            average.assign_sub(rate * (average - variable))
