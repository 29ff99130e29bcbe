"""Counts what training has to know of the whole train split before its first step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.trainer.distributed.share import Share
from components.trainer.input import blocks
from seqline.data import features
from seqline.model.layers import bigram_buckets

# Rows that are counted at once.
BATCH_ROWS = 4096


@dataclass(frozen=True)
class Counts:
    """Counts of the train split.

    Attributes:
        classes: rows of each class, int64 [num_classes].
        bigrams: occurrences in each bucket, int64 [num_buckets].
    """

    classes: np.ndarray
    bigrams: np.ndarray

    def class_weights(self) -> np.ndarray:
        """float32 [num_classes], inversely proportional to the rows of a class.

        Their average over the rows is 1 (scikit-learn's "balanced"); 0 for a class without rows.
        """
        present = self.classes > 0
        weights = self.classes.sum() / (present.sum() * np.maximum(self.classes, 1))
        return (weights * present).astype(np.float32)

    def bigram_rows(self, min_count: int) -> np.ndarray:
        """Numbers the buckets with min_count occurrences, from 1; int32 [num_buckets], 0 else."""
        kept = self.bigrams >= min_count
        return (np.cumsum(kept) * kept).astype(np.int32)


def count(
    source: Path,
    num_classes: int,
    num_buckets: int,
    num_tokens: int,
    dim: int,
    share: Share | None = None,
) -> Counts:
    """Counts the train split of Features in one pass.

    Args:
        num_buckets: 0 for no bigrams.
        num_tokens: V of the vocabulary.
        dim: numbers of a time step; 0 for ids.
        share: of this worker, where several read; the counts are those of all of them.
    """
    classes, bigrams = np.zeros(num_classes, np.int64), np.zeros(num_buckets, np.int64)

    def add(content: tf.RaggedTensor, label: tf.Tensor) -> None:
        classes[:] += np.bincount(label.numpy(), minlength=num_classes)
        for first in range(0, len(label) if num_buckets else 0, BATCH_ROWS):
            ids = content[first : first + BATCH_ROWS].to_tensor(features.PAD_ID).numpy()
            buckets, known = bigram_buckets(ids, num_buckets, features.oov_id(num_tokens))
            bigrams[:] += np.bincount(buckets[known], minlength=num_buckets)

    if share is None:
        for content, label in blocks(source, features.TRAIN, BATCH_ROWS, dim):
            add(content, label)
        return Counts(classes, bigrams)

    share.index(features.TRAIN, add)
    return Counts(share.team.summed(classes), share.team.summed(bigrams))


@dataclass(frozen=True)
class Hashed:
    """The bigrams of one vocabulary.

    Attributes:
        rows: see `Counts.bigram_rows`.
        oov: the id of a token outside the vocabulary.
    """

    rows: np.ndarray
    oov: int

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """The row of every pair of neighbours, from 1; 0 if it has none.

        ids int64 [batch, time] -> int64 [batch, time - 1].
        """
        buckets, known = bigram_buckets(ids, len(self.rows), self.oov)
        return np.where(known, self.rows[buckets], 0).astype(np.int64)


def bigrams_by_row(
    source: Path, now: Hashed, before: Hashed, ids_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts all bigrams of the train split that have a row now.

    Args:
        ids_before: the earlier id of each id now, int64 [V + 2]; PAD for a token that is new.

    Returns:
        (row now, row before or 0, occurrences), int64 [pairs of rows], sorted by the rows.
    """
    base = int(before.rows.max(initial=0)) + 1
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)  # A pair is now * base + before.
    for content, _ in blocks(source, features.TRAIN, BATCH_ROWS, 0):
        all_pairs, all_counts = [pairs], [counts]
        for first in range(0, content.shape[0], BATCH_ROWS):
            ids = content[first : first + BATCH_ROWS].to_tensor(features.PAD_ID).numpy()
            rows = now.rows_of(ids)
            new_pairs = (rows * base + before.rows_of(ids_before[ids]))[rows > 0]
            distinct, occurrences = np.unique(new_pairs, return_counts=True)
            all_pairs.append(distinct)
            all_counts.append(occurrences)

        pairs, position = np.unique(np.concatenate(all_pairs), return_inverse=True)
        counts = np.bincount(position, np.concatenate(all_counts), len(pairs)).astype(np.int64)

    return pairs // base, pairs % base, counts
