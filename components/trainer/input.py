"""Features to batches for Keras."""

import math
from pathlib import Path

import tensorflow as tf

from components import features

# Rows parsed by one call: an order of magnitude cheaper than one by one.
PARSE_BATCH = 1024
# Rows that the shuffle buffer holds at most; below that the order of an epoch is uniformly random.
SHUFFLE_ROWS = 100_000

SPEC = {
    features.IDS: tf.io.RaggedFeature(tf.int64),
    features.LABEL: tf.io.FixedLenFeature([], tf.int64),
}


def dataset(
    root: Path,
    split: str,
    num_rows: int,
    *,
    num_classes: int,
    batch_size: int,
    pad_to: int | None,
    shuffle_seed: int | None = None,
) -> tf.data.Dataset:
    """Batches (ids [batch, time] int64, one-hot label [batch, num_classes] float32), the last one smaller.

    num_rows: of the split. pad_to: the time of every batch; None for the longest text of each. shuffle_seed: a new order each epoch, fixed by it;
    None for the order of the files.
    """
    files = tf.data.Dataset.from_tensor_slices([str(path) for path in features.shards(root, split)])
    rows = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type="GZIP"), cycle_length=4, num_parallel_calls=2, deterministic=True
    )
    rows = rows.batch(PARSE_BATCH).map(_parse, num_parallel_calls=2, deterministic=True).unbatch().cache()
    if shuffle_seed is not None:
        rows = rows.shuffle(SHUFFLE_ROWS, seed=shuffle_seed, reshuffle_each_iteration=True)

    def to_batch(ids: tf.RaggedTensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        padded = ids.to_tensor(features.PAD_ID, shape=[None, pad_to])
        # One column at least: a batch of texts without a token is still a batch.
        missing = tf.maximum(1 - tf.shape(padded)[1], 0)
        return tf.pad(padded, [[0, 0], [0, missing]], constant_values=features.PAD_ID), tf.one_hot(label, num_classes)

    batches = rows.ragged_batch(batch_size).map(to_batch, num_parallel_calls=2, deterministic=True).prefetch(2)
    return batches.apply(tf.data.experimental.assert_cardinality(math.ceil(num_rows / batch_size)))


def _parse(serialized: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    row = tf.io.parse_example(serialized, SPEC)
    return row[features.IDS], row[features.LABEL]
