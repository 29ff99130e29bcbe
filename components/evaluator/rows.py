"""Reads Examples in blocks of rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqline.data import features
from seqline.data.examples import MANIFEST, raw_features, read_manifest
from seqline.errors import DataError, UserError
from seqline.model.served import arguments
from seqline.storage.staging import reading

# Rows that a model is asked about at once.
BATCH_SIZE = 256
# Rows in memory: within a block, batches are made of rows of about one length, which spares
# padding.
BLOCK_SIZE = 16 * BATCH_SIZE
# Rows of a shard in which the kind of a feature is looked for.
NUM_PEEKED = 1000
DTYPES = {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}


@dataclass(frozen=True)
class Block:
    """Rows of a shard, in order. content.

    String [rows] for text, otherwise ragged [rows, any]. labels: bytes, one a row.

    raw: the first value of other features, as text, one a row.
    """

    content: Any
    labels: np.ndarray
    raw: Mapping[str, list[str]]


def content_of(examples: Path) -> tuple[Any, int | None]:
    """(what a row holds: text, tokens or sequence; the numbers of a sequence's time step)."""
    if not (examples / MANIFEST).is_file():
        return features.TEXT, None
    manifest = read_manifest(examples)
    return manifest.content, manifest.dim


def rows(examples: Path, split: str) -> Iterator[tuple[dict[str, Any], tf.Tensor]]:
    """The rows of a split in order, in batches.

    Yields:
        (the arguments of `serving_default`, label [batch]).
    """
    content, dim = content_of(examples)
    for path in features.shards(examples, split):
        for block in blocks(str(path), content, {}, BATCH_SIZE):
            yield arguments(content, dim, block.content), tf.constant(block.labels)


def blocks(
    path: str, content: Any, kinds: Mapping[str, str], size: int = BLOCK_SIZE
) -> Iterator[Block]:
    """The rows of a shard. kinds.

    Other features that are wanted -> their kind in a tf.Example, see `kinds_of`.

    Raises DataError for a file that is cut off or not a TFRecord.
    """
    spec = {
        **raw_features(content),
        **{name: tf.io.VarLenFeature(DTYPES[kind]) for name, kind in kinds.items()},
    }
    try:
        with reading(path) as file:
            for serialized in (
                tf.data.TFRecordDataset(file, compression_type="GZIP").batch(size).prefetch(1)
            ):
                row = tf.io.parse_example(serialized, spec)
                held = (
                    row[content]
                    if content == features.TEXT
                    else tf.RaggedTensor.from_sparse(row[content])
                )
                yield Block(
                    held, row[features.LABEL].numpy(), {name: _first(row[name]) for name in kinds}
                )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"{path} is not whole: {error.message.splitlines()[0]}. Delete its artifact and run"
            " again."
        ) from None


def _first(sparse: tf.SparseTensor) -> list[str]:
    """The first value of each row as text; "" for a row without one."""
    found = [""] * int(sparse.dense_shape[0])
    for (row, place), value in zip(
        sparse.indices.numpy().tolist(), sparse.values.numpy().tolist(), strict=True
    ):
        if place == 0:
            found[row] = (
                value.decode(errors="replace")
                if isinstance(value, bytes)
                else f"{value:g}"
                if isinstance(value, float)
                else str(value)
            )
    return found


def kinds_of(names: Sequence[str], shards: Sequence[Path]) -> dict[str, str]:
    """The kinds (of tf.train.Feature) of features that the Examples hold.

    Raises UserError for one that is in none of the first rows.
    """
    found: dict[str, str] = {}
    if not names:
        return found
    held: set[str] = set()
    with reading(shards[0]) as file:
        for serialized in tf.data.TFRecordDataset(file, compression_type="GZIP").take(NUM_PEEKED):
            row = tf.train.Example.FromString(serialized.numpy()).features.feature
            held |= set(row)
            found |= {
                name: kind
                for name in names
                if name in row and (kind := row[name].WhichOneof("kind")) is not None
            }
            if len(found) == len(names):
                return found
    missing = [name for name in names if name not in found]
    raise UserError(
        f"evaluator.slices names {missing[0]!r}; the Examples hold {', '.join(sorted(held))}, "
        "and what can be derived is label, length, language, span."
    )
