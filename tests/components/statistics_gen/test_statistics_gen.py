"""Statistics of rows that were counted by hand, and the laws that make them the same wherever and
however they are counted.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.statistics_gen import StatisticsGenParams, analyze, describe, run
from components.statistics_gen.histogram import (
    UNIT_BITS,
    Histogram,
    exact_sums,
    float_keys,
    key_floats,
)
from components.statistics_gen.measure import split
from components.statistics_gen.summary import coarse
from seqline.data import examples as examples_format
from seqline.data.examples import Content, ExampleShard, Manifest, Span
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError
from seqline.jobs.beam import job

PARAMS = StatisticsGenParams()

Rows = Sequence[tuple[Any, str]]
Splits = Mapping[str, Rows]

# Twenty rows; what they hold is counted by hand below.
TWENTY: dict[str, list[tuple[str, str]]] = {
    "train": [
        *[("a b", "x"), ("a b", "x"), ("a b", "y"), ("a c", "x"), ("b c", "y"), ("C d", "y")],
        *[
            ("é b", "x"),
            ("a\u3000b c", "y"),
            ("a a a a", "x"),
            ("dd", "x"),
            ("a b c d", "y"),
            ("b", "y"),
        ],
    ],
    "eval": [("a b", "x"), ("z b", "y"), ("z z", "x"), ("ß", "y")],
    "test": [("a c", "y"), ("z b", "x"), ("c d", "y"), ("   ", "x")],
}


def write_examples(
    root: Path,
    spans: Mapping[int, Splits],
    content: Content = "text",
    dim: int | None = None,
    shard_rows: int = 1000,
    **of_span: Any,
) -> Path:
    """Examples as example_gen writes them, in shards of so many rows.

    Contents: str, lists of str, or nested lists of floats.
    """
    found = []
    for number, splits in spans.items():
        num_rows: dict[str, dict[str, int]] = {}
        for name, rows in splits.items():
            (root / f"Split-{name}").mkdir(parents=True, exist_ok=True)
            for part, start in enumerate(range(0, len(rows), shard_rows)):
                shard = make_shard(
                    number,
                    name,
                    examples_format.shard_name(number, 0, part),
                    rows[start : start + shard_rows],
                    content,
                )
                examples_format.write(shard, root / f"Split-{name}" / shard.name, content)
            for _, label in rows:
                num_rows.setdefault(name, {})[label] = num_rows.get(name, {}).get(label, 0) + 1
        # The key of a span stands for its rows.
        of_rows = {"num_read": sum(map(len, splits.values())), **of_span}
        found.append(Span(number, json.dumps(splits, sort_keys=True), num_rows=num_rows, **of_rows))
    root.mkdir(parents=True, exist_ok=True)
    examples_format.write_manifest(Manifest(content, dim, tuple(found)), root)
    return root


def make_shard(span: int, name: str, file: str, rows: Rows, content: Content) -> ExampleShard:
    encode = {
        "text": lambda row: row.encode(),
        "tokens": lambda row: [token.encode() for token in row],
        "sequence": lambda row: np.array(row, np.float32),
    }[content]
    return ExampleShard(
        span, name, file, [encode(row) for row, _ in rows], [label.encode() for _, label in rows]
    )


def statistics_of(examples: Path, output: Path, **arguments: Any) -> dict[str, Any]:
    output.mkdir()
    run(examples=examples, params=PARAMS, output=output, **arguments)
    return json.loads((output / "statistics.json").read_text(encoding="utf-8"))


def dataset_of(output: Path, name: str) -> Any:
    datasets = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        (output / f"Split-{name}" / "FeatureStats.pb").read_bytes()
    ).datasets
    assert len(datasets) == 1
    return datasets[0]


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Statistics of the twenty rows."""
    output = tmp_path_factory.mktemp("twenty")
    statistics_of(
        write_examples(output / "examples", {1: TWENTY}, num_bad={"no field 'text'": 2}),
        output / "statistics",
    )
    return output / "statistics"


@pytest.fixture(scope="module")
def figures(twenty: Path) -> dict[str, Any]:
    return json.loads((twenty / "statistics.json").read_text(encoding="utf-8"))


