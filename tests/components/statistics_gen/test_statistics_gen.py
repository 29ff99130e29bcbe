"""Statistics of rows that were counted by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.statistics_gen import StatisticsGenParams, describe, run
from tests.support.examples import TWENTY, statistics_of, write_spans

PARAMS = StatisticsGenParams()


def dataset_of(output: Path, name: str) -> Any:
    datasets = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        (output / f"Split-{name}" / "FeatureStats.pb").read_bytes()
    ).datasets
    assert len(datasets) == 1
    return datasets[0]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Statistics of the twenty rows."""
    output = tmp_path_factory.mktemp("twenty")
    statistics_of(
        write_spans(output / "examples", {1: TWENTY}, num_bad={"no field 'text'": 2}),
        output / "statistics",
    )
    return output / "statistics"


@pytest.fixture(scope="module")
def figures(twenty: Path) -> dict[str, Any]:
    return json.loads((twenty / "statistics.json").read_text(encoding="utf-8"))


def test_rows_labels_and_missing_contents_are_counted(figures: dict[str, Any]) -> None:
    splits = figures["splits"]
    assert {name: split["num_rows"] for name, split in splits.items()} == {
        "train": 12,
        "eval": 4,
        "test": 4,
    }
    assert splits["train"]["labels"] == {"x": 6, "y": 6}
    assert {name: split["num_missing"] for name, split in splits.items()} == {
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
    assert sorted(example["text"] for example in figures["ambiguous"]["examples"]) == [
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

    # The row of white space does not count.
    assert figures["splits"]["test"]["lengths"]["num_tokens"]["min"] == 2


def test_tokens_and_characters_unknown_to_train(figures: dict[str, Any]) -> None:
    tokens = {name: split["tokens"] for name, split in figures["splits"].items()}
    top = [("a", 10), ("b", 8), ("c", 5), ("d", 2), ("é", 1), ("dd", 1)]
    assert tokens["train"]["top"] == [{"value": value, "count": count} for value, count in top]
    assert tokens["train"]["num"] == 27
    assert tokens["train"]["num_distinct"] == 6
    assert tokens["train"]["num_once"] == 2
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

    chars = {name: split["chars"] for name, split in figures["splits"].items()}
    assert chars["train"]["num"] == 43
    assert chars["train"]["num_distinct"] == 8
    assert chars["train"]["num_once"] == 3
    assert (chars["eval"]["oov"]["rate"], chars["eval"]["oov"]["expected"]) == (4 / 10, 3 / 43)


def test_feature_stats_say_the_same_to_tfdv(twenty: Path) -> None:
    dataset = dataset_of(twenty, "train")
    assert (dataset.name, dataset.num_examples) == ("train", 12)
    features = {feature.path.step[0]: feature for feature in dataset.features}
    assert list(features) == ["text", "label", "num_chars", "num_tokens"]

    text = features["text"].string_stats
    assert features["text"].type == statistics_pb2.FeatureNameStatistics.STRING
    assert (text.common_stats.num_non_missing, text.common_stats.num_missing) == (12, 0)
    assert text.common_stats.min_num_values == 1
    assert text.common_stats.max_num_values == 1
    assert text.common_stats.tot_num_values == 12
    assert text.unique == 10
    assert [(top.value, top.frequency) for top in text.top_values] == [("a b", 3)]
    assert text.avg_length == pytest.approx(46 / 12)  # bytes: é has two, the wide space three
    assert not text.rank_histogram.buckets  # TFDV would take it for a domain

    label = features["label"].string_stats
    assert [
        (bucket.low_rank, bucket.high_rank, bucket.label, bucket.sample_count)
        for bucket in label.rank_histogram.buckets
    ] == [
        (0, 0, "y", 6),
        (1, 1, "x", 6),
    ]

    chars = features["num_chars"]
    assert chars.type == statistics_pb2.FeatureNameStatistics.INT
    assert chars.validation_derived_source.source_path[0].step == ["text"]

    stats = chars.num_stats
    assert (stats.min, stats.median, stats.max, stats.num_zeros) == (1, 3, 7, 0)
    assert stats.mean == pytest.approx(43 / 12)
    assert stats.std_dev == pytest.approx(math.sqrt(443) / 12)

    standard, quantiles = stats.histograms
    # Each bucket is 0.6 wide, from 1.
    num_rows = [bucket.sample_count for bucket in standard.buckets]
    assert num_rows == [1, 1, 0, 7, 0, 0, 1, 0, 0, 2]
    assert [bucket.high_value for bucket in quantiles.buckets] == [2, 3, 3, 3, 3, 3, 3, 5, 7, 7]
    assert {bucket.sample_count for bucket in quantiles.buckets} == {1.2}


def test_an_empty_split_has_its_features_with_no_rows(tmp_path: Path) -> None:
    statistics = statistics_of(
        write_spans(tmp_path / "examples", {1: {"train": TWENTY["train"]}}),
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
        write_spans(tmp_path / "examples", {1: rows}, "tokens"), tmp_path / "statistics"
    )

    train = statistics["splits"]["train"]
    assert train["num_repeated"] == 0  # ["A", "b c"] is not ["A", "b", "c"]
    assert train["tokens"]["top"][0] == {"value": "A", "count": 4}
    assert train["tokens"]["num_distinct"] == 4
    assert list(train["lengths"]) == ["num_tokens"]
    assert statistics["splits"]["eval"]["tokens"]["oov"]["rate"] == 0
    assert statistics["splits"]["test"]["num_missing"]["tokens"] == 1

    stats = dataset_of(tmp_path / "statistics", "train").features[0].string_stats
    assert stats.common_stats.min_num_values == 2
    assert stats.common_stats.max_num_values == 3
    assert stats.common_stats.tot_num_values == 7
    assert stats.avg_length == pytest.approx(9 / 7)


def test_sequences_have_their_numbers_by_dimension(tmp_path: Path) -> None:
    rows = {
        "train": [([[1.0, 5.0], [2.0, 5.0]], "x"), ([[-3.0, 5.0], [0.0, 5.0]], "y")],
        "eval": [([[1.0, 5.0], [2.0, 5.0]], "x")],
        "test": [],
    }

    statistics = statistics_of(
        write_spans(tmp_path / "examples", {1: rows}, "sequence", 2), tmp_path / "statistics"
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
    assert features["sequence"].common_stats.tot_num_values == 8
    assert features["sequence"].mean == 2.5
    assert features["sequence"].num_zeros == 1
    assert (features["dim"].min, features["dim"].max) == (2, 2)
    assert (features["num_steps"].min, features["num_steps"].common_stats.num_non_missing) == (2, 2)


def test_the_line_in_the_table(tmp_path: Path) -> None:
    examples = write_spans(tmp_path / "examples", {1: TWENTY})
    (tmp_path / "statistics").mkdir()
    figures = run(examples=examples, params=StatisticsGenParams(), output=tmp_path / "statistics")
    assert describe(figures) == (
        "20 rows, 2 classes; median 3 chars, 2 tokens; "
        "tokens unknown to train: 57.1% of eval, 16.7% of test; "
        "duplicates: 1 eval in train, 1 test in train, 1 test in eval; "
        "3 contents under several labels"
    )
