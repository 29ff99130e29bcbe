"""Windows of spans: each span is analyzed once, each shard made once."""

from pathlib import Path

import pytest

from pipeline.store.layout import artifact_digest
from seqline.data.features import EVAL, TEST, TRAIN
from seqline.data.span_cache import SpanCache
from tests.support.corpus import write_examples
from tests.support.transformed import Rows, lines, transform

WEEKS: list[Rows] = [
    {
        TRAIN: [(f"{week} and the", "a"), ("again", "b")],
        EVAL: [("the", "a")],
        TEST: [("again", "b")],
    }
    for week in ("one", "two", "three")
]


def write_weeks(root: Path, weeks: range) -> Path:
    for week in weeks:
        write_examples(root, WEEKS[week], span=week, key=f"week {week}")
    return root


@pytest.mark.slow
def test_a_new_span_is_the_only_one_that_is_analyzed_and_the_result_is_that_of_a_full_pass(
    tmp_path: Path,
) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    two = transform(
        write_weeks(tmp_path / "two", range(2)), tmp_path / "of_two", span_cache=span_cache
    )
    # The eval and test rows of the weeks are the same: made once.
    assert (two["num_spans_analyzed"], two["num_shards_made"]) == (2, 4)

    three = transform(
        write_weeks(tmp_path / "three", range(3)),
        tmp_path / "of_three",
        span_cache=span_cache,
        previous=tmp_path / "of_two",
    )
    assert three["num_spans_analyzed"] == 1
    transform(tmp_path / "three", tmp_path / "full")
    assert artifact_digest(tmp_path / "of_three") == artifact_digest(tmp_path / "full")

    # "three" takes its place between the others by count, then bytes; it is one of 12 train tokens.
    assert lines(tmp_path / "of_three" / "vocabularies" / "tokens") == [
        "the",
        "and",
        "again",
        "two",
        "three",
        "one",
    ]
    assert three["vocabulary_drift"] == {
        "num_new": 1,
        "num_gone": 0,
        "num_moved": 1,
        "new_token_rate": pytest.approx(1 / 12),
    }

    window = transform(
        write_weeks(tmp_path / "window", range(1, 3)),
        tmp_path / "of_window",
        span_cache=span_cache,
        previous=tmp_path / "of_three",
    )
    assert window["num_spans_analyzed"] == 0

    transform(tmp_path / "window", tmp_path / "full_window")
    assert artifact_digest(tmp_path / "of_window") == artifact_digest(tmp_path / "full_window")
    assert window["vocabulary_drift"]["num_gone"] == 1


def test_only_shards_whose_ids_changed_are_made_again(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    (tmp_path / "tokens").write_text("the\nagain\n")
    frozen = {"vocabulary": str(tmp_path / "tokens"), "span_cache": span_cache}
    transform(write_weeks(tmp_path / "two", range(2)), tmp_path / "of_two", **frozen)
    three = transform(write_weeks(tmp_path / "three", range(3)), tmp_path / "of_three", **frozen)

    # Week three is new, but all its new tokens are outside the vocabulary: its ids are those of
    # week one.
    assert (three["num_spans_analyzed"], three["num_shards_made"]) == (1, 0)

    with (tmp_path / "tokens").open("a") as file:
        file.write("two\n")
    again = transform(tmp_path / "three", tmp_path / "of_three_again", **frozen)
    # Another OOV id touches the train shards (week two's ids now differ from the others'); eval and
    # test hold no unknown token.
    assert (again["num_spans_analyzed"], again["num_shards_made"]) == (0, 2)


@pytest.mark.slow
def test_another_tokeniser_does_not_use_the_parts_of_the_first(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    examples = write_weeks(tmp_path / "examples", range(1))
    assert transform(examples, tmp_path / "word", span_cache=span_cache)["num_spans_analyzed"] == 1
    assert (
        transform(examples, tmp_path / "char", span_cache=span_cache, tokens="char")[
            "num_spans_analyzed"
        ]
        == 1
    )
    assert (
        transform(examples, tmp_path / "short", span_cache=span_cache, max_length=2, vocab_size=3)[
            "num_spans_analyzed"
        ]
        == 0
    )
