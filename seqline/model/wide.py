"""The wide part: a linear softmax model over the n-grams of the whole text, and the pooled whole.

It is fitted by itself, and its log-probabilities are pooled with the recurrent part's (Cheng et
al., "Wide & Deep Learning for Recommender Systems", 2016):

    log p = a log p_wide + b log p_recurrent - log sum of both over the classes

A Model holds it as wide.arrow.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from seqline.data import ngrams
from seqline.data.features import NUM_RESERVED_IDS, oov_id
from seqline.data.ngrams import CHARACTERS, Rows

WIDE = "wide.arrow"


@dataclass(frozen=True)
class Wide:
    """A fitted wide part. It has F of the features of its `ngrams.Table`, in the table's order.

    Attributes:
        sizes: V, P and G of the table, int64 [3].
        orders, bounded: As the table has them.
        codes: The codes of the tokens of the vocabulary, uint64 [V].
        features: The places of the features in the table, ascending, int64 [F]. A feature that is
            left out counts for nothing, not for the length N of a text either.
        sequence_keys: The keys of those that are sequences, ascending, uint64.
        character_keys: The keys of those that are character n-grams, ascending, uint64.
        idf: float64 [F].
        weights: float32 [F * K], the K numbers of a feature one after the other. K is the number of
            classes; 1 for two classes, for the log-odds of the second against the first.
        prior: The scores of a text without features, float32 [K].
        pool: a and b of log p = a log p_wide + b log p_recurrent, float64 [2]; b is 0 without a
            recurrent part.
    """

    sizes: np.ndarray
    orders: np.ndarray
    bounded: np.ndarray
    codes: np.ndarray
    features: np.ndarray
    sequence_keys: np.ndarray
    character_keys: np.ndarray
    idf: np.ndarray
    weights: np.ndarray
    prior: np.ndarray
    pool: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """The weights, [F, K]."""
        return self.weights.reshape(len(self.features), len(self.prior))

    def log_probabilities(self, rows: Rows) -> np.ndarray:
        """log p_wide of texts, whose places are those of the table; float64 [n, num_classes]."""
        num_tokens, num_sequences, _ = self.sizes.tolist()
        idf = np.zeros(int(self.sizes.sum()))
        idf[self.features] = self.idf
        content = matrix(rows, idf, num_tokens, num_sequences)[:, self.features]
        return log_softmax(content @ self.matrix.astype(np.float64) + self.prior)

    def write(self, path: Path) -> None:
        ngrams.write_arrays(self, path)

    @classmethod
    def read(cls, path: Path) -> "Wide":
        """Raises DataError if the file is damaged."""
        return cls(**ngrams.read_arrays(path, [field.name for field in fields(cls)]))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities of scores [n, K], float64 [n, num_classes]; K may be 1, see `Wide`."""
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    return _normalized(scores)


def pooled(wide: np.ndarray, recurrent: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """log p of the whole of log p_wide and log p_recurrent, all [n, num_classes]."""
    return _normalized(pool[0] * wide + pool[1] * recurrent)


def _normalized(scores: np.ndarray) -> np.ndarray:
    scores = scores.astype(np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def matrix(rows: Rows, idf: np.ndarray, num_tokens: int, num_sequences: int) -> sp.csr_matrix:
    """The features of texts.

    Args:
        idf: Of all features, in the order of a `Table`, [num_features]. 0 for a feature that does
            not count.
        num_tokens: V of the vocabulary.
        num_sequences: P of the table.

    Returns:
        float32 [n, num_features], sorted indices.
    """
    num_words, num_characters = len(rows.ids), len(idf) - num_tokens - num_sequences
    token_idf, sequence_idf, character_idf = np.split(idf, [num_tokens, num_tokens + num_sequences])

    # [W, V]: one entry for each known word.
    known = np.flatnonzero(rows.ids < oov_id(num_tokens))
    tokens = rows.ids[known].astype(np.int64) - (NUM_RESERVED_IDS - 1)
    of_tokens = sp.csr_matrix((token_idf[tokens], (known, tokens)), (num_words, num_tokens))

    # [W, G].
    of_characters = _csr(
        rows.character_counts * character_idf[rows.characters],
        rows.characters,
        rows.character_lengths,
        num_characters,
    )
    q = np.asarray(of_tokens.multiply(of_tokens).sum(axis=1)).ravel()
    q += CHARACTERS**2 * np.asarray(of_characters.multiply(of_characters).sum(axis=1)).ravel()

    words = _csr(np.sqrt(rows.word_counts), rows.words, rows.word_lengths, num_words)
    sequences = _csr(
        np.sqrt(rows.sequence_counts) * sequence_idf[rows.sequences],
        rows.sequences,
        rows.sequence_lengths,
        num_sequences,
    )
    squared = words.multiply(words) @ q + np.asarray(sequences.multiply(sequences).sum(1)).ravel()
    scale = sp.diags_array(1 / np.sqrt(np.maximum(squared, 1e-12)))
    blocks = [words @ of_tokens, sequences, CHARACTERS * (words @ of_characters)]
    result = sp.csr_matrix(scale @ sp.hstack(blocks, format="csr")).astype(np.float32)
    result.sort_indices()
    return result


def _csr(
    values: np.ndarray, columns: np.ndarray, lengths: np.ndarray, num_columns: int
) -> sp.csr_matrix:
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    shape = (len(lengths), num_columns)
    return sp.csr_matrix((np.asarray(values, np.float64), columns, starts), shape)
