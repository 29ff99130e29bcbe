"""Cuts the wide part to the features that matter, so that the table which is served stays small.

A feature matters by the largest of its weights, from their mean, times its idf. The table is
halved, MOST_HALVINGS times at most, as long as the eval split sees no harm: no lower accuracy, and
no loss that is more than TOLERANCE higher at the best temperature (the pool sets it). On trec6,
agnews_small and BBC News a half cost nothing, and a quarter .001 to .005 of accuracy.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from components.trainer.pool import MOST_NUMBERS
from components.trainer.wide_batches import paths_of
from seqline.data import features
from seqline.data.ngrams import Rows
from seqline.model.wide import Wide, pooled

MOST_HALVINGS = 3
TOLERANCE = 0.01


def cut(wide: Wide, source: Path) -> Wide:
    """The wide part with the features that matter.

    Args:
        source: The Features, whose eval split judges.
    """
    rows: list[Rows] = []
    for path in paths_of(source, features.EVAL):
        rows.append(Rows.read(path))
        if sum(map(len, rows)) * max(2, len(wide.prior)) >= MOST_NUMBERS:
            break
    if not any(map(len, rows)):
        return wide

    accuracy, loss = _judge(wide, rows)
    best = wide
    for halvings in range(1, MOST_HALVINGS + 1):
        smaller = of_weight(wide, len(wide.features) >> halvings)
        found = _judge(smaller, rows)
        if found[0] < accuracy or found[1] > loss * (1 + TOLERANCE):
            break
        best = smaller
    return best


def of_weight(wide: Wide, most: int) -> Wide:
    """The wide part with its `most` features of the largest weights times idf."""
    matrix = wide.matrix
    if matrix.shape[1] > 1:  # what all classes share changes no probability
        matrix = matrix - matrix.mean(axis=1, keepdims=True)
    weight = np.abs(matrix).max(axis=1) * wide.idf
    kept = np.sort(np.argsort(-weight, kind="stable")[:most])

    num_tokens, num_sequences, _ = wide.sizes.tolist()
    is_sequence = (wide.features >= num_tokens) & (wide.features < num_tokens + num_sequences)
    is_character = wide.features >= num_tokens + num_sequences
    return replace(
        wide,
        features=wide.features[kept],
        sequence_keys=wide.sequence_keys[np.isin(np.flatnonzero(is_sequence), kept)],
        character_keys=wide.character_keys[np.isin(np.flatnonzero(is_character), kept)],
        idf=wide.idf[kept],
        weights=wide.matrix[kept].ravel(),
    )


def _judge(wide: Wide, rows: Sequence[Rows]) -> tuple[float, float]:
    """(accuracy; loss at the best temperature)."""
    logs = np.concatenate([wide.log_probabilities(part) for part in rows if len(part)])
    labels = np.concatenate([part.labels for part in rows])
    nothing = np.zeros_like(logs)

    def loss(scale: float) -> float:
        scaled = pooled(logs, nothing, np.array([scale, 0.0]))
        return float(-scaled[np.arange(len(labels)), labels].mean())

    least = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 0.01})
    return float((logs.argmax(axis=1) == labels).mean()), float(least.fun)
