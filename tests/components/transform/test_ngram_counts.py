"""Counts of n-grams in memory and on disk, without a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from components.transform import analysis, ngram_counts
from components.transform.ngram_counts import Counts, NgramKinds, count
from components.transform.ngram_rows import rows_of
from seqline.data.ngrams import Rows, Table, keys, token_codes
from tests.support import ngrams as oracle

KINDS = NgramKinds((2,), bounded=False, has_characters=True)
VOCABULARY = ["a", "bad", "film", "good", "."]

Shard = tuple[list[bytes], np.ndarray, np.ndarray]


def shard_of(texts: Sequence[Sequence[str]]) -> Shard:
    """The distinct tokens, the places of all tokens, and the lengths of the texts."""
    tokens = list(dict.fromkeys(token for text in texts for token in text))
    indices = [tokens.index(token) for text in texts for token in text]
    return (
        [token.encode() for token in tokens],
        np.array(indices, np.uint16),
        np.array([len(text) for text in texts], np.int32),
    )


def table_of(counts: Counts, num_texts: int, limit: int = 1000) -> Table:
    buckets = ngram_counts.split(counts)
    vocabulary = [token.encode() for token in VOCABULARY]
    return ngram_counts.choose(buckets, vocabulary, num_texts, KINDS, limit)


def rows(shard: Shard, table: Table) -> Rows:
    known = {token.encode(): place for place, token in enumerate(VOCABULARY, start=1)}
    ids = np.array([known.get(token, len(known) + 1) for token in shard[0]], np.uint32)
    return rows_of(*shard, ids, table, np.array(oracle.LABELS), None)


def assert_same(one: Rows | Table, other: Rows | Table) -> None:
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, vars(other)[name], name)


@pytest.mark.parametrize("block_bytes", [1, 20, 1 << 20])
def test_texts_and_words_may_be_looked_at_in_blocks(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngram_counts, "BLOCK_BYTES", block_bytes)
    shard = shard_of(oracle.WORDS)
    table = table_of(count(*shard, KINDS), len(oracle.WORDS))
    assert_same(table, oracle.table_of(oracle.WORDS, VOCABULARY))
    expected = oracle.rows_of(oracle.WORDS, oracle.LABELS, VOCABULARY, table)
    assert_same(rows(shard, table), expected)


def test_blocks_have_a_most_size_but_for_a_single_longer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ngram_counts, "BLOCK_BYTES", 5)
    sizes = np.array([2, 3, 1, 9, 0, 4, 1, 1])
    assert list(ngram_counts.blocks(sizes)) == [
        slice(0, 2),
        slice(2, 3),
        slice(3, 4),
        slice(4, 7),
        slice(7, 8),
    ]


def test_tables_add_up_in_files(tmp_path: Path) -> None:
    tables = []
    for number, texts in enumerate((oracle.WORDS[:2], oracle.WORDS[2:])):
        counts = count(*shard_of(texts), KINDS)
        tables.append(tmp_path / f"{number}.arrow")
        ngram_counts.write(tables[-1], ngram_counts.split(counts))

    (tmp_path / ngram_counts.TABLE).mkdir()
    for group in range(4):  # 16 buckets each
        buckets = range(16 * group, 16 * group + 16)
        places = ([(table, bucket) for table in tables] for bucket in buckets)
        path = tmp_path / ngram_counts.TABLE / f"{group:05d}.arrow"
        analysis.write_sum(ngram_counts.TABLE, places, str(path))

    whole = list(ngram_counts.split(count(*shard_of(oracle.WORDS), KINDS)))
    summed = list(ngram_counts.buckets_of([tmp_path]))
    assert len(summed) == len(whole) == 64
    for bucket, (one, other) in enumerate(zip(summed, whole, strict=True)):
        for kind in ngram_counts.KINDS:
            for array, expected in zip(one[kind], other[kind], strict=True):
                np.testing.assert_array_equal(array, expected)
            # The bucket of a key is its first six bits.
            assert {key >> 58 for key in one[kind][0].tolist()} <= {bucket}


def test_the_most_frequent_stay_and_of_equal_ones_the_least_key() -> None:
    texts = [["a", "b"], ["a", "b", "c"], ["a", "b"], ["b", "c"], ["d", "a"], ["d", "a"]]
    table = table_of(count(*shard_of(texts), KINDS), len(texts), limit=2)

    def key(*tokens: str) -> int:
        codes = token_codes([token.encode() for token in tokens])
        return int(keys(codes, np.zeros(2), 2)[0][0])

    # a b is in three texts, b c and d a are in two.
    least = min(key("b", "c"), key("d", "a"))
    expected = sorted([(key("a", "b"), 3), (least, 2)])
    chosen = zip(table.sequence_keys.tolist(), table.sequences.tolist(), strict=True)
    assert list(chosen) == expected
    # " b", "b ", " b " are in four texts, those of a in five.
    assert table.characters.tolist() == [5, 5]
    assert table.tokens.tolist() == [5, 0, 0, 0, 0]


def test_texts_without_a_token_have_no_ngrams() -> None:
    shard = shard_of([[], []])
    counts = count(*shard, KINDS)
    assert {kind: len(key) for kind, (key, _) in counts.items()} == dict.fromkeys(counts, 0)

    table = table_of(count(*shard_of(oracle.WORDS), KINDS), len(oracle.WORDS))
    ids = np.zeros(0, np.uint32)
    found = rows_of(*shard, ids, table, np.array([0, 1]), np.array([1, 2], np.float32))
    assert found.word_lengths.tolist() == found.sequence_lengths.tolist() == [0, 0]
    assert (len(found), found.weights.tolist()) == (2, [1, 2])
