"""The features of texts, and a wide part over them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqline.data import ngrams
from seqline.data.ngrams import Rows, Table
from seqline.model.wide import Wide, log_softmax, matrix, pooled
from tests.support.ngrams import LABELS, WORDS, features_of, rows_of, table_of

VOCABULARY = ["a", "good", "film", "bad", "banana"]
SIZES = [(2,), (2, 3, 4)]


def content(orders: tuple[int, ...]) -> tuple[Table, Rows]:
    bounded = len(orders) > 1
    table = table_of(WORDS, VOCABULARY, orders, bounded, with_characters=not bounded)
    return table, rows_of(WORDS, LABELS, VOCABULARY, table)


@pytest.mark.parametrize("orders", SIZES)
def test_features_follow_the_formula(orders: tuple[int, ...]) -> None:
    table, rows = content(orders)
    assert table.num_features >= 10
    got = matrix(rows, table.idf(), len(table.tokens), len(table.sequences)).toarray()

    wanted = np.zeros_like(got)
    for number, text in enumerate(WORDS):
        for feature, value in features_of(text, VOCABULARY, table).items():
            wanted[number, feature] = value
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert not got[4].any()  # An empty text.
    assert wanted[3, 3] > wanted[3, 0] > 0


def wide_of(table: Table, num_scores: int) -> Wide:
    random = np.random.default_rng(0)
    sizes = [len(table.tokens), len(table.sequences), len(table.characters)]
    return Wide(
        sizes=np.array(sizes),
        orders=table.orders,
        bounded=table.bounded,
        codes=ngrams.token_codes([token.encode() for token in VOCABULARY]),
        features=np.arange(table.num_features),
        sequence_keys=table.sequence_keys,
        character_keys=table.character_keys,
        idf=table.idf(),
        weights=random.normal(size=table.num_features * num_scores).astype(np.float32),
        prior=random.normal(size=num_scores).astype(np.float32),
        pool=np.array([1.0, 0.5]),
    )


@pytest.mark.parametrize("num_scores", [1, 3])
def test_log_probabilities(num_scores: int, tmp_path: Path) -> None:
    table, rows = content((2,))
    wide = wide_of(table, num_scores)
    wide.write(tmp_path / "wide.arrow")
    got = Wide.read(tmp_path / "wide.arrow").log_probabilities(rows)
    for number, text in enumerate(WORDS):
        scores = wide.prior.astype(np.float64)
        for feature, value in features_of(text, VOCABULARY, table).items():
            scores = scores + value * wide.matrix[feature]
        scores = np.array([0.0, scores[0]]) if num_scores == 1 else scores
        np.testing.assert_allclose(got[number], scores - np.log(np.exp(scores).sum()), atol=1e-6)


def test_a_feature_that_is_left_out_does_not_count_for_the_length_either() -> None:
    table, rows = content((2,))
    wide = wide_of(table, 3)
    kept = np.array([0, 1, 3])
    few = replace(
        wide,
        features=kept,
        sequence_keys=wide.sequence_keys[:0],
        character_keys=wide.character_keys[:0],
        idf=wide.idf[kept],
        weights=wide.matrix[kept].ravel(),
    )
    idf = table.idf()
    scores = wide.prior.astype(np.float64)
    length = (2 * idf[1] ** 2 + idf[0] ** 2) ** 0.5  # a good good film .
    scores = scores + idf[0] / length * wide.matrix[0]
    scores = scores + 2**0.5 * idf[1] / length * wide.matrix[1]
    wanted = log_softmax(scores[None])[0]
    np.testing.assert_allclose(few.log_probabilities(rows)[0], wanted, atol=1e-6)


def test_pooled_by_hand() -> None:
    first, second = np.log([[0.2, 0.8]]), np.log([[0.6, 0.4]])
    weights = np.array([0.2**2 * 0.6, 0.8**2 * 0.4])
    got = pooled(first, second, np.array([2.0, 1.0]))
    np.testing.assert_allclose(np.exp(got)[0], weights / weights.sum())
