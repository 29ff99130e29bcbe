"""Features to batches.

Rows are read a block at a time, parsed by one call, and from there on handled as a whole: a step
costs the input a slice of a block, not 64 elements of a tf.data pipeline. A split of one block is
read once and kept; a larger one is read anew in every pass, and no more of it is in memory than the
block in use and the next.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from seqline.data import features
from seqline.storage.files import is_remote, match
from seqline.storage.staging import fetch

# Rows of a block, at most. Within a block the order of a pass is uniformly random.
BLOCK_ROWS = 100_000
# Batches' worth of rows, one behind the other in the shuffled order, that are sorted by length
# before they are cut into batches.
POOL_BATCHES = 32
# Shards under gs:// that are fetched at once, and how many may be there before they are read.
NUM_FETCHED = 4
# Longer than any row: what a pool and a length are put together by.
LENGTHS = 2**32


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
    """The rows of a split, once. See `shuffled` for the arguments and the elements."""
    cut = partial(_cut, None, batch_size=batch_size, sort=pad_to is None)
    found = blocks(root, split, batch_size, dim).enumerate().flat_map(cut)
    return found.map(
        _pad(num_classes, pad_to, dim), num_parallel_calls=2, deterministic=True
    ).apply(tf.data.experimental.assert_cardinality(math.ceil(num_rows / batch_size)))


def shuffled(
    root: Path,
    num_rows: int,
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
    """The rows of the train split again and again, from a batch of a pass to the end of the last
    one.

    Batches (inputs, one-hot label [batch, num_classes] float32) of rows of about the same length;
    one of a pass may be smaller. Their order follows from (seed, number of the pass) only, so that
    training can go on anywhere.

    inputs: ids [batch, time] int64; with dim, numeric sequences: (values [batch, time, dim]
    float32, length [batch] int64). pad_to: the time of every batch, whose rows are then of any
    length; None for the longest row of each.
    """
    kept = blocks(root, features.TRAIN, batch_size, dim)
    if num_rows <= BLOCK_ROWS:
        kept = kept.cache()

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        return kept.enumerate().flat_map(
            partial(_cut, (seed, number), batch_size=batch_size, sort=pad_to is None)
        )

    rows = tf.data.Dataset.range(first_pass, num_passes).flat_map(one_pass).skip(first_batch)
    return rows.map(
        _pad(num_classes, pad_to, dim), num_parallel_calls=2, deterministic=True
    ).prefetch(4)


def blocks(root: Path, split: str, batch_size: int, dim: int) -> tf.data.Dataset:
    """(ragged ids or flat values [rows, ...], class ids [rows]).

    The rows of a split in the order of its files, whole batches of them.
    """
    rows = shards(root, split).interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type="GZIP"),
        cycle_length=4,
        num_parallel_calls=2,
        deterministic=True,
    )
    size = max(BLOCK_ROWS // batch_size, 1) * batch_size
    return rows.batch(size).map(partial(_parse, dim=dim)).prefetch(1)


def shards(root: Path, split: str) -> tf.data.Dataset:
    """The names of the files of a split, in order.

    Those under gs:// are fetched one by one, ahead of who reads them, and kept for the next epochs
    as far as the cache goes: no epoch needs the whole split on this disk.
    """
    paths = [str(path) for path in features.shards(root, split)]
    if not is_remote(paths[0]):
        return tf.data.Dataset.from_tensor_slices(paths)
    content = {file.path: file.content for file in match(f"{root}/Split-{split}/*")}

    def fetched(path: bytes) -> bytes:
        return fetch(path.decode(), str(content[path.decode()])).encode()

    names = tf.data.Dataset.from_tensor_slices(paths).map(
        # Not stateful: a name always stands for the same content.
        lambda path: tf.ensure_shape(
            tf.numpy_function(fetched, [path], tf.string, stateful=False), []
        ),
        num_parallel_calls=NUM_FETCHED,
        deterministic=True,
    )
    return names.prefetch(NUM_FETCHED)


def _parse(serialized: tf.Tensor, dim: int) -> tuple[tf.RaggedTensor, tf.Tensor]:
    name, kind = (features.VALUES, tf.float32) if dim else (features.IDS, tf.int64)
    row = tf.io.parse_example(
        serialized,
        {name: tf.io.RaggedFeature(kind), features.LABEL: tf.io.FixedLenFeature([], tf.int64)},
    )
    return row[name], row[features.LABEL]


def _cut(
    seeds: tuple[int, tf.Tensor] | None,
    number: tf.Tensor,
    block: tuple[tf.RaggedTensor, tf.Tensor],
    *,
    batch_size: int,
    sort: bool,
) -> tf.data.Dataset:
    """A block's batches of (ragged content, label). seeds: of the order; None to keep it."""
    content, label = block
    num_rows = content.nrows()
    num_batches = (num_rows + batch_size - 1) // batch_size
    order, batches = tf.range(num_rows), tf.range(num_batches)
    if seeds is not None:
        # Two streams of random numbers for each block of each pass: the order of the rows, and that
        # of the batches.
        stream = tf.stack([tf.constant(seeds[0], tf.int64), seeds[1] * 2**32 + number * 2])
        order = _permutation(num_rows, stream)
        batches = (
            _permutation(num_batches, stream + tf.constant([0, 1], tf.int64)) if sort else batches
        )
    if sort:
        pool = tf.range(num_rows) // (batch_size * POOL_BATCHES)
        order = tf.gather(
            order, tf.argsort(pool * LENGTHS + tf.gather(content.row_lengths(), order), stable=True)
        )

    def batch(number: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        rows = order[number * batch_size : (number + 1) * batch_size]
        return tf.gather(content, rows), tf.gather(label, rows)

    return tf.data.Dataset.from_tensor_slices(batches).map(batch)


def _permutation(size: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    draw = tf.random.stateless_uniform([size], stream, minval=None, maxval=None, dtype=tf.int64)
    return tf.cast(tf.argsort(draw, stable=True), tf.int64)


def _pad(
    num_classes: int, pad_to: int | None, dim: int
) -> Callable[[tf.RaggedTensor, tf.Tensor], tuple[Any, tf.Tensor]]:
    """(ragged content, label) of a batch -> what `shuffled` says."""
    width = dim or 1  # a time step's values lie one behind the other in their row

    def pad(content: tf.RaggedTensor, label: tf.Tensor) -> tuple[Any, tf.Tensor]:
        dense = content.to_tensor(features.PAD_ID, shape=[None, pad_to and pad_to * width])
        # One time step at least: a batch of texts without a token is still a batch.
        missing = tf.maximum(width - tf.shape(dense)[1], 0)
        dense = tf.pad(dense, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
        if dim:
            values = tf.ensure_shape(
                tf.reshape(dense, [tf.shape(dense)[0], -1, dim]), [None, pad_to, dim]
            )
            return (values, tf.cast(content.row_lengths() // dim, tf.int64)), tf.one_hot(
                label, num_classes
            )
        return dense, tf.one_hot(label, num_classes)

    return pad
