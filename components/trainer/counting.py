"""What training has to know of the train split as a whole before the first step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.trainer.input import blocks
from seqline.data import features
from seqline.model.layers import bigram_buckets

# Rows that are counted at once.
BATCH_ROWS = 4096


@dataclass(frozen=True)
class Counts:
    """classes.

    Rows of each class, int64 [num_classes]. bigrams: occurrences in each bucket, int64
    [num_buckets].
    """

    classes: np.ndarray
    bigrams: np.ndarray

    def class_weights(self) -> np.ndarray:
        """Inversely proportional to the rows of a class, 1 on the average of the rows
        (scikit-learn's "balanced"); 0 for none.
        """
        present = self.classes > 0
        weights = self.classes.sum() / (present.sum() * np.maximum(self.classes, 1))
        return (weights * present).astype(np.float32)

    def bigram_rows(self, min_count: int) -> np.ndarray:
        """int32 [num_buckets].

        The number of each bucket with min_count occurrences, from 1; 0 for the others.
        """
        kept = self.bigrams >= min_count
        return (np.cumsum(kept) * kept).astype(np.int32)


def count(source: Path, num_classes: int, num_buckets: int, num_tokens: int, dim: int) -> Counts:
    """Counts the train split of Features in one pass. num_buckets: 0 for no bigrams."""
    classes, bigrams = np.zeros(num_classes, np.int64), np.zeros(num_buckets, np.int64)
    for content, label in blocks(source, features.TRAIN, BATCH_ROWS, dim):
        classes += np.bincount(label.numpy(), minlength=num_classes)
        for first in range(0, len(label) if num_buckets else 0, BATCH_ROWS):
            ids = content[first : first + BATCH_ROWS].to_tensor(features.PAD_ID).numpy()
            buckets, known = bigram_buckets(ids, num_buckets, features.oov_id(num_tokens))
            bigrams += np.bincount(buckets[known], minlength=num_buckets)
    return Counts(classes, bigrams)


@dataclass(frozen=True)
class Hashed:
    """Bigrams of one vocabulary. rows.

    See `Counts.bigram_rows`; oov: the id of a token outside the vocabulary.
    """

    rows: np.ndarray
    oov: int

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The number of the row of every pair of neighbours, from 1.

        0 where it has none. ids, int64 [batch, time] -> [batch, time - 1].
        """
        buckets, known = bigram_buckets(ids, len(self.rows), self.oov)
        return np.where(known, self.rows[buckets], 0).astype(np.int64)


def bigrams_by_row(
    source: Path, now: Hashed, before: Hashed, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row now, row before, occurrences), int64, sorted, of all bigrams of the train split that
    have a row now; 0 for none before.

    ids: the id before of each id now; PAD for a token that is new.
    """
    base = int(before.rows.max(initial=0)) + 1
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for content, _ in blocks(source, features.TRAIN, BATCH_ROWS, 0):
        found = [pairs]
        weights = [counts]
        for first in range(0, content.shape[0], BATCH_ROWS):
            part = content[first : first + BATCH_ROWS].to_tensor(features.PAD_ID).numpy()
            rows = now.of(part)
            some = np.unique((rows * base + before.of(ids[part]))[rows > 0], return_counts=True)
            found.append(some[0])
            weights.append(some[1])
        pairs, position = np.unique(np.concatenate(found), return_inverse=True)
        counts = np.bincount(position, np.concatenate(weights), len(pairs)).astype(np.int64)
    return pairs // base, pairs % base, counts
