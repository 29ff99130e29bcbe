"""Chooses the features of a wide part, where a bound on its weights leaves room for some only."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from components.trainer.wide_batches import Batch, Batches, Texts, paths_of
from seqline.data import features
from seqline.data.ngrams import Rows, Table

# Keeps a quotient finite.
TINY = 1e-30
# Features times classes whose weights are handled at once.
CACHED = 2**17


def most_telling(source: Path, table: Table, class_weights: np.ndarray, most: int) -> np.ndarray:
    """The places of the `most` features that tell most about the classes, ascending.

    What a feature tells is the sum, over the classes, of the texts that hold it times the logarithm
    of how many they are for one that was to be expected, above what chance gives. A pass over the
    texts counts twice `most` features, in as many bytes as the fit will take; those that could tell
    most go first, and when no other can be among the best, it is done.
    """
    classes, heaviest = np.zeros(len(class_weights)), 0.0
    for path in paths_of(source, features.TRAIN):
        rows = Rows.read(path)
        weights = class_weights[rows.labels] * (rows.weights if len(rows.weights) else 1)
        classes += np.bincount(rows.labels, weights, len(classes))
        heaviest = max(heaviest, weights.max(initial=0))
    shares = (classes / max(classes.sum(), TINY)).astype(np.float32)

    # It tells most if all of its texts are of the rarest class.
    weight = heaviest * np.concatenate([table.tokens, table.sequences, table.characters])
    limits = weight * np.log((weight + 1) / (weight * float(shares.min()) + 1))
    order = np.argsort(-limits, kind="stable")

    scores = np.full(table.num_features, -np.inf)
    for first in range(0, len(order), 2 * most):
        if first and limits[order[first]] < np.partition(scores, -most)[-most]:
            break
        block = np.sort(order[first : first + 2 * most])
        scores[block] = _told(source, table, class_weights, shares, block)
    return np.sort(np.argsort(-scores, kind="stable")[:most])


def _told(
    source: Path, table: Table, class_weights: np.ndarray, shares: np.ndarray, block: np.ndarray
) -> np.ndarray:
    """What some features tell, see `most_telling`; float64 [features]."""
    texts = Texts(source, (features.TRAIN,), table, block)
    by_class = np.zeros((len(block), len(shares)), np.float32)
    for batch in Batches(texts, class_weights, seed=0, held_bytes=0).all():
        add_by_class(batch, by_class)

    told = np.zeros(len(block))
    size = max(1, CACHED // len(shares))
    for start in range(0, len(block), size):
        observed = by_class[start : start + size]
        expected = observed.sum(axis=1, keepdims=True) * shares
        logs = observed * np.log((observed + 1) / (expected + 1))
        logs -= 0.5 * expected / (expected + 1)  # what chance tells
        told[start : start + size] = logs.sum(axis=1)
    return told


def add_by_class(batch: Batch, by_class: np.ndarray) -> None:
    """Adds the weights of a batch's texts with each feature, by class, [F, num_classes]."""
    num_rows, num_classes = len(batch), by_class.shape[1]
    held = batch.weights[batch.rows]
    texts = sp.csr_matrix((held, batch.rows, batch.starts), (len(batch.features), num_rows))
    ones = np.ones(num_rows, np.float32)
    classes = sp.csr_matrix((ones, (np.arange(num_rows), batch.labels)), (num_rows, num_classes))
    sums = (texts @ classes).tocoo()
    by_class[batch.features[sums.row], sums.col] += sums.data
