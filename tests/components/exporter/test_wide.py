"""The served wide part has the log-probabilities of `Wide`, for every kind of text."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.exporter.explanation import explain
from components.exporter.hashed import KeyTable
from components.exporter.tables import TableDtype
from components.exporter.wide import FoldedWide
from seqline.model.wide import Wide, log_softmax
from tests.support.ngrams import WORDS, rows_of, table_of, wide_of

VOCABULARY = ["a", "good", "bad", "film", "."]
OTHERS = [
    [],
    ["banana"],
    ["bananabanana", "zzz", "zzz", "ana"],
    ["good", "unheard", "good", "film", "good", "film"],
    ["\U0001f600b\U0001d54f", "naïve", "漢字", "e\u0301"],
    ["a"],
    ["a", "good"],
    ["bananas", "a", "good"] * 4000,
]

Words = tuple[tf.SparseTensor, tf.SparseTensor]


def sparse(rows: Sequence[Sequence[object]], dtype: tf.DType) -> tf.SparseTensor:
    ragged = tf.ragged.constant(rows, dtype, ragged_rank=1)
    return ragged.to_sparse()


def transformed(texts: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Words:
    """(ids of whole texts, their unknown words), as the transform graph gives them."""
    ids = {token: number for number, token in enumerate(vocabulary, start=1)}
    numbers = [[ids.get(token, len(ids) + 1) for token in text] for text in texts]
    unknown = [[token.encode() for token in text if token not in ids] for text in texts]
    return sparse(numbers, tf.int64), sparse(unknown, tf.string)


def answer(
    wide: Wide,
    texts: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    dtype: TableDtype = "float32",
) -> np.ndarray:
    """log p_wide of texts as a graph serves it."""
    served = FoldedWide(wide, [token.encode() for token in vocabulary], dtype)
    specs = [
        tf.SparseTensorSpec([None, None], tf.int64),
        tf.SparseTensorSpec([None, None], tf.string),
    ]
    ask = tf.function(served.scores, specs, autograph=False).get_concrete_function()
    scores = ask(*transformed(texts, vocabulary)).numpy()
    assert scores.shape == (len(texts), 2 if len(wide.prior) == 1 else len(wide.prior))
    return log_softmax(scores)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_words_their_pairs_and_the_characters_of_unknown_words(num_classes: int) -> None:
    table = table_of(WORDS, VOCABULARY)
    wide = wide_of(table, VOCABULARY, num_classes)
    assert len(wide.sequence_keys)
    assert len(wide.character_keys)

    texts = [*WORDS, *OTHERS]
    rows = rows_of(texts, [0] * len(texts), VOCABULARY, table)
    got = answer(wide, texts, VOCABULARY)
    np.testing.assert_allclose(got, wide.log_probabilities(rows), atol=2e-6, rtol=2e-6)

    # A text alone, and none.
    for number, text in enumerate(texts):
        alone = answer(wide, [text], VOCABULARY)
        np.testing.assert_allclose(alone[0], got[number], atol=2e-6, rtol=2e-6)
    assert answer(wide, [], VOCABULARY).shape == (0, num_classes)


def test_characters_with_the_ends_of_the_text() -> None:
    texts = [list("anna"), list("hanna"), list("nan"), list("a"), [], list("banana ban")]
    vocabulary = ["a", "n", "h"]
    table = table_of(texts, vocabulary, (2, 3, 4), bounded=True, with_characters=False)
    wide = wide_of(table, vocabulary, keep=0.9)
    texts += [list("xyz"), list("n"), list("nx"), list("annahanna" * 700)]
    rows = rows_of(texts, [0] * len(texts), vocabulary, table)
    np.testing.assert_allclose(
        answer(wide, texts, vocabulary), wide.log_probabilities(rows), atol=2e-6, rtol=2e-6
    )


def test_an_explanation_names_the_ends_of_a_text() -> None:
    vocabulary = ["a", "n"]
    texts = [list("an"), list("an")]
    table = table_of(texts, vocabulary, (2, 3, 4), bounded=True, with_characters=False)
    served = FoldedWide(wide_of(table, vocabulary, keep=1.0), [b"a", b"n"])
    words, unknown = transformed([list("an")], vocabulary)
    tokens = tf.constant(vocabulary)
    _, outputs = explain(served, words, unknown, None, partial(tf.gather, tokens), "", 3)
    named = {name.decode() for name in outputs["ngrams"].numpy()[0].tolist()}
    assert named == {"a", "n", "an", "\u2402a", "n\u2403", "\u2402an", "an\u2403", "\u2402an\u2403"}


def test_lists_of_tokens() -> None:
    table = table_of(WORDS, VOCABULARY, with_characters=False)
    wide = wide_of(table, VOCABULARY)
    rows = rows_of([*WORDS, *OTHERS], [0] * 13, VOCABULARY, table)
    np.testing.assert_allclose(
        answer(wide, [*WORDS, *OTHERS], VOCABULARY),
        wide.log_probabilities(rows),
        atol=2e-6,
        rtol=2e-6,
    )


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.lists(
        st.lists(st.sampled_from([*VOCABULARY, "banana", "nab", "\U0001f600"]), max_size=9),
        max_size=5,
    ),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_texts(texts: list[list[str]], keep: float) -> None:
    table = table_of(WORDS, VOCABULARY, min_texts=1)
    wide = wide_of(table, VOCABULARY, keep=keep)
    rows = rows_of(texts, [0] * len(texts), VOCABULARY, table)
    np.testing.assert_allclose(
        answer(wide, texts, VOCABULARY), wide.log_probabilities(rows), atol=2e-6, rtol=2e-6
    )


# Wide rows are added up in another way.
@pytest.mark.parametrize("num_classes", [3, 20])
@pytest.mark.parametrize(
    ("dtype", "allowed"), [("int16", 1e-3), ("bfloat16", 0.05), ("int8", 0.06)]
)
def test_narrow_tables(dtype: TableDtype, allowed: float, num_classes: int) -> None:
    table = table_of(WORDS, VOCABULARY)
    wide = wide_of(table, VOCABULARY, num_classes)
    texts = [*WORDS, *OTHERS]
    rows = rows_of(texts, [0] * len(texts), VOCABULARY, table)
    difference = np.abs(answer(wide, texts, VOCABULARY, dtype) - wide.log_probabilities(rows)).max()
    assert 1e-6 < difference < allowed


@pytest.mark.parametrize("num_keys", [0, 1, 2, 3, 5000])
def test_a_table_of_keys_finds_its_keys_and_no_others(num_keys: int) -> None:
    random = np.random.default_rng(num_keys)
    keys = random.integers(0, 2**64 - 1, num_keys, np.uint64)
    # Keys that differ in their lowest or highest bits only, as those of short n-grams do.
    keys[: num_keys // 2] = np.arange(num_keys // 2, dtype=np.uint64) << np.uint64(num_keys % 64)
    keys = np.unique(keys)
    table = KeyTable(keys, "keys")

    has, slots = table(tf.constant(keys.view(np.int64)))
    assert has.numpy().all()
    np.testing.assert_array_equal(slots, table.slots_of_keys)
    assert len(set(slots.numpy().tolist())) == len(keys)

    others = np.setdiff1d(random.integers(1, 2**64 - 1, 5000, np.uint64), keys)
    assert not table(tf.constant(others.view(np.int64)))[0].numpy().any()
