"""Examples on disk: what example_gen writes and the later stages read.

<root>/
    Split-<split>/data_tfrecord-<span>-<source shard>-<number>.gz   tf.Examples
    examples.json                                                   see `seqline.data.manifest`

A tf.Example holds the content, `label` and, where rows have weights, `weight`.

A shard is bounded (SHARD_BYTES), so that one Beam element can be a whole shard: its rows are read,
counted and written together, in memory that does not follow the size of the data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from seqline.data import features
from seqline.errors import DataError
from seqline.storage.staging import reading, writing

# Content of a shard, at most, before it is compressed (a single longer row aside).
SHARD_BYTES = 16 << 20
# Level 1 takes a quarter of the CPU of zlib's default, for files that are a sixth larger.
COMPRESSION_LEVEL = 1
# Rows that are read at once.
BLOCK_ROWS = 4096
NO_KINDS: Mapping[str, str] = {}

Content = Literal["text", "tokens", "sequence"]


@dataclass(frozen=True)
class ExampleShard:
    """The rows of one shard of a split, in order.

    Attributes:
        span: The span that the rows arrived in.
        split: `train`, `eval` or `test`.
        name: The shard's file name. It is unique together with the split.
        contents: One for each row: bytes (text, UTF-8), a list of bytes (tokens), or a float32
            array [time, dim] (sequence).
        labels: One for each row: bytes (UTF-8).
        weights: One for each row; None where rows have no weights.
    """

    span: int
    split: str
    name: str
    contents: Sequence[Any]
    labels: Sequence[bytes]
    weights: Sequence[float] | None = None


def shard_name(span: int, source_shard: int, number: int) -> str:
    """The file name of a shard, which is the same each time that its source is read.

    Args:
        span: The span that it is of.
        source_shard: The number of the source's shard in this span.
        number: The number of the shard among those that this shard of the source fills.
    """
    return f"data_tfrecord-{span:05d}-{source_shard:05d}-{number:05d}.gz"


def span_of(path: str | Path) -> int:
    """The span of a shard, from its name; 0 for names that are not ours."""
    match = re.fullmatch(r"data_tfrecord-(\d+)-\d+-\d+\.gz", Path(str(path)).name)
    return int(match[1]) if match else 0


def raw_features(content: Content, is_weighted: bool = False) -> dict[str, Any]:
    """The feature spec of Examples, for tf.io.parse_example.

    It gives `label` and text [batch], or tokens or a sequence as a SparseTensor [batch, any], and
    the `weight` float32 [batch] where it is asked for.
    """
    import tensorflow as tf

    kinds: dict[str, Any] = {
        features.TEXT: tf.io.FixedLenFeature([], tf.string),
        features.TOKENS: tf.io.VarLenFeature(tf.string),
        features.SEQUENCE: tf.io.VarLenFeature(tf.float32),
    }
    spec = {content: kinds[content], features.LABEL: tf.io.FixedLenFeature([], tf.string)}
    if is_weighted:
        spec[features.WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
    return spec


def write_records(path: str | Path, records: Any) -> None:
    """Writes serialized tf.Examples as a gzipped TFRecord file.

    It appears whole or not at all. A second try rewrites it.
    """
    import tensorflow as tf

    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION_LEVEL)
    with writing(path) as name, tf.io.TFRecordWriter(name, options) as writer:
        for record in records:
            writer.write(record)


def write(shard: ExampleShard, path: str | Path, content: Content) -> None:
    """Writes a shard of Examples."""
    import numpy as np

    from seqline.data import tf_example_writer

    if content == features.TEXT:
        column = tf_example_writer.bytes_features(content, shard.contents)
    elif content == features.TOKENS:
        column = tf_example_writer.bytes_lists(content, shard.contents)
    else:
        lengths = np.array([row.size for row in shard.contents], np.int64)
        column = tf_example_writer.float_lists(
            content, np.concatenate([row.ravel() for row in shard.contents]), lengths
        )

    labels = tf_example_writer.few_bytes_features(features.LABEL, shard.labels)
    # In ascending order of their names: "label" comes before all kinds of content.
    columns = [labels, column]
    if shard.weights is not None:
        weights = np.array(shard.weights, np.float32)
        columns.append(tf_example_writer.single_floats(features.WEIGHT, weights))
    write_records(path, tf_example_writer.examples(columns))


def read(
    path: str | Path, content: Content, dim: int | None = None, is_weighted: bool = False
) -> ExampleShard:
    """Reads a whole shard of Examples. Its split is the name of its folder.

    Args:
        path: The shard.
        content: What a row holds.
        dim: Numbers of a time step of a sequence.
        is_weighted: Whether each row has a weight.

    Raises:
        DataError: The file is cut off, or is not a TFRecord file.
    """
    contents: list[Any] = []
    labels: list[bytes] = []
    weights: list[float] = []
    for block in blocks(path, content, is_weighted=is_weighted):
        labels += block.labels.tolist()
        if block.weights is not None:
            weights += block.weights.tolist()
        contents += _rows(block.content, content, dim)

    split = Path(path).parent.name.removeprefix("Split-")
    name, held = Path(path).name, weights if is_weighted else None
    return ExampleShard(span_of(path), split, name, contents, labels, held)


def _rows(held: Any, content: Content, dim: int | None) -> list[Any]:
    """The contents of a block's rows, as `ExampleShard` holds them."""
    if content == features.TEXT:
        return list(held.numpy().tolist())

    values = held.values.numpy()
    rows = [values[start:end] for start, end in pairwise(held.row_splits.numpy().tolist())]
    if content == features.TOKENS:
        return [row.tolist() for row in rows]
    return [row.reshape(-1, dim or 1) for row in rows]  # each [time, dim]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a shard, as tensors.

    Attributes:
        content: A tf.string tensor [rows] for text, otherwise a RaggedTensor [rows, any].
        labels: Bytes, [rows].
        raw: Name of another feature -> its first value in each row, as text.
        weights: float32 [rows]; None where they are not asked for.
    """

    content: Any
    labels: Any
    raw: Mapping[str, list[str]]
    weights: Any = None


def blocks(
    path: str | Path,
    content: Content,
    kinds: Mapping[str, str] = NO_KINDS,
    size: int = BLOCK_ROWS,
    is_weighted: bool = False,
) -> Iterator[Block]:
    """Reads a shard of Examples block by block.

    Args:
        path: The shard.
        content: What a row holds.
        kinds: Name of another feature that is wanted -> its kind, see `seqline.data.feature_kinds`.
        size: Rows of a block. The last block may have fewer.
        is_weighted: Whether the weights are wanted, too.

    Raises:
        DataError: The file is cut off, or is not a TFRecord file.
    """
    import tensorflow as tf

    dtypes = {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}
    others = {name: tf.io.VarLenFeature(dtypes[kind]) for name, kind in kinds.items()}
    spec = raw_features(content, is_weighted) | others

    with _records(path) as records:
        for serialized in records.batch(size).prefetch(1):
            row = tf.io.parse_example(serialized, spec)
            held = row[content]
            if content != features.TEXT:
                held = tf.RaggedTensor.from_sparse(held)

            raw = {name: _first_values(row[name]) for name in kinds}
            weights = row[features.WEIGHT].numpy() if is_weighted else None
            yield Block(held, row[features.LABEL].numpy(), raw, weights)


def records(path: str | Path) -> Iterator[bytes]:
    """Reads the serialized tf.Examples of a shard.

    Raises:
        DataError: The file is cut off, or is not a TFRecord file.
    """
    with _records(path) as dataset:
        yield from dataset.as_numpy_iterator()


@contextmanager
def _records(path: str | Path) -> Iterator[Any]:
    """A shard as a tf.data.Dataset of serialized tf.Examples. Damage is a DataError."""
    import tensorflow as tf

    try:
        with reading(path) as name:
            yield tf.data.TFRecordDataset(name, compression_type="GZIP")
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"{path} is not whole: {error.message.splitlines()[0]}. "
            "Delete its artifact and run again."
        ) from None


def _first_values(sparse: Any) -> list[str]:
    """The first value of each row of a SparseTensor, as text; "" for a row without one."""
    texts = [""] * int(sparse.dense_shape[0])
    entries = zip(sparse.indices.numpy().tolist(), sparse.values.numpy().tolist(), strict=True)

    for (row, column), value in entries:
        if column == 0:
            texts[row] = _text(value)
    return texts


def _text(value: bytes | float) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, float) else str(value)
