"""Features to batches for Keras."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from components import features

# Rows parsed by one call: an order of magnitude cheaper than one by one.
PARSE_BATCH = 1024
# Rows that the shuffle buffer holds at most; below that the order of an epoch is uniformly random.
SHUFFLE_ROWS = 100_000
# Passes over the rows that have a seed of their own.
MAX_PASSES = 1_000_000


def dataset(
    root: Path,
    split: str,
    num_rows: int,
    *,
    num_classes: int,
    batch_size: int,
    pad_to: int | None,
    dim: int = 0,
) -> tf.data.Dataset:
    """The rows of a split, once, in the order of the files. See `batches` for the arguments and the elements."""
    return batches(read(root, split, dim), num_classes=num_classes, batch_size=batch_size, pad_to=pad_to, dim=dim).apply(
        tf.data.experimental.assert_cardinality(math.ceil(num_rows / batch_size))
    )


def shuffled(
    root: Path,
    *,
    seed: int,
    first_pass: int,
    num_passes: int,
    first_batch: int,
    num_classes: int,
    batch_size: int,
    pad_to: int | None,
    dim: int = 0,
) -> tf.data.Dataset:
    """The rows of the train split again and again, from a batch of a pass to the end of the last one.

    The order of a pass follows from (seed, number of the pass) only, so that training can go on anywhere. A pass ends with a smaller batch.
    """
    rows = read(root, features.TRAIN, dim)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        order = rows.shuffle(SHUFFLE_ROWS, seed=seed * MAX_PASSES + number, reshuffle_each_iteration=False)
        return batches(order, num_classes=num_classes, batch_size=batch_size, pad_to=pad_to, dim=dim)

    return tf.data.Dataset.range(first_pass, num_passes).flat_map(one_pass).skip(first_batch).prefetch(2)


def read(root: Path, split: str, dim: int) -> tf.data.Dataset:
    """(ids or flat values, class id) of every row, in the order of the files; parsed once, then kept in memory."""
    files = tf.data.Dataset.from_tensor_slices([str(path) for path in features.shards(root, split)])
    rows = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type="GZIP"), cycle_length=4, num_parallel_calls=2, deterministic=True
    )
    return rows.batch(PARSE_BATCH).map(partial(_parse, dim=dim), num_parallel_calls=2, deterministic=True).unbatch().cache()


def batches(rows: tf.data.Dataset, *, num_classes: int, batch_size: int, pad_to: int | None, dim: int = 0) -> tf.data.Dataset:
    """Batches (inputs, one-hot label [batch, num_classes] float32), the last one smaller.

    inputs: ids [batch, time] int64; with dim, numeric sequences: (values [batch, time, dim] float32, length [batch] int64).
    pad_to: the time of every batch; None for the longest row of each.
    """
    width = dim or 1  # a time step's values lie one behind the other in their row

    def to_batch(content: tf.RaggedTensor, label: tf.Tensor) -> tuple[Any, tf.Tensor]:
        padded = content.to_tensor(features.PAD_ID, shape=[None, pad_to and pad_to * width])
        # One time step at least: a batch of texts without a token is still a batch.
        missing = tf.maximum(width - tf.shape(padded)[1], 0)
        padded = tf.pad(padded, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
        if dim:
            values = tf.ensure_shape(tf.reshape(padded, [tf.shape(padded)[0], -1, dim]), [None, pad_to, dim])
            return (values, tf.cast(content.row_lengths() // dim, tf.int64)), tf.one_hot(label, num_classes)
        return padded, tf.one_hot(label, num_classes)

    return rows.ragged_batch(batch_size).map(to_batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def _parse(serialized: tf.Tensor, dim: int) -> tuple[tf.RaggedTensor, tf.Tensor]:
    name, kind = (features.VALUES, tf.float32) if dim else (features.IDS, tf.int64)
    row = tf.io.parse_example(serialized, {name: tf.io.RaggedFeature(kind), features.LABEL: tf.io.FixedLenFeature([], tf.int64)})
    return row[name], row[features.LABEL]