def test_rows_labels_and_missing_contents_are_counted(figures: dict[str, Any]) -> None:
    splits = figures["splits"]
    assert {name: each["num_rows"] for name, each in splits.items()} == {
        "train": 12,
        "eval": 4,
        "test": 4,
    }
    assert splits["train"]["labels"] == {"x": 6, "y": 6}
    assert {name: each["num_missing"] for name, each in splits.items()} == {
        "train": {"text": 0, "label": 0},
        "eval": {"text": 0, "label": 0},
        "test": {"text": 1, "label": 0},  # white space alone
    }
    assert (figures["num_read"], figures["num_bad"]) == (20, {"no field 'text'": 2})
    assert figures["newest"] is None


def test_repetitions_are_found_within_and_across_splits_and_under_several_labels(
    figures: dict[str, Any],
) -> None:
    splits = figures["splits"]
    assert (splits["train"]["num_distinct"], splits["train"]["num_repeated"]) == (10, 2)
    assert splits["train"]["top_values"] == [{"value": "a b", "count": 3}]
    assert splits["train"]["ambiguous"] == {
        "num_texts": 1,
        "num_rows": 3,
        "examples": [{"text": "a b", "labels": ["x", "y"]}],
    }
    assert splits["train"]["duplicates"] == {}
    assert splits["eval"]["duplicates"] == {"train": {"num_rows": 1, "examples": ["a b"]}}
    assert splits["test"]["duplicates"] == {
        "train": {"num_rows": 1, "examples": ["a c"]},
        "eval": {"num_rows": 1, "examples": ["z b"]},
    }
    # In all splits together: "a b" (4 rows), "a c" and "z b" (2 each).
    assert (figures["ambiguous"]["num_texts"], figures["ambiguous"]["num_rows"]) == (3, 8)
    assert sorted(each["text"] for each in figures["ambiguous"]["examples"]) == [
        "a b",
        "a c",
        "z b",
    ]


def test_lengths(figures: dict[str, Any]) -> None:
    chars = figures["splits"]["train"]["lengths"]["num_chars"]  # 1 2 3 3 3 3 3 3 3 5 7 7
    assert (chars["min"], chars["max"], chars["shortest"]) == (1, 7, "b")
    assert chars["longest"] in ("a a a a", "a b c d")
    assert chars["mean"] == pytest.approx(43 / 12, rel=1e-15)
    assert chars["std"] == pytest.approx(math.sqrt(443) / 12, rel=1e-15)
    assert chars["quantiles"] == {
        "0.01": 1,
        "0.05": 1,
        "0.25": 3,
        "0.5": 3,
        "0.75": 3,
        "0.95": 7,
        "0.99": 7,
    }
    assert chars["histogram"] == [[1, 1], [2, 8], [5, 3]]
    tokens = figures["splits"]["train"]["lengths"]["num_tokens"]  # 1 1 2 2 2 2 2 2 2 3 4 4
    assert (tokens["min"], tokens["max"], tokens["mean"]) == (1, 4, 27 / 12)
    assert (
        figures["splits"]["test"]["lengths"]["num_tokens"]["min"] == 2
    )  # the row of white space does not count


def test_tokens_and_characters_unknown_to_train(figures: dict[str, Any]) -> None:
    tokens = {name: each["tokens"] for name, each in figures["splits"].items()}
    top = [("a", 10), ("b", 8), ("c", 5), ("d", 2), ("é", 1), ("dd", 1)]
    assert tokens["train"]["top"] == [{"value": value, "count": count} for value, count in top]
    assert (
        tokens["train"]["num"],
        tokens["train"]["num_distinct"],
        tokens["train"]["num_once"],
    ) == (27, 6, 2)
    assert tokens["train"]["oov"] is None
    assert tokens["eval"]["oov"] == {
        "num": 4,
        "num_distinct": 2,
        "rate": 4 / 7,
        "expected": 2 / 27,
        "num_frequent": 0,
        "overlap": None,
        "top": [{"value": "z", "count": 3}, {"value": "ß", "count": 1}],
    }
    assert tokens["test"]["oov"]["rate"] == 1 / 6
    chars = {name: each["chars"] for name, each in figures["splits"].items()}
    assert (chars["train"]["num"], chars["train"]["num_distinct"], chars["train"]["num_once"]) == (
        43,
        8,
        3,
    )
    assert (chars["eval"]["oov"]["rate"], chars["eval"]["oov"]["expected"]) == (4 / 10, 3 / 43)


