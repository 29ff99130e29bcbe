"""The layers of the network that Keras does not bring."""

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
    """While training, replaces each token by OOV with probability `rate`.

    Padding stays. ids [batch, time] -> the same.
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
        return ops.where(
            ops.logical_and(dropped, ids != PAD_ID), ops.cast(self.oov, ids.dtype), ids
        )


@keras.saving.register_keras_serializable("seqline")
class WithinLength(layers.Layer):
    """Which time steps are no padding.

    (values [batch, time, dim], length [batch]) -> bool [batch, time].
    """

    def call(self, values: Any, length: Any) -> Any:
        return ops.arange(ops.shape(values)[1], dtype=length.dtype)[None, :] < length[:, None]


@keras.saving.register_keras_serializable("seqline")
class ReverseText(layers.Layer):
    """Turns each row around and leaves its padding behind it.

    (sequence [batch, time] or [batch, time, dim], present) -> the same.

    present: bool [batch, time], False for padding; here and in the layers below.
    """

    def call(self, sequence: Any, present: Any) -> Any:
        time = ops.arange(ops.shape(present)[1], dtype="int32")[None, :]
        length = ops.sum(ops.cast(present, "int32"), axis=1, keepdims=True)  # [batch, 1]
        source = ops.where(time < length, length - 1 - time, time)  # [batch, time]
        return ops.take_along_axis(
            sequence, source if len(sequence.shape) == 2 else source[:, :, None], axis=1
        )


@keras.saving.register_keras_serializable("seqline")
class Pooling(layers.Layer):
    """One vector of the states of a row.

    (states [batch, time, units], present [batch, time]) -> [batch, units or 2 * units].

    kind: "last" state, "mean" or "max" over time, or "mean_max", both side by side. With masking,
    padding does not count, and a row of padding only gives zeros; without, every position counts.
    (Keras's own GlobalMaxPooling1D ignores masks.)
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
            last = ops.cast(ops.maximum(length - 1, 0), "int32")[:, :, None]
            pooled.append(ops.squeeze(ops.take_along_axis(states * weights, last, axis=1), axis=1))
        if self.kind in ("mean", "mean_max"):
            pooled.append(ops.sum(states * weights, axis=1) / ops.maximum(length, 1))
        if self.kind in ("max", "mean_max"):
            pooled.append(
                ops.where(length > 0, ops.max(states + MASKED * (1 - weights), axis=1), 0.0)
            )
        return ops.concatenate(pooled, axis=-1)


@keras.saving.register_keras_serializable("seqline")
class MeanEmbedding(layers.Layer):
    """gain * the mean of a row's embeddings.

    (embedded [batch, time, dim], present [batch, time]) -> [batch, dim].

    A row of padding only gives zeros. Adam moves every weight by about the learning rate, so the
    gain is how much faster this branch learns than the other.
    """

    def __init__(self, gain: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, embedded: Any, present: Any) -> Any:
        weights = ops.cast(present, embedded.dtype)
        weights *= self.gain / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1)
        return ops.squeeze(ops.matmul(weights[:, None, :], embedded), axis=1)


@keras.saving.register_keras_serializable("seqline")
class BranchDropout(layers.Layer):
    """While training, a row loses one of its two branches with probability `rate`.

    Then they are concatenated.

    Either branch has to classify on its own, so that the quickly learned one does not starve the
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
    """Puts the ids of bigrams behind those of the tokens. ids [batch, time] -> [batch, 2 * time -
    1], PAD where there is none.

    Bigrams are hashed into buckets; `rows`, int32 [num_buckets], holds the number of a bucket that
    training has seen often enough, from 1, or 0. Its id is `first_id` - 1 more. Neither padding nor
    OOV is part of a bigram.
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
        numbers = ops.cast(ops.take(self.rows, buckets), ids.dtype)
        found = ops.logical_and(known, numbers > 0)
        return ops.concatenate(
            [ids, ops.where(found, numbers + (self.first_id - 1), PAD_ID)], axis=1
        )


def bigram_buckets(ids: Any, num_buckets: int, oov: int) -> tuple[Any, Any]:
    """(bucket of every pair of neighbours, whether both are tokens), [batch, time - 1] each, of
    int64 ids [batch, time].

    The same integers for tensors and numpy arrays; with ids below 2 ** 30 no product leaves 64
    bits.
    """
    first, second = ids[:, :-1], ids[:, 1:]
    mixed = (first * HASH_FIRST + second * HASH_SECOND) % 2**32
    known = (first != PAD_ID) & (first != oov) & (second != PAD_ID) & (second != oov)
    return (mixed * num_buckets) // 2**32, known


@keras.saving.register_keras_serializable("seqline")
class MeanOfDistinct(layers.Layer):
    """What MeanEmbedding gives, from each distinct embedding once.

    (rows [distinct, dim], positions [batch, time] of them, present bool [batch, time]) -> [batch,
    dim].
    """

    def __init__(self, gain: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, rows: Any, positions: Any, present: Any) -> Any:
        batch = tf.shape(present)[0]
        found = tf.cast(tf.where(present), tf.int32)  # [num, 2]
        total = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=rows,
            indices=tf.boolean_mask(positions, present),
            segment_ids=found[:, 0],
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
