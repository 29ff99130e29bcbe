"""The n-grams of a run over real Examples are those of the definition."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.transform import TransformParams, part_path
from pipeline.store.layout import artifact_digest
from seqline.data.features import EVAL, SPLITS, TEST, TRAIN, shards
from seqline.data.ngrams import TABLE, Rows, Table, folder_of
from seqline.data.span_cache import SpanCache
from seqline.storage.staging import local_copy
from tests.support import ngrams as oracle
from tests.support.corpus import write_examples
from tests.support.fake_cloud.gcs import FakeGcs
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


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("texts"), TEXTS)


def digest_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_the_graph_gives_the_words_and_the_unknown_tokens_of_the_whole_text(
    examples: Path, tmp_path: Path
) -> None:
    transform(examples, tmp_path, min_frequency=2, max_length=3)
    table = Table.read(tmp_path / TABLE)
    graph = tf.saved_model.load(str(tmp_path / "transform_fn"))
    oov = len(table.tokens) + 1

    for split in SPLITS:
        [path] = folder_of(tmp_path, split).iterdir()
        rows = Rows.read(path)
        texts = tf.constant([text for text, _ in TEXTS[split]])
        row = graph.transform_fn({"text": texts, "label": tf.fill(texts.shape, "pos")})
        words = tf.RaggedTensor.from_sparse(row["words"]).to_list()
        unknown = tf.RaggedTensor.from_sparse(row["unknown"]).to_list()

        tokens = list(dict.fromkeys(token.encode() for text in WORDS[split] for token in text))
        assert len(tokens) == len(rows.ids)
        for number, (ids, strings) in enumerate(zip(words, unknown, strict=True)):
            first = int(rows.word_lengths[:number].sum())
            chosen = slice(first, first + int(rows.word_lengths[number]))
            places = np.repeat(rows.words[chosen], rows.word_counts[chosen]).tolist()
            assert sorted(ids) == sorted(rows.ids[places].tolist())
            of_rows = [tokens[place] for place in places if rows.ids[place] == oov]
            assert sorted(strings) == sorted(of_rows)

    # The last rows of the loop are those of test: bad is known, bananas is not.
    assert (words, unknown) == ([[words[0][0], oov]], [[b"bananas"]])
    assert row["ids"].dense_shape.numpy().tolist() == [1, 2]


def test_without_ngrams_the_rest_is_the_same(examples: Path, tmp_path: Path) -> None:
    figures = transform(examples, tmp_path / "with")
    without = transform(examples, tmp_path / "without", ngrams=0)
    del figures["num_sequences"], figures["num_characters"]
    assert without == figures

    names = {path.name for path in (tmp_path / "without").iterdir()}
    assert names == {
        *(f"Split-{split}" for split in SPLITS),
        *("transform.json", "transform_fn", "transformed_metadata", "vocabularies"),
    }
    for name in (*(f"Split-{split}" for split in SPLITS), "vocabularies"):
        assert digest_of(tmp_path / "with" / name) == digest_of(tmp_path / "without" / name)

    graph = tf.saved_model.load(str(tmp_path / "without" / "transform_fn"))
    row = graph.transform_fn({"text": tf.constant(["a"]), "label": tf.constant(["pos"])})
    assert sorted(row) == ["ids", "label", "length"]


def test_ngrams_that_an_earlier_run_wrote_are_linked(examples: Path, tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    transform(examples, tmp_path / "one", span_cache=span_cache)
    # What the shards' tables add up to is kept; they are not.
    part = part_path(span_cache, "key", "text", TransformParams())
    assert sorted(path.name for path in part.glob("ngram_*")) == ["ngram_counts"]

    again = transform(examples, tmp_path / "two", span_cache=span_cache, max_length=4)
    assert (again["num_spans_analyzed"], again["num_shards_made"]) == (0, 2)
    few = transform(examples, tmp_path / "few", span_cache=span_cache, ngrams=3)
    assert (few["num_spans_analyzed"], few["num_shards_made"]) == (0, 0)
    assert (few["num_sequences"], few["num_characters"]) == (2, 3)

    def inodes(output: str) -> list[int]:
        folders = [folder_of(tmp_path / output, split) for split in SPLITS]
        return [path.stat().st_ino for folder in folders for path in folder.iterdir()]

    # Another max_length changes no n-gram; another table changes all of them.
    assert inodes("two") == inodes("one")
    assert not set(inodes("few")) & set(inodes("one"))


def test_a_bucket_gets_the_same_files_with_few_requests(
    examples: Path, place: Path, cloud: FakeGcs, tmp_path: Path
) -> None:
    cloud.page_size = 1000
    span_cache = SpanCache(place / "span_cache", owner="key")
    num_requests = {}
    for limit in (0, 100):
        asked = len(cloud.requests)
        transform(examples, place / str(limit), span_cache=span_cache, ngrams=limit)
        num_requests[limit] = len(cloud.requests) - asked

    transform(examples, tmp_path / "here", ngrams=100)
    assert artifact_digest(local_copy(place / "100")) == artifact_digest(tmp_path / "here")
    # Here 49 more than 119: a shard's table and its groups, and the part of each of three shards.
    assert num_requests[100] - num_requests[0] < 60


def test_null_follows_the_trainer() -> None:
    assert TransformParams().with_defaults_from(wide=True).ngrams == 262_144
    assert TransformParams().with_defaults_from(wide=False).ngrams == 0
    assert TransformParams(ngrams=7).with_defaults_from(wide=False).ngrams == 7
    assert TransformParams().most_ngrams("tokens") == 262_144
    assert TransformParams(ngrams=7).most_ngrams("sequence") == 0
