"""Makes batches of Features.

Rows are read a block at a time, parsed by one call, and then handled as a whole: a step costs the
input a slice of a block, not 64 elements of a tf.data pipeline. A split of one block is read once
and kept. A larger one is read again in every pass, and only the block in use and the next one are
in memory.

    files -> blocks, whole batches each -> rows permuted -> sorted by length within pools
          -> batches permuted -> padded

One of several workers makes the same batches and leaves out the rows of the others, which are
placeholders in its files: see `distributed.share`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from seqline.data import features
from seqline.storage.files import is_remote, match
from seqline.storage.staging import fetch

# The most rows of a block. Within a block the order of a pass is uniformly random.
BLOCK_ROWS = 100_000
# Batches that a pool is cut into: its rows are consecutive in the shuffled order, and are sorted by
# length first.
POOL_BATCHES = 32
# Files that are read at the same time, a row of each in turn.
CYCLE_FILES = 4
# The length of another worker's row, in its placeholder; -1 for a row of this worker.
FOREIGN = "foreign"
# How many shards under gs:// are fetched at once, and how many are fetched before they are read.
NUM_FETCHED = 4
# AutoGraph would rewrite the source of each function of the pipeline, for nothing: a second in all.
plain = tf.autograph.experimental.do_not_convert
# Longer than any row: pool * LENGTHS + length sorts by pool, then by length.
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
    paths: Sequence[str] | None = None,
) -> tf.data.Dataset:
    """The rows of a split, once. See `shuffled` for the arguments and the elements."""
    cut = plain(_cutter(batch_size, pad_to, paths, None))
    kept = blocks(root, split, batch_size, dim, paths=paths)
    if num_rows <= BLOCK_ROWS:
        kept = kept.cache()

    batches = kept.enumerate().flat_map(cut)
    num_batches = math.ceil(num_rows / batch_size)
    return batches.map(
        _pad(num_classes, pad_to, dim), num_parallel_calls=2, deterministic=True
    ).apply(tf.data.experimental.assert_cardinality(num_batches))


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
    is_weighted: bool = False,
    block_rows: int = BLOCK_ROWS,
    paths: Sequence[str] | None = None,
) -> tf.data.Dataset:
    """Passes over the train split, from some batch of some pass to the end of the last one.

    The order follows from the seed and the number of the pass only, so that training can continue
    anywhere.

    Args:
        root: the Features.
        num_rows: of the split.
        first_pass, first_batch: where to begin, from 0.
        num_passes: of the whole training.
        pad_to: the time of every batch, whose rows are then of any length; None for the longest
            row of each batch, whose rows are of about the same length.
        dim: numbers of a time step; 0 for ids.
        is_weighted: whether rows have weights.
        block_rows: the most rows of a block.
        paths: the files of one of several workers (`Share.paths`), which gets its own rows of each
            batch; None for those of the split.

    Returns:
        Batches (inputs, one-hot label float32 [batch, num_classes]), and with weights (inputs,
        label, weight float32 [batch]), as few as batch_size allows and as even as possible: those
        of a block differ by one row at most. The inputs are ids int64
        [batch, time], or with dim (values float32 [batch, time, dim], length int64 [batch]).
    """
    kept = blocks(root, features.TRAIN, batch_size, dim, block_rows, is_weighted, paths)
    if num_rows <= block_rows:
        kept = kept.cache()

    @plain
    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        cut = _cutter(batch_size, pad_to, paths, (seed, number))
        return kept.enumerate().flat_map(cut)

    batches = tf.data.Dataset.range(first_pass, num_passes).flat_map(one_pass).skip(first_batch)
    return batches.map(
        _pad(num_classes, pad_to, dim), num_parallel_calls=2, deterministic=True
    ).prefetch(4)


def blocks(
    root: Path,
    split: str,
    batch_size: int,
    dim: int,
    block_rows: int = BLOCK_ROWS,
    is_weighted: bool = False,
    paths: Sequence[str] | None = None,
) -> tf.data.Dataset:
    """The rows of a split in the order of its files, in blocks of whole batches.

    Returns:
        (ragged ids [rows, time] or values [rows, time * dim], class ids [rows]), and the weights
        float32 [rows] where they are asked for. With `paths` the last one is int64 [rows], the
        lengths of rows of other workers, of which there is nothing else, and -1 for own ones.
    """
    rows = shards(root, split, paths).interleave(
        plain(lambda path: tf.data.TFRecordDataset(path, compression_type="GZIP")),
        cycle_length=CYCLE_FILES,
        num_parallel_calls=2,
        deterministic=True,
    )
    size = max(block_rows // batch_size, 1) * batch_size
    is_share = paths is not None
    parsed = plain(partial(parse, dim=dim, is_weighted=is_weighted, is_share=is_share))
    return rows.batch(size).map(parsed).prefetch(1)


def shards(root: Path, split: str, paths: Sequence[str] | None = None) -> tf.data.Dataset:
    """The paths of the files of a split, in order; `paths` if they are given.

    Files under gs:// are fetched one by one before they are read, and kept for the next epochs as
    far as the cache allows: no epoch needs the whole split on this disk.
    """
    paths = paths or [str(path) for path in features.shards(root, split)]
    if not any(map(is_remote, paths)):
        return tf.data.Dataset.from_tensor_slices(paths)

    local_name = fetching(root, split)

    def fetched(path: bytes) -> bytes:
        return local_name(path.decode()).encode()

    @plain
    def local(path: tf.Tensor) -> tf.Tensor:
        # Not stateful: a path always has the same content.
        return tf.ensure_shape(tf.numpy_function(fetched, [path], tf.string, stateful=False), [])

    local_paths = tf.data.Dataset.from_tensor_slices(paths).map(
        local, num_parallel_calls=NUM_FETCHED, deterministic=True
    )
    return local_paths.prefetch(NUM_FETCHED)


def fetching(root: Path, split: str) -> Callable[[str], str]:
    """A function from a file to a local one with its content, which the cache may soon drop."""
    if not is_remote(str(root)):
        return str

    content = {file.path: file.content for file in match(f"{root}/Split-{split}/*")}
    return lambda path: fetch(path, str(content[path])) if is_remote(path) else path


def parse(
    serialized: tf.Tensor, dim: int, is_weighted: bool, is_share: bool = False
) -> tuple[Any, ...]:
    """Serialized rows, [rows], as what `blocks` gives."""
    name, dtype = (features.VALUES, tf.float32) if dim else (features.IDS, tf.int64)
    # A placeholder has neither. Another row without them is damaged.
    missing = 0 if is_share else None
    spec = {
        name: tf.io.RaggedFeature(dtype),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64, missing),
    }
    if is_weighted:
        spec[features.WEIGHT] = tf.io.FixedLenFeature([], tf.float32, missing)
    if is_share:
        spec[FOREIGN] = tf.io.FixedLenFeature([], tf.int64, -1)

    row = tf.io.parse_example(serialized, spec)
    return tuple(row[feature] for feature in spec)


def _cutter(
    batch_size: int,
    pad_to: int | None,
    paths: Sequence[str] | None,
    seeds: tuple[int, tf.Tensor] | None,
) -> Callable[..., tf.data.Dataset]:
    is_share = paths is not None
    return partial(_cut, seeds, batch_size=batch_size, sort=pad_to is None, is_share=is_share)


def _cut(
    seeds: tuple[int, tf.Tensor] | None,
    number: tf.Tensor,
    block: tuple[Any, ...],
    *,
    batch_size: int,
    sort: bool,
    is_share: bool,
) -> tf.data.Dataset:
    """Cuts a block into batches of (ragged content, label), and weight if the block has weights.

    Batches of one size: a small last one would have to be compiled for itself, and its few rows
    would move the weights as much as the many of another.

    Args:
        seeds: (seed, number of the pass), which decide the order; None to keep it.
        number: of the block.
        sort: whether rows of about the same length become a batch.
        is_share: whether the block has rows of other workers, which the batches then lack.
    """
    content = block[0]
    lengths = tf.cast(content.row_lengths(), tf.int64)
    if is_share:
        block, foreign = block[:-1], block[-1]
        lengths = tf.maximum(lengths, foreign)
    num_rows = tf.cast(content.nrows(), tf.int64)
    num_batches = (num_rows + batch_size - 1) // batch_size
    order, batches = tf.range(num_rows), tf.range(num_batches)
    if seeds is not None:
        # Two streams of random numbers for each block of each pass: the order of the rows, and that
        # of the batches.
        stream = tf.stack([tf.constant(seeds[0], tf.int64), seeds[1] * 2**32 + number * 2])
        order = _permutation(num_rows, stream)
        if sort:
            batches = _permutation(num_batches, stream + tf.constant([0, 1], tf.int64))

    if sort:
        # Its batch is the first one that ends after the row.
        pool = ((tf.range(num_rows) + 1) * num_batches - 1) // num_rows // POOL_BATCHES  # [rows]
        length = tf.gather(lengths, order)  # [rows]
        order = tf.gather(order, tf.argsort(pool * LENGTHS + length, stable=True))

    @plain
    def batch(number: tf.Tensor) -> tuple[Any, ...]:
        start = number * num_rows // num_batches
        rows = order[start : (number + 1) * num_rows // num_batches]
        if is_share:
            rows = tf.boolean_mask(rows, tf.gather(foreign, rows) < 0)
        return tuple(tf.gather(column, rows) for column in block)

    return tf.data.Dataset.from_tensor_slices(batches).map(batch)


def _permutation(size: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    draw = tf.random.stateless_uniform([size], stream, minval=None, maxval=None, dtype=tf.int64)
    return tf.cast(tf.argsort(draw, stable=True), tf.int64)


def _pad(num_classes: int, pad_to: int | None, dim: int) -> Callable[..., tuple[Any, ...]]:
    """A function from a batch (ragged content, label[, weight]) to what `shuffled` returns."""
    width = dim or 1  # numbers of a time step, which are consecutive in their row

    @plain
    def pad(content: tf.RaggedTensor, label: tf.Tensor, *weight: tf.Tensor) -> tuple[Any, ...]:
        # [batch, time * width]
        dense = content.to_tensor(features.PAD_ID, shape=[None, pad_to and pad_to * width])
        # One time step at least: a batch of texts without a token is still a batch.
        missing = tf.maximum(width - tf.shape(dense)[1], 0)
        dense = tf.pad(dense, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
        if not dim:
            return dense, tf.one_hot(label, num_classes), *weight

        num_rows, num_values = tf.unstack(tf.shape(dense))  # a worker's part may have no row
        values = tf.reshape(dense, [num_rows, num_values // dim, dim])  # [batch, time, dim]
        values = tf.ensure_shape(values, [None, pad_to, dim])
        length = tf.cast(content.row_lengths() // dim, tf.int64)  # [batch]
        return (values, length), tf.one_hot(label, num_classes), *weight

    return pad
