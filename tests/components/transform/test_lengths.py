"""max_length from the data: a quantile of train's lengths, at any size and for any window."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.example_gen import ExampleGenParams
from components.transform import TRANSFORM, TransformParams, lengths
from components.transform.lengths import NUM_COUNTS, choose
from seqline.data.features import EVAL, TEST, TRAIN
from seqline.data.span_cache import SpanCache
from seqline.errors import UserError
from tests.support.corpus import write_examples
from tests.support.transformed import Rows, transform


def counts(num_rows: dict[int, int]) -> np.ndarray:
    """Rows by length, from length -> rows."""
    total = np.zeros(NUM_COUNTS, np.int64)
    for length, num in num_rows.items():
        total[min(length, NUM_COUNTS - 1)] += num
    return total


@pytest.mark.parametrize(
    ("num_rows", "max_length"),
    [
        ({10: 99, 40: 1}, 32),  # 99 of 100 rows are read whole
        ({10: 98, 40: 2}, 64),
        ({10: 98, 40: 1, 5000: 1}, 64),
        ({32: 1}, 32),
        ({33: 1}, 64),
        ({224: 1}, 224),
        ({225: 1}, 256),
        ({300: 5}, 256),  # never more than today's default
        ({0: 7}, 32),
        ({1: 10**12, 50: 10**10, 200: 10**8}, 32),
        ({1: 10**12, 50: 10**10, 200: 10**11}, 224),
    ],
)
def test_of_a_hundred_texts_one_is_cut(num_rows: dict[int, int], max_length: int) -> None:
    assert choose(counts(num_rows), "text") == max_length
    assert choose(counts(num_rows), "tokens") == max_length


@pytest.mark.parametrize(
    ("num_rows", "max_length"),
    [({28: 1000}, 28), ({3: 1000, 77: 1}, 77), ({256: 1}, 256), ({4: 9, 900: 1}, 256)],
)
def test_sequences_are_read_to_the_longest(num_rows: dict[int, int], max_length: int) -> None:
    assert choose(counts(num_rows), "sequence") == max_length


def week(length: int) -> Rows:
    return {
        TRAIN: [("the word " * (length // 2), "a"), ("again", "b")],
        EVAL: [("the", "a")],
        TEST: [("word " * 70, "b")],
    }


def test_a_window_has_the_quantile_of_its_spans(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path / "span_cache")
    both = tmp_path / "both"
    for number, length in enumerate((8, 60)):
        write_examples(both, week(length), span=number, key=f"week {number}")
    write_examples(tmp_path / "one", week(8), span=0, key="week 0")

    one = transform(tmp_path / "one", tmp_path / "of_one", span_cache=span_cache)
    assert (one["max_length"], one["num_cut"]) == (32, 1)
    assert TRANSFORM.describe(one).endswith("; max_length 32 (from the data) cuts 25.0% of rows")
    assert json.loads((tmp_path / "of_one" / "transform.json").read_text())["max_length"] == 32

    two = transform(both, tmp_path / "of_both", span_cache=span_cache)
    assert (two["max_length"], two["num_cut"], two["num_spans_analyzed"]) == (64, 2, 1)

    # A stated one is used as it is, and no span is read again for it.
    stated = transform(both, tmp_path / "stated", span_cache=span_cache, max_length=64)
    assert (stated["max_length_from_data"], stated["num_spans_analyzed"]) == (False, 0)
    # Rows that it cuts alike are the same Features.
    assert stated["num_shards_made"] == 0


def test_sequences_have_their_longest(tmp_path: Path) -> None:
    rows = {
        split: [(np.ones((length, 2), np.float32), "a"), (np.ones((1, 2), np.float32), "b")]
        for split, length in ((TRAIN, 5), (EVAL, 7), (TEST, 2))
    }
    figures = transform(write_examples(tmp_path / "e", rows, "sequence"), tmp_path / "f")
    assert (figures["max_length"], figures["num_cut"]) == (5, 1)


def test_damaged_lengths_are_named_with_a_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "part" / lengths.FOLDER
    folder.mkdir(parents=True)
    lengths.write(str(tmp_path / "part"), "shard", np.array([2, 2, 999]))
    assert lengths.of_window([tmp_path / "part"])[[2, NUM_COUNTS - 1]].tolist() == [2, 1]

    (folder / "shard.json").write_text('{"num_rows": [1, 2]}')
    with pytest.raises(UserError, match=r"shard\.json.*the next run counts its span again"):
        lengths.of_window([tmp_path / "part"])


def test_a_plan_says_what_is_known() -> None:
    assert TRANSFORM.from_data
    from_data, params = TRANSFORM.from_data, TransformParams(tokens="word")
    inputs = {"examples": ExampleGenParams(source="a.csv")}
    assert from_data(params, inputs, None) == {"max_length": "from the data, at most 256"}
    assert from_data(params, inputs, {"max_length": 64}) == {"max_length": "64, from the data"}
    assert from_data(TransformParams(tokens="char", max_length=9), inputs, None) == {}