def test_feature_stats_say_the_same_to_tfdv(twenty: Path) -> None:
    dataset = dataset_of(twenty, "train")
    assert (dataset.name, dataset.num_examples) == ("train", 12)
    features = {feature.path.step[0]: feature for feature in dataset.features}
    assert list(features) == ["text", "label", "num_chars", "num_tokens"]

    text = features["text"].string_stats
    assert features["text"].type == statistics_pb2.FeatureNameStatistics.STRING
    assert (text.common_stats.num_non_missing, text.common_stats.num_missing) == (12, 0)
    assert (
        text.common_stats.min_num_values,
        text.common_stats.max_num_values,
        text.common_stats.tot_num_values,
    ) == (1, 1, 12)
    assert text.unique == 10
    assert [(top.value, top.frequency) for top in text.top_values] == [("a b", 3)]
    assert text.avg_length == pytest.approx(46 / 12)  # bytes: é has two, the wide space three
    assert not text.rank_histogram.buckets  # TFDV would take it for a domain

    label = features["label"].string_stats
    assert [
        (each.low_rank, each.high_rank, each.label, each.sample_count)
        for each in label.rank_histogram.buckets
    ] == [
        (0, 0, "y", 6),
        (1, 1, "x", 6),
    ]

    chars = features["num_chars"]
    assert chars.type == statistics_pb2.FeatureNameStatistics.INT
    assert chars.validation_derived_source.source_path[0].step == ["text"]
    stats = chars.num_stats
    assert (stats.min, stats.median, stats.max, stats.num_zeros) == (1, 3, 7, 0)
    assert (stats.mean, stats.std_dev) == (
        pytest.approx(43 / 12),
        pytest.approx(math.sqrt(443) / 12),
    )
    standard, quantiles = stats.histograms
    assert [bucket.sample_count for bucket in standard.buckets] == [
        1,
        1,
        0,
        7,
        0,
        0,
        1,
        0,
        0,
        2,
    ]  # each 0.6 wide, from 1
    assert [bucket.high_value for bucket in quantiles.buckets] == [2, 3, 3, 3, 3, 3, 3, 5, 7, 7]
    assert {bucket.sample_count for bucket in quantiles.buckets} == {1.2}


def test_an_empty_split_has_its_features_with_no_rows(tmp_path: Path) -> None:
    statistics = statistics_of(
        write_examples(tmp_path / "examples", {1: {"train": TWENTY["train"]}}),
        tmp_path / "statistics",
    )
    assert statistics["splits"]["eval"]["num_rows"] == 0
    dataset = dataset_of(tmp_path / "statistics", "eval")
    assert [feature.path.step[0] for feature in dataset.features][:2] == ["text", "label"]
    assert dataset.num_examples == 0


def test_given_tokens_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = {
        "train": [(["A", "b c"], "x"), (["A", "b", "c"], "y"), (["A", "A"], "x")],
        "eval": [(["b c"], "x")],
        "test": [([], "x")],
    }
    statistics = statistics_of(
        write_examples(tmp_path / "examples", {1: rows}, "tokens"), tmp_path / "statistics"
    )
    train = statistics["splits"]["train"]
    assert train["num_repeated"] == 0  # ["A", "b c"] is not ["A", "b", "c"]
    assert train["tokens"]["top"][0] == {"value": "A", "count": 4}
    assert train["tokens"]["num_distinct"] == 4
    assert list(train["lengths"]) == ["num_tokens"]
    assert statistics["splits"]["eval"]["tokens"]["oov"]["rate"] == 0
    assert statistics["splits"]["test"]["num_missing"]["tokens"] == 1
    stats = dataset_of(tmp_path / "statistics", "train").features[0].string_stats
    assert (
        stats.common_stats.min_num_values,
        stats.common_stats.max_num_values,
        stats.common_stats.tot_num_values,
    ) == (2, 3, 7)
    assert stats.avg_length == pytest.approx(9 / 7)


def test_sequences_have_their_numbers_by_dimension(tmp_path: Path) -> None:
    rows = {
        "train": [([[1.0, 5.0], [2.0, 5.0]], "x"), ([[-3.0, 5.0], [0.0, 5.0]], "y")],
        "eval": [([[1.0, 5.0], [2.0, 5.0]], "x")],
        "test": [],
    }
    statistics = statistics_of(
        write_examples(tmp_path / "examples", {1: rows}, "sequence", 2), tmp_path / "statistics"
    )
    train = statistics["splits"]["train"]
    assert train["dimensions"][0] == {
        "mean": 0.0,
        "std": math.sqrt(14 / 4),
        "min": -3.0,
        "max": 2.0,
        "num_zeros": 1,
        "quantiles": {
            "0.01": -3.0,
            "0.05": -3.0,
            "0.25": -3.0,
            "0.5": 0.0,
            "0.75": 1.0,
            "0.95": 2.0,
            "0.99": 2.0,
        },
    }
    assert (train["dimensions"][1]["min"], train["dimensions"][1]["std"]) == (5.0, 0.0)
    assert (train["tokens"], train["chars"]) == (None, None)
    assert statistics["splits"]["eval"]["duplicates"]["train"] == {
        "num_rows": 1,
        "examples": ["2 steps from [1, 5]"],
    }
    features = {
        feature.path.step[0]: feature.num_stats
        for feature in dataset_of(tmp_path / "statistics", "train").features
    }
    assert list(features) == ["sequence", "dim", "sequence[0]", "sequence[1]", "label", "num_steps"]
    assert (
        features["sequence"].common_stats.tot_num_values,
        features["sequence"].mean,
        features["sequence"].num_zeros,
    ) == (8, 2.5, 1)
    assert (features["dim"].min, features["dim"].max) == (2, 2)
    assert (features["num_steps"].min, features["num_steps"].common_stats.num_non_missing) == (2, 2)


