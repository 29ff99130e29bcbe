"""Examples on disk: what example_gen writes and the later stages read.

<root>/
    Split-<split>/data_tfrecord-<span>-<source shard>-<number>.gz   tf.Examples
    examples.json                                                   see `Manifest`

A tf.Example holds the content, `label` and, where rows have weights, `weight`.

A shard is bounded (SHARD_BYTES), so that one Beam element can be a whole shard: its rows are read,
counted and written together, in memory that does not follow the size of the data.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from seqline.data import features
from seqline.errors import DataError
from seqline.storage.staging import reading, writing

MANIFEST = "examples.json"
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


@dataclass(frozen=True)
class Span:
    """One period of arriving data, as it was ingested.

    Attributes:
        number: The span.
        key: The digest of all that its shards were derived from: equal keys mean equal shards.
        version: The version of the span's files, where the source has versions.
        num_read: All rows that were read.
        num_rows: Split -> label -> rows.
        num_bad: Problem -> rows that could not be used.
        num_left_out: Split -> label -> rows of rare classes that are in no split.
        key_as_read: The key before anything was decided for the window.
        key_as_split: The key before anything was decided about rare classes, where a column of
            splits lacks some; "" elsewhere.
        num_files: Files with rows that were read.
        unused_files: {reason, count, names of the first ones} of the files that were not, for each
            reason.
        num_normalized: Rows whose label was not written in its normal form.
        written: Label as it was written, where that is not its normal form -> rows, for the first
            such forms.
        num_swallowed: Lines in quoted fields of CSV files that look like rows.
        swallowing: The files and lines of the first rows with such lines.
    """

    number: int
    key: str
    version: int | None = None
    num_read: int = 0
    num_rows: dict[str, dict[str, int]] = field(default_factory=dict)
    num_bad: dict[str, int] = field(default_factory=dict)
    num_left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    key_as_read: str = ""
    key_as_split: str = ""
    num_files: int = 0
    unused_files: list[dict[str, Any]] = field(default_factory=list)
    num_normalized: int = 0
    written: dict[str, int] = field(default_factory=dict)
    num_swallowed: int = 0
    swallowing: list[str] = field(default_factory=list)


# What was done with the rows of a rare class, as examples.json says it.
LEFT_OUT, GATHERED, KEPT = "left out", "gathered", "kept"


@dataclass(frozen=True)
class RareClass:
    """A class with fewer rows in train than min_class_rows, or a class with a single row.

    Attributes:
        label: The class.
        num_rows: Split -> rows, as they came.
        place: The file and line of the first one.
        done: LEFT_OUT or GATHERED; KEPT for a class with a single row.
        is_unseen: Whether train has no row of it and can have none, because the source has splits
            of its own.
    """

    label: str
    num_rows: dict[str, int]
    place: str
    done: str
    is_unseen: bool = False

    @property
    def counted(self) -> str:
        """`2 rows in eval and 1 row in test, the first at b.csv:3`."""
        counts = " and ".join(
            f"{count:,} row{'' if count == 1 else 's'} in {split}"
            for split, count in self.num_rows.items()
        )

        is_single = sum(self.num_rows.values()) == 1
        return f"{counts}, {'at' if is_single else 'the first at'} {self.place}"


@dataclass(frozen=True)
class Manifest:
    """examples.json.

    Attributes:
        content: What a row holds.
        dim: Numbers of one time step of a sequence; None for text and tokens.
        spans: The spans of the window, in ascending order.
        rare_classes: The rare classes of the window, in ascending order of their labels.
        is_weighted: Whether each row has a weight.
    """

    content: Content
    dim: int | None
    spans: tuple[Span, ...]
    rare_classes: tuple[RareClass, ...] = ()
    is_weighted: bool = False

    @property
    def splits(self) -> list[str]:
        """The splits, train first."""
        return [
            split for split in features.SPLITS if any(split in span.num_rows for span in self.spans)
        ]


def write_manifest(manifest: Manifest, root: Path) -> None:
    """Writes examples.json."""
    content = asdict(manifest)
    if not manifest.is_weighted:
        del content["is_weighted"]
    for span in content["spans"]:
        if not span["key_as_split"]:
            del span["key_as_split"]
    (root / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> Manifest:
    """Reads examples.json.

    Raises:
        DataError: It is missing.
    """
    try:
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{root} has no {MANIFEST}: these are not Examples of example_gen."
        ) from None

    return Manifest(
        content=content["content"],
        dim=content["dim"],
        spans=tuple(Span(**span) for span in content["spans"]),
        rare_classes=tuple(RareClass(**record) for record in content.get("rare_classes", [])),
        is_weighted=content.get("is_weighted", False),
    )


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


def content_of(root: Path) -> tuple[Content, int | None]:
    """The content of Examples, and the numbers of a time step where it is a sequence.

    Examples without a manifest, which another tool wrote, hold text.
    """
    if not (root / MANIFEST).is_file():
        return "text", None
    manifest = read_manifest(root)
    return manifest.content, manifest.dim


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
