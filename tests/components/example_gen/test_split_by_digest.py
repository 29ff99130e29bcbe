from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams
from components.example_gen.split_by_digest import digest_of, split_at, split_fractions
from tests.components.example_gen.support import split_of


def test_split_of_known_texts() -> None:
    # BLAKE2b-64 of "hello" is a7b6eda801e5347d, 0.6551 of the way.
    assert split_of("hello") == "train"
    assert split_at(digest_of(b"hello"), {"train": 0.65, "eval": 0.01, "test": 0.34}) == "eval"
    assert split_at(digest_of(b"hello"), {"train": 0.6, "eval": 0.05, "test": 0.35}) == "test"
    assert split_at(digest_of(b"hello"), {"train": 0.6, "eval": 0.4, "test": 0.0}) == "eval"


def test_split_of_many_texts_follows_the_fractions() -> None:
    counts = Counter(split_of(f"Text No. {number}") for number in range(3000))
    # Four standard deviations: 100 for train, 66 for eval, 88 for test.
    assert abs(counts["train"] - 2100) < 100
    assert abs(counts["eval"] - 300) < 66
    assert abs(counts["test"] - 600) < 88


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_split_of_does_not_follow_the_fractions_of_the_other_splits(text: str) -> None:
    # A row of train stays in train where the rest is divided otherwise.
    assert (split_of(text) == "train") == (
        split_at(digest_of(text.encode()), {"train": 0.7, "eval": 0.3, "test": 0.0}) == "train"
    )


def test_fractions_are_of_the_splits_that_the_source_lacks() -> None:
    params = ExampleGenParams(source="a", eval_fraction=0.25, test_fraction=0.25)
    assert split_fractions({None}, params) == {"train": 0.5, "eval": 0.25, "test": 0.25}
    assert split_fractions({"train", "test"}, params) == {
        "train": 0.75,
        "eval": 0.25,
        "test": 0,
    }
    assert split_fractions({"train", "eval", "test"}, params) == {
        "train": 1,
        "eval": 0,
        "test": 0,
    }
