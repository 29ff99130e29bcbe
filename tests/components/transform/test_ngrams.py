"""The n-grams of a run over real Examples are those of the definition."""

from pathlib import Path

import numpy as np
import pytest

from seqline.data.features import EVAL, SPLITS, TEST, TRAIN, shards
from seqline.data.ngrams import TABLE, Rows, Table, folder_of
from tests.support import ngrams as oracle
from tests.support.corpus import write_examples
from tests.support.transformed import lines, transform

Texts = dict[str, list[tuple[str, str]]]

TEXTS: Texts = {
    TRAIN: [
        ("A good, good film.", "pos"),
        ("a bad film.", "neg"),
        ("", "neg"),
        ("Good banana film", "pos"),
        ("bad bananas; a bad BANANA", "neg"),
        ("na\u00efve \U0001d11e films of a banana", "pos"),
    ],
    EVAL: [("an unknown film of a good banana", "pos"), ("...", "neg")],
    TEST: [("bad bananas", "neg")],
}
WORDS = {
    TRAIN: [
        ["a", "good", ",", "good", "film", "."],
        ["a", "bad", "film", "."],
        [],
        ["good", "banana", "film"],
        ["bad", "bananas", ";", "a", "bad", "banana"],
        ["na\u00efve", "\U0001d11e", "films", "of", "a", "banana"],
    ],
    EVAL: [["an", "unknown", "film", "of", "a", "good", "banana"], [".", ".", "."]],
    TEST: [["bad", "bananas"]],
}


def assert_same(one: Rows | Table, other: Rows | Table) -> None:
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, vars(other)[name], name)


@pytest.mark.parametrize("content", ["word", "char", "tokens"])
def test_tables_and_rows_are_those_of_the_definition(content: str, tmp_path: Path) -> None:
    tokens: dict[str, list[list[str]]] = WORDS
    rows: dict[str, list] = TEXTS
    params: dict[str, object] = {"min_frequency": 2}
    if content == "char":
        tokens = {split: [list(text.lower()) for text, _ in TEXTS[split]] for split in SPLITS}
        params["tokens"] = "char"
    if content == "tokens":
        rows = {
            split: [
                (words, label)
                for words, (_, label) in zip(WORDS[split], TEXTS[split], strict=True)
                if words  # a list of tokens has one at least
            ]
            for split in SPLITS
        }
        tokens = {split: [words for words, _ in rows[split]] for split in SPLITS}

    kind = "tokens" if content == "tokens" else "text"
    examples = write_examples(tmp_path / "examples", rows, kind)
    figures = transform(examples, tmp_path / "features", **params)
    vocabulary = lines(tmp_path / "features" / "vocabularies" / "tokens")

    is_char = content == "char"
    expected = oracle.table_of(
        tokens[TRAIN],
        vocabulary,
        orders=(2, 3, 4) if is_char else (2,),
        bounded=is_char,
        with_characters=content == "word",
    )
    table = Table.read(tmp_path / "features" / TABLE)
    assert_same(table, expected)
    assert len(table.sequences)
    assert (len(table.characters) > 0) == (content == "word")
    assert figures["num_sequences"] == len(table.sequences)
    assert figures["num_characters"] == len(table.characters)

    for split in SPLITS:
        labels = [["neg", "pos"].index(label) for _, label in rows[split]]
        [shard] = shards(tmp_path / "features", split)
        path = folder_of(tmp_path / "features", split) / f"{shard.name}.arrow"
        assert_same(Rows.read(path), oracle.rows_of(tokens[split], labels, vocabulary, table))
