"""Reads Examples in blocks of rows."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def label_counts(examples: Path, split: str) -> Counter[str]:
    """The number of rows of a split by label."""
    if (examples / MANIFEST).is_file():
        counts: Counter[str] = Counter()
        for span in read_manifest(examples).spans:
            counts.update(span.num_rows.get(split, {}))
        return +counts
    return Counter(
        label.decode() for _, labels in rows(examples, split) for label in labels.numpy()
    )
