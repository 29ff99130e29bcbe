"""Reads Examples in blocks of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqline.data import features
from seqline.data.examples import blocks
from seqline.data.manifest import MANIFEST, content_of, read_manifest
from seqline.model.served import arguments

# Rows that a model is asked about at once.
BATCH_SIZE = 256


def rows(examples: Path, split: str) -> Iterator[tuple[dict[str, Any], tf.Tensor]]:
    """The rows of a split in order, in batches.

    Yields:
        (the arguments of `serving_default`, label [batch]).
    """
    content, dim = content_of(examples)
    for path in features.shards(examples, split):
        for block in blocks(path, content, size=BATCH_SIZE):
            yield arguments(content, dim, block.content), tf.constant(block.labels)


def weights(examples: Path, splits: Sequence[str]) -> np.ndarray | None:
    """The weights of the rows of some splits in order, float32 [rows]; None if rows have none."""
    if not (examples / MANIFEST).is_file() or not read_manifest(examples).is_weighted:
        return None

    content, _ = content_of(examples)
    return np.concatenate(
        [
            block.weights
            for split in splits
            for path in features.shards(examples, split)
            for block in blocks(path, content, is_weighted=True)
        ]
    )