# Laws


@pytest.mark.parametrize("content", ["text", "tokens", "sequence"])
def test_the_same_rows_give_the_same_bytes_in_whatever_shards(
    tmp_path: Path, content: Content
) -> None:
    def made(text: str) -> Any:
        if content == "sequence":  # sums of these depend on their order in floating point
            return [[len(text) / 3, 1e8 / 7], [ord(text[0]) / 7, -1e8 / 7]]
        return text.split() if content == "tokens" else text

    splits = {name: [(made(text), label) for text, label in rows] for name, rows in TWENTY.items()}
    found = []
    for number, shard_rows in enumerate((1000, 3)):
        examples = write_examples(
            tmp_path / f"examples-{number}",
            {1: splits},
            content,
            2 if content == "sequence" else None,
            shard_rows,
        )
        statistics_of(examples, tmp_path / f"statistics-{number}")
        found.append(files(tmp_path / f"statistics-{number}"))
    assert found[0] == found[1]
    assert sorted(found[0]) == [
        *[f"Split-{name}/FeatureStats.pb" for name in ("eval", "test", "train")],
        *[f"spans/1/Split-{name}/FeatureStats.pb" for name in ("eval", "test", "train")],
        "statistics.json",
    ]


def test_a_window_is_the_sum_of_its_spans(tmp_path: Path) -> None:
    parts = {
        number: {name: rows[number - 1 :: 2] for name, rows in TWENTY.items()} for number in (1, 2)
    }
    whole = statistics_of(
        write_examples(tmp_path / "whole", {7: TWENTY}), tmp_path / "whole-statistics"
    )
    window = statistics_of(write_examples(tmp_path / "parts", parts), tmp_path / "parts-statistics")
    for name in ("splits", "ambiguous", "num_read"):
        assert window[name] == whole[name]
    assert files(tmp_path / "whole-statistics" / "Split-train") == files(
        tmp_path / "parts-statistics" / "Split-train"
    )
    assert window["spans"]["1"]["splits"]["train"]["num_rows"] == 6
    # Train of span 2: a b, a c, C d, a(wide)b c, dd, b; of span 1: a b, a b, b c, é b, a a a a, a b
    # c d.
    newest = window["newest"]
    assert (newest["span"], newest["earlier"]) == (2, [1])
    assert newest["repeated"] == {"num_rows": 1, "examples": ["a b"]}
    assert (newest["tokens"]["num"], newest["tokens"]["rate"]) == (1, 1 / 11)  # dd


def test_only_a_span_without_a_piece_is_read(tmp_path: Path) -> None:
    spans: dict[int, Splits] = {1: TWENTY, 2: {name: rows[:2] for name, rows in TWENTY.items()}}
    span_cache = SpanCache(tmp_path / "span_cache", "salt")
    statistics_of(
        write_examples(tmp_path / "first", {1: TWENTY}),
        tmp_path / "first-statistics",
        span_cache=span_cache,
    )
    both = write_examples(tmp_path / "both", spans)
    for path in both.glob("Split-*/data_tfrecord-00001-*"):
        path.write_bytes(b"not read again")
    window = statistics_of(both, tmp_path / "both-statistics", span_cache=span_cache)
    assert {name: each["num_rows"] for name, each in window["splits"].items()} == {
        "train": 14,
        "eval": 6,
        "test": 6,
    }
    assert len(list((tmp_path / "span_cache").iterdir())) == 2


