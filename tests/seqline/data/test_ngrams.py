"""Keys of n-grams, and their files."""

from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from seqline.data import ngrams
from seqline.data.ngrams import FACTOR, Rows, Table
from seqline.errors import DataError
from tests.support.ngrams import LABELS, WORDS, characters_in, rows_of, table_of

VOCABULARY = ["a", "good", "film", "bad", "banana"]


def test_a_key_is_a_polynomial_of_the_codes() -> None:
    codes = np.array([5, 7, 2**64 - 1, 9], np.uint64)
    key, place = ngrams.keys(codes, np.array([0, 0, 0, 1]), 2)
    assert key.tolist() == [(5 * FACTOR + 7) % 2**64, (7 * FACTOR + 2**64 - 1) % 2**64]
    assert place.tolist() == [0, 1]
    assert ngrams.keys(codes, np.zeros(4), 5)[0].tolist() == []


@pytest.mark.parametrize("words", [["banana", "x", "für"], [" a", "日本", "\U0001f600"], []])
def test_characters_of_words(words: list[str]) -> None:
    word, key = ngrams.characters_of([word.encode() for word in words])
    assert (np.diff(word) >= 0).all()
    for number, text in enumerate(words):
        assert Counter(key[word == number].tolist()) == characters_in(text)


def test_find() -> None:
    table = np.array([3, 5, 2**64 - 1], np.uint64)
    assert ngrams.find(table, np.array([5, 4, 2**64 - 1, 0], np.uint64)).tolist() == [1, -1, 2, -1]
    assert ngrams.find(table[:0], table).tolist() == [-1, -1, -1]


def test_codes_of_tokens_differ_and_are_not_zero() -> None:
    codes = ngrams.token_codes([str(number).encode() for number in range(1000)])
    assert len(set(codes.tolist())) == 1000
    assert codes.all()


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    table = table_of(WORDS, VOCABULARY)
    rows = rows_of(WORDS, LABELS, VOCABULARY, table)
    for kind, content in ((Table, table), (Rows, rows)):
        path = tmp_path / f"{kind.__name__}.arrow"
        content.write(path)
        first = path.read_bytes()
        read = kind.read(path)
        for field in fields(kind):
            wanted, got = getattr(content, field.name), getattr(read, field.name)
            assert got.dtype == wanted.dtype
            assert got.tolist() == wanted.tolist()

        read.write(path)
        assert path.read_bytes() == first
        path.write_bytes(first[: len(first) // 2])
        with pytest.raises(DataError, match=r"arrow cannot be read: .*makes it again"):
            kind.read(path)
