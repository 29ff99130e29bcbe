"""What training has to know of the train split as a whole before the first step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components import features
from components.layers import bigram_buckets
from components.trainer.input import blocks

# Rows that are counted at once.
BATCH_ROWS = 4096


@dataclass(frozen=True)
class Counts:
    """classes: rows of each class, int64 [num_classes]. bigrams: occurrences in each bucket, int64 [num_buckets]."""

    classes: np.ndarray
    bigrams: np.ndarray

    def class_weights(self) -> np.ndarray:
        """Inversely proportional to the rows of a class, 1 on the average of the rows (scikit-learn's "balanced"); 0 for none."""
        present = self.classes > 0
        weights = self.classes.sum() / (present.sum() * np.maximum(self.classes, 1))
        return (weights * present).astype(np.float32)

    def bigram_rows(self, min_count: int) -> np.ndarray:
        """int32 [num_buckets]: the number of each bucket with min_count occurrences, from 1; 0 for the others."""
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