def test_rows_that_no_job_counted_are_not_taken_for_none(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="no job counted the rows"),
        analyze(
            spans={1: "key"},
            content="text",
            dim=None,
            params=PARAMS,
            span_cache=SpanCache(tmp_path),
        ) as collect,
    ):
        assert list(collect.folders) == [1]
    assert not list(tmp_path.iterdir())


def test_another_job_can_count_the_rows_that_it_reads(tmp_path: Path) -> None:
    """As example_gen does.

    Shards of other spans pass by, and the span_cache are there when the context has ended.
    """
    import apache_beam as beam

    span_cache = SpanCache(tmp_path / "span_cache")
    examples = write_examples(tmp_path / "examples", {1: TWENTY})
    key = examples_format.read_manifest(examples).spans[0].key
    arguments: dict[str, Any] = {
        "content": "text",
        "dim": None,
        "params": PARAMS,
        "span_cache": span_cache,
    }
    shards = [
        make_shard(1, name, f"{name}-{part}", rows[part::2], "text")
        for name, rows in TWENTY.items()
        for part in (0, 1)
    ]
    shards.append(make_shard(9, "train", "of another span", [("unwanted", "z")], "text"))
    with analyze(spans={1: key}, **arguments) as collect:
        with job([]) as pipeline:
            _ = pipeline | beam.Create(shards) | collect
        assert [path.name.split("-")[0] for path in (tmp_path / "span_cache").iterdir()] == [
            "partial"
        ]
    with analyze(spans={1: key}, **arguments) as collect:
        assert collect is None
    for path in examples.glob("Split-*/*"):
        path.unlink()
    shared = statistics_of(examples, tmp_path / "shared", span_cache=span_cache)
    assert shared == statistics_of(
        write_examples(tmp_path / "again", {1: TWENTY}), tmp_path / "alone"
    )


def test_a_job_that_fails_leaves_no_piece(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {1: TWENTY})
    next(examples.glob("Split-train/*")).write_bytes(b"damaged")
    with pytest.raises(DataError, match="is not whole"):
        statistics_of(
            examples, tmp_path / "statistics", span_cache=SpanCache(tmp_path / "span_cache")
        )
    assert not list((tmp_path / "span_cache").iterdir())


def test_the_line_in_the_table(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {1: TWENTY})
    (tmp_path / "statistics").mkdir()
    assert (
        describe(run(examples=examples, params=PARAMS, output=tmp_path / "statistics"))
        == "20 rows, 2 classes; median 3 chars, 2 tokens; tokens unknown to train: 57.1% of eval,"
        " 16.7% of test; duplicates: 1 eval in train, 1 test in train, 1 test in eval; 3"
        " contents under several labels"
    )


SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@given(
    st.lists(
        st.text(st.sampled_from("aBé ß\t\n\x0b\x1c\x85\xa0\u2003\u3000\U0001f600")), max_size=8
    )
)
def test_tokens_are_what_white_space_separates(texts: list[str]) -> None:
    tokens, num_tokens = split(pa.array(texts, pa.large_string()))
    expected = [re.findall(f"[^{SPACES}]+", pc.utf8_lower(text).as_py()) for text in texts]
    assert num_tokens.tolist() == [len(row) for row in expected]
    assert sorted(tokens.to_pylist()) == sorted(token.encode() for row in expected for token in row)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_sums_are_exact(numbers: list[float]) -> None:
    column = np.array(numbers, np.float32).astype(np.float64)[:, np.newaxis]
    for power in (1, 2):
        assert Fraction(exact_sums(column**power)[0], 1 << UNIT_BITS) == sum(
            Fraction(number) ** power for number in numbers
        )


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_bins_of_floats_keep_their_order_and_are_narrow(numbers: list[float]) -> None:
    values = np.sort(np.array(numbers, np.float32) + np.float32(0))
    keys = float_keys(values)
    assert (np.diff(keys) >= 0).all()
    assert (
        np.abs(key_floats(keys) - values)
        <= np.maximum(np.abs(values.astype(np.float64)) / 128, 2.0**-133)
    ).all()


@given(st.lists(st.lists(st.integers(0, 10_000), max_size=5), max_size=5))
def test_histograms_add_up(parts: Iterable[list[int]]) -> None:
    parts = list(parts)
    numbers = sorted(number for part in parts for number in part)
    total = Histogram.sum([Histogram.of(np.array(part)) for part in parts])
    assert np.repeat(total.values, total.counts).tolist() == numbers
    assert sum(count for _, count in coarse(total)) == len(numbers)
    if numbers:
        assert total.values[total.rank(0.5)] == numbers[(len(numbers) - 1) // 2]
