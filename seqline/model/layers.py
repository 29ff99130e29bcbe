"""The layers of the network that Keras does not have."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from seqline.data.features import PAD_ID

# Added to the states of padding before the maximum: below every tanh.
MASKED = -1e9
# Odd factors of a multiplicative hash (Knuth, The Art of Computer Programming, volume 3, section
# 6.4), modulo 2 ** 32.
HASH_FIRST, HASH_SECOND = 2_654_435_761, 2_246_822_519


@keras.saving.register_keras_serializable("seqline")
class WordDropout(layers.Layer):
    """While training, replaces each token by OOV with probability `rate`; padding stays.

    ids [batch, time] -> ids [batch, time].
    """

    def __init__(self, rate: float, oov: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.oov = oov
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, ids: Any, training: bool = False) -> Any:
        if not training:
            return ids
        dropped = keras.random.uniform(ops.shape(ids), seed=self.generator) < self.rate
        replaced = ops.logical_and(dropped, ids != PAD_ID)  # [batch, time]
        return ops.where(replaced, ops.cast(self.oov, ids.dtype), ids)


@keras.saving.register_keras_serializable("seqline")
class WithinLength(layers.Layer):
    """Tells time steps from padding.

    (values [batch, time, dim], length [batch]) -> bool [batch, time].
    """

    def call(self, values: Any, length: Any) -> Any:
        return ops.arange(ops.shape(values)[1], dtype=length.dtype)[None, :] < length[:, None]


@keras.saving.register_keras_serializable("seqline")
class ReverseText(layers.Layer):
    """Reverses each row; its padding stays at the end.

    (sequence [batch, time] or [batch, time, dim], present bool [batch, time]) -> a sequence of the
    same shape. `present` is False for padding, here and in the layers below.
    """

    def call(self, sequence: Any, present: Any) -> Any:
        time = ops.arange(ops.shape(present)[1], dtype="int32")[None, :]
        length = ops.sum(ops.cast(present, "int32"), axis=1, keepdims=True)  # [batch, 1]
        source = ops.where(time < length, length - 1 - time, time)  # [batch, time]

        if len(sequence.shape) == 3:
            source = source[:, :, None]

        return ops.take_along_axis(sequence, source, axis=1)


@keras.saving.register_keras_serializable("seqline")
class Pooling(layers.Layer):
    """Pools the states of a row into one vector.

    (states [batch, time, units], present [batch, time]) -> [batch, units], or [batch, 2 * units]
    for "mean_max". (Keras's own GlobalMaxPooling1D ignores masks.)

    Args:
        kind: "last" state, "mean" or "max" over time, or "mean_max", both concatenated.
        masking: padding does not count, and a row of padding only gives zeros; without masking,
            every position counts.
    """

    def __init__(self, kind: str, masking: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.masking = masking

    def call(self, states: Any, present: Any) -> Any:
        counted = present if self.masking else ops.ones_like(present)
        weights = ops.cast(counted, states.dtype)[:, :, None]  # [batch, time, 1]
        length = ops.sum(weights, axis=1)  # [batch, 1]

        pooled = []
        if self.kind == "last":
            last = ops.cast(ops.maximum(length - 1, 0), "int32")[:, :, None]  # [batch, 1, 1]
            pooled.append(ops.squeeze(ops.take_along_axis(states * weights, last, axis=1), axis=1))

        if self.kind in ("mean", "mean_max"):
            pooled.append(ops.sum(states * weights, axis=1) / ops.maximum(length, 1))

        if self.kind in ("max", "mean_max"):
            highest = ops.max(states + MASKED * (1 - weights), axis=1)  # [batch, units]
            pooled.append(ops.where(length > 0, highest, 0.0))

        return ops.concatenate(pooled, axis=-1)


@keras.saving.register_keras_serializable("seqline")
class MeanEmbedding(layers.Layer):
    """`gain` times the mean of a row's embeddings; zeros for a row of padding only.

    (embedded [batch, time, dim], present [batch, time]) -> [batch, dim].

    Adam moves every weight by about the learning rate, so the gain is how much faster this branch
    learns than the other.
    """

    def __init__(self, gain: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, embedded: Any, present: Any) -> Any:
        weights = ops.cast(present, embedded.dtype)  # [batch, time]
        weights *= self.gain / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1)
        return ops.squeeze(ops.matmul(weights[:, None, :], embedded), axis=1)


@keras.saving.register_keras_serializable("seqline")
class BranchDropout(layers.Layer):
    """Concatenates two branches; while training, a row loses one of them with probability `rate`.

    (recurrent [batch, a], skip [batch, b]) -> [batch, a + b].

    Each branch has to classify alone, so that the one that learns quickly does not starve the
    other.
    """

    def __init__(self, rate: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, recurrent: Any, skip: Any, training: bool = False) -> Any:
        if training and self.rate:
            draw = keras.random.uniform((ops.shape(recurrent)[0], 1), seed=self.generator)
            recurrent = recurrent * ops.cast(draw >= self.rate / 2, recurrent.dtype)
            skip = skip * ops.cast((draw < self.rate / 2) | (draw >= self.rate), skip.dtype)
        return ops.concatenate([recurrent, skip], axis=-1)


@keras.saving.register_keras_serializable("seqline")
class Bigrams(layers.Layer):
    """Appends the ids of bigrams to those of the tokens.

    ids [batch, time] -> ids [batch, 2 * time - 1], PAD for a pair that has no id.

    Bigrams are hashed into buckets. The weight `rows`, int32 [num_buckets], numbers the buckets
    that training has seen often enough, from 1; the others have 0. An id is a number plus
    `first_id` - 1. Neither padding nor OOV is part of a bigram.
    """

    def __init__(self, num_buckets: int, oov: int, first_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_buckets = num_buckets
        self.oov = oov
        self.first_id = first_id

    def build(self, _: Any) -> None:
        self.rows = self.add_weight(
            shape=(self.num_buckets,),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            name="rows",
        )

    def call(self, ids: Any) -> Any:
        buckets, known = bigram_buckets(ids, self.num_buckets, self.oov)
        numbers = ops.cast(ops.take(self.rows, buckets), ids.dtype)  # [batch, time - 1]
        has_id = ops.logical_and(known, numbers > 0)
        bigrams = ops.where(has_id, numbers + (self.first_id - 1), PAD_ID)
        return ops.concatenate([ids, bigrams], axis=1)


def bigram_buckets(ids: Any, num_buckets: int, oov: int) -> tuple[Any, Any]:
    """Hashes every pair of neighbouring ids.

    Tensors and numpy arrays give the same integers. With ids below 2 ** 30 no product exceeds 64
    bits.

    Args:
        ids: int64 [batch, time].

    Returns:
        (the bucket of each pair, whether both ids are tokens), [batch, time - 1] each.
    """
    first, second = ids[:, :-1], ids[:, 1:]
    mixed = (first * HASH_FIRST + second * HASH_SECOND) % 2**32
    known = (first != PAD_ID) & (first != oov) & (second != PAD_ID) & (second != oov)
    return (mixed * num_buckets) // 2**32, known


@keras.saving.register_keras_serializable("seqline")
class MeanOfDistinct(layers.Layer):
    """MeanEmbedding over the output of `DistinctEmbedding`.

    (rows [distinct, dim], positions [batch, time] of these, present bool [batch, time]) ->
    [batch, dim].
    """

    def __init__(self, gain: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, rows: Any, positions: Any, present: Any) -> Any:
        batch = tf.shape(present)[0]
        places = tf.cast(tf.where(present), tf.int32)  # [num_present, 2]: row, time
        total = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=rows,
            indices=tf.boolean_mask(positions, present),
            segment_ids=places[:, 0],
            num_segments=batch,
        )

        count = tf.reduce_sum(tf.cast(present, rows.dtype), axis=1, keepdims=True)
        return total * (self.gain / tf.maximum(count, 1))

    def compute_output_shape(
        self, rows_shape: Any, positions_shape: Any, present_shape: Any
    ) -> Any:
        return (positions_shape[0], rows_shape[-1])

    def compute_output_spec(self, rows: Any, positions: Any, present: Any) -> Any:
        return keras.KerasTensor((positions.shape[0], rows.shape[-1]), dtype=self.compute_dtype)
