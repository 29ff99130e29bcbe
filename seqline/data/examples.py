"""Examples on disk: what example_gen writes and the stages behind it read.

<root>/Split-<split>/data_tfrecord-<span>-<source shard>-<part>.gz   tf.Examples: the content and
                                                                     `label`
<root>/examples.json                                                 what a row holds, the spans,
                                                                     what was counted

A shard is bounded (SHARD_BYTES), so that one Beam element can be a whole shard: its rows are read,
counted and written together, in memory that does not follow the size of the data.
"""

import json
import re
from collections.abc import Sequence
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

Content = Literal["text", "tokens", "sequence"]


@dataclass(frozen=True)
class ExampleShard:
    """The rows of one shard of a split, in order.

    contents: bytes (text, UTF-8), lists of bytes (tokens), or float32 arrays [time, dim]
    (sequence), one a row. labels: bytes (UTF-8), one a row. name: the shard's file name; with span
    and split it is unique.
    """

    span: int
    split: str
    name: str
    contents: Sequence[Any]
    labels: Sequence[bytes]


@dataclass(frozen=True)
class Span:
    """One period of arriving data, as it was ingested.

    key: the digest of all that its shards were derived from; equal keys mean equal shards.
    num_rows: split -> label -> rows. num_bad: rows that could not be used, by the problem that they
    have. num_left_out: split -> label -> rows of rare classes that are in no split. key_as_read:
    the key before anything was decided about rare classes.
    """

    number: int
    key: str
    version: int | None = None
    num_read: int = 0
    num_rows: dict[str, dict[str, int]] = field(default_factory=dict)
    num_bad: dict[str, int] = field(default_factory=dict)
    num_left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    key_as_read: str = ""


# What was done with the rows of a rare class.
LEFT_OUT, GATHERED, KEPT = "left out", "gathered", "kept"


@dataclass(frozen=True)
class RareClass:
    """A class with fewer rows in train than example_gen wants (left out or gathered), or with a
    single row (kept).

    num_rows: split -> rows, as they came. place: where the first one is. is_unseen: train has no
    row of it and, as the source has splits of its own, can have none.
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
        return (
            f"{counts}, {'at' if sum(self.num_rows.values()) == 1 else 'the first at'} {self.place}"
        )


@dataclass(frozen=True)
class Manifest:
    """examples.json. dim.

    Numbers of one time step of a sequence, otherwise None. rare_classes: of the window.
    """

    content: Content
    dim: int | None
    spans: tuple[Span, ...]
    rare_classes: tuple[RareClass, ...] = ()

    @property
    def splits(self) -> list[str]:
        """The splits, train first."""
        return [
            split for split in features.SPLITS if any(split in span.num_rows for span in self.spans)
        ]


def write_manifest(manifest: Manifest, root: Path) -> None:
    """Writes examples.json."""
    (root / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> Manifest:
    """Reads examples.json. Raises DataError where it is missing."""
    try:
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{root} has no {MANIFEST}: these are not Examples of example_gen."
        ) from None
    rare_classes = tuple(RareClass(**record) for record in content.get("rare_classes", []))
    return Manifest(
        content["content"],
        content["dim"],
        tuple(Span(**span) for span in content["spans"]),
        rare_classes,
    )


def shard_name(span: int, source: int, part: int) -> str:
    """The file name of a shard: the same each time that the same part of a source is read."""
    return f"data_tfrecord-{span:05d}-{source:05d}-{part:05d}.gz"


def span_of(path: str | Path) -> int:
    """The span of a shard, from its name; 0 for names that are not ours."""
    match = re.fullmatch(r"data_tfrecord-(\d+)-\d+-\d+\.gz", Path(str(path)).name)
    return int(match[1]) if match else 0


def raw_features(content: Content) -> dict[str, Any]:
    """The feature spec of Examples, for tf.io.parse_example.

    Text and label [batch], tokens and sequence sparse [batch, any].
    """
    import tensorflow as tf

    kinds: dict[str, Any] = {
        features.TEXT: tf.io.FixedLenFeature([], tf.string),
        features.TOKENS: tf.io.VarLenFeature(tf.string),
        features.SEQUENCE: tf.io.VarLenFeature(tf.float32),
    }
    return {content: kinds[content], features.LABEL: tf.io.FixedLenFeature([], tf.string)}


def write_records(path: str | Path, records: Any) -> None:
    """Writes serialized tf.Examples as a gzipped TFRecord file that appears whole or not at all.

    A second try rewrites it.
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
    # In ascending order of their names: "label" comes before all kinds of content.
    write_records(
        path,
        tf_example_writer.examples(
            [tf_example_writer.few_bytes_features(features.LABEL, shard.labels), column]
        ),
    )


def read(path: str | Path, content: Content, dim: int | None = None) -> ExampleShard:
    """Reads a shard of Examples. The split is the name of its folder.

    Raises DataError for a file that is cut off or not a TFRecord.
    """
    import numpy as np
    import tensorflow as tf

    contents: list[Any] = []
    labels: list[bytes] = []
    spec = raw_features(content)
    try:
        with reading(path) as name:
            for batch in (
                tf.data.TFRecordDataset(name, compression_type="GZIP").batch(4096).prefetch(1)
            ):
                rows = tf.io.parse_example(batch, spec)
                labels += rows[features.LABEL].numpy().tolist()
                if content == features.TEXT:
                    contents += rows[content].numpy().tolist()
                    continue
                ragged = tf.RaggedTensor.from_sparse(rows[content])
                values, ends = ragged.values.numpy(), ragged.row_splits.numpy().tolist()
                pieces = [values[start:end] for start, end in pairwise(ends)]
                contents += [
                    (
                        piece.tolist()
                        if content == features.TOKENS
                        else np.reshape(piece, (-1, dim or 1))
                    )
                    for piece in pieces
                ]
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"{path} is not whole: {error.message.splitlines()[0]}. Delete its artifact and run"
            " again."
        ) from None
    return ExampleShard(
        span_of(path),
        Path(path).parent.name.removeprefix("Split-"),
        Path(path).name,
        contents,
        labels,
    )
