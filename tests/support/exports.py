"""Rows of Examples and Features, as an export is compared with them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from seqline.data.examples import raw_features
from seqline.data.features import shards

LABELS = [b"animals", b"fruit", b"metals"]


def example(text: bytes, label: bytes | None = None) -> bytes:
    made = tf.train.Example()
    made.features.feature["text"].bytes_list.value.append(text)
    if label is not None:
        made.features.feature["label"].bytes_list.value.append(label)
    return made.SerializeToString(deterministic=True)


def read_rows(examples: Path, split: str) -> list[tuple[bytes, bytes, bytes]]:
    """(serialized, text, label) of every row, in order."""
    rows = []
    for path in shards(examples, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            row = tf.io.parse_single_example(serialized, raw_features("text"))
            rows.append((serialized.numpy(), row["text"].numpy(), row["label"].numpy()))
    return rows


def read_ids(features: Path, split: str) -> list[tuple[list[int], int, int]]:
    """(ids, length, label) of every row, in order."""
    rows = []
    for path in shards(features, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            ids, length, label = (
                list(feature[name].int64_list.value) for name in ("ids", "length", "label")
            )
            rows.append((ids, length[0], label[0]))
    return rows


def padded(rows: list[tuple[list[int], int, int]], time: int) -> np.ndarray:
    return np.array([ids + [0] * (time - len(ids)) for ids, _, _ in rows], np.int64)


def read_serialized(root: Path, split: str) -> list[bytes]:
    paths = [str(path) for path in shards(root, split)]
    return [
        serialized.numpy() for serialized in tf.data.TFRecordDataset(paths, compression_type="GZIP")
    ]
