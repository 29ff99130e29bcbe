"""The optimizer: Adam that is lazy about rows of embeddings, clipping, schedule and average."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from components.trainer import TrainerParams

# The cosine schedule ends at this fraction of the learning rate.
LAST_RATE = 0.05


def learning_rate(params: TrainerParams, step: tf.Tensor, num_steps: int) -> tf.Tensor:
    """The learning rate of a step: a linear rise over the warm-up, then the schedule.

    Args:
        step: its number, from 0.
        num_steps: of the whole training.
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
    """Adds up the rows of an embedding's gradient, so that each occurs once.

    Keras's own Embedding gives a row for each place of its token in the batch.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(indices))
    return tf.IndexedSlices(
        values, tf.cast(indices, tf.int32), tf.cast(gradient.dense_shape, tf.int32)
    )


def summed_over_replicas(gradients: Sequence[Gradient]) -> list[Gradient]:
    """Sums gradients over the replicas; rows of an embedding stay rows.

    Args:
        gradients: in an IndexedSlices, no row occurs twice.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return list(gradients)

    # Each replica has other rows: so they exchange whole tables, and which rows had a gradient.
    touched = [
        _touched(gradient) for gradient in gradients if isinstance(gradient, tf.IndexedSlices)
    ]
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
    dense, touched = context.all_reduce(tf.distribute.ReduceOp.SUM, [dense, touched])

    masks = iter(touched)
    return [
        _rows(table, next(masks)) if isinstance(gradient, tf.IndexedSlices) else table
        for gradient, table in zip(gradients, dense, strict=True)
    ]


def _touched(gradient: tf.IndexedSlices) -> tf.Tensor:
    """float32 [rows of the table], 1 where a row has a gradient, 0 elsewhere."""
    ones = tf.ones_like(gradient.indices, tf.float32)
    return tf.scatter_nd(gradient.indices[:, None], ones, gradient.dense_shape[:1])


def _rows(table: tf.Tensor, touched: tf.Tensor) -> tf.IndexedSlices:
    indices = tf.cast(tf.where(touched > 0)[:, 0], tf.int32)
    return tf.IndexedSlices(tf.gather(table, indices), indices, tf.shape(table))


def clipped(gradients: Sequence[Gradient], clip_norm: float) -> tuple[list[Gradient], tf.Tensor]:
    """Scales gradients down to a global norm of clip_norm at most; 0 leaves them unchanged.

    Returns:
        (the gradients, their norm before).
    """
    norm = tf.linalg.global_norm(gradients)
    if not clip_norm:
        return list(gradients), norm
    scale = clip_norm / tf.maximum(norm, clip_norm)
    return [_scaled(gradient, scale) for gradient in gradients], norm


def _scaled(gradient: Gradient, scale: tf.Tensor) -> Gradient:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


class Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980), lazy about the rows of embeddings.

    Algorithm 1 with the order of the last paragraph of section 2. A row and its moments change only
    in steps whose batch has its token, as in TensorFlow Addons' LazyAdam; Keras's Adam moves every
    row in every step, by what is left of its moments. Where every row has a gradient, both are the
    same. Every replica makes the same update of its copy.

    Args:
        weight_decay: decoupled (Loshchilov and Hutter, arXiv:1711.05101): every weight but biases
            loses rate * weight_decay of itself in a step that changes it.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, variables: Sequence[tf.Variable], weight_decay: float = 0.0) -> None:
        self.variables = list(variables)
        self.weight_decay = weight_decay
        self.means = [_zeros_like(variable) for variable in self.variables]
        self.squares = [_zeros_like(variable) for variable in self.variables]

    def apply(self, gradients: Sequence[Gradient], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Makes one update; steps count from 0."""
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

    def _apply_all(
        self,
        variable: tf.Variable,
        mean: tf.Variable,
        square: tf.Variable,
        gradient: tf.Tensor,
        rate: tf.Tensor,
        powers: tuple[tf.Tensor, tf.Tensor],
        decay: float,
    ) -> None:
        if decay:
            variable.assign_sub(rate * decay * variable)

        tf.raw_ops.ResourceApplyAdam(  # a single pass over the variable
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

    def _apply_rows(
        self,
        variable: tf.Variable,
        mean: tf.Variable,
        square: tf.Variable,
        gradient: tf.IndexedSlices,
        rate: tf.Tensor,
        powers: tuple[tf.Tensor, tf.Tensor],
        decay: float,
    ) -> None:
        indices, values = gradient.indices, gradient.values  # [rows], [rows, width]

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


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros_like(variable), trainable=False)


class Average:
    """An exponential moving average of variables, with a smaller decay at first.

    As tf.train.ExponentialMovingAverage with num_updates. Without decay, no average is kept.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float) -> None:
        self.variables = list(variables)
        self.decay = decay
        self.averages = []
        if decay:
            self.averages = [tf.Variable(variable, trainable=False) for variable in self.variables]

    def update(self, step: tf.Tensor) -> None:
        """Comes after the step with this number, from 0."""
        count = tf.cast(step, tf.float32)
        rate = 1 - tf.minimum(self.decay, (1 + count) / (10 + count))
        for variable, average in zip(self.variables, self.averages, strict=bool(self.decay)):
            average.assign_sub(rate * (average - variable))
