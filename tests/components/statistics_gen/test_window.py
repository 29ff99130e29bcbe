"""The same rows give the same Statistics, however they are cut, and a span is read only once."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from components.statistics_gen import StatisticsGenParams, analyze
from seqline.data.examples import Content
from seqline.data.manifest import read_manifest
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError
from seqline.jobs.beam import job
from tests.support.examples import TWENTY, Splits, make_shard, statistics_of, write_spans

PARAMS = StatisticsGenParams()


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("content", ["text", "tokens", "sequence"])
def test_the_same_rows_give_the_same_bytes_in_whatever_shards(
    tmp_path: Path, content: Content
) -> None:
    def made(text: str) -> Any:
        if content == "sequence":  # sums of these depend on their order in floating point
            return [[len(text) / 3, 1e8 / 7], [ord(text[0]) / 7, -1e8 / 7]]
        return text.split() if content == "tokens" else text

    splits = {name: [(made(text), label) for text, label in rows] for name, rows in TWENTY.items()}
    outputs = []
    for number, shard_rows in enumerate((1000, 3)):
        examples = write_spans(
            tmp_path / f"examples-{number}",
            {1: splits},
            content,
            2 if content == "sequence" else None,
            shard_rows,
        )

        statistics_of(examples, tmp_path / f"statistics-{number}")
        outputs.append(files(tmp_path / f"statistics-{number}"))

    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == [
        *[f"Split-{name}/FeatureStats.pb" for name in ("eval", "test", "train")],
        *[f"spans/1/Split-{name}/FeatureStats.pb" for name in ("eval", "test", "train")],
        "statistics.json",
    ]


def test_a_window_is_the_sum_of_its_spans(tmp_path: Path) -> None:
    parts = {
        number: {name: rows[number - 1 :: 2] for name, rows in TWENTY.items()} for number in (1, 2)
    }
    whole = statistics_of(
        write_spans(tmp_path / "whole", {7: TWENTY}), tmp_path / "whole-statistics"
    )

    window = statistics_of(write_spans(tmp_path / "parts", parts), tmp_path / "parts-statistics")
    for name in ("splits", "ambiguous", "num_read"):
        assert window[name] == whole[name]
    assert files(tmp_path / "whole-statistics" / "Split-train") == files(
        tmp_path / "parts-statistics" / "Split-train"
    )
    assert window["spans"]["1"]["splits"]["train"]["num_rows"] == 6

    # Train of span 2: "a b", "a c", "C d", "a(wide)b c", "dd", "b";
    # of span 1: "a b", "a b", "b c", "é b", "a a a a", "a b c d".
    newest = window["newest"]
    assert (newest["span"], newest["earlier"]) == (2, [1])
    assert newest["repeated"] == {"num_rows": 1, "examples": ["a b"]}
    assert (newest["tokens"]["num"], newest["tokens"]["rate"]) == (1, 1 / 11)  # dd


def test_only_a_span_without_a_part_is_read(tmp_path: Path) -> None:
    spans: dict[int, Splits] = {1: TWENTY, 2: {name: rows[:2] for name, rows in TWENTY.items()}}
    span_cache = SpanCache(tmp_path / "span_cache", "salt")
    statistics_of(
        write_spans(tmp_path / "first", {1: TWENTY}),
        tmp_path / "first-statistics",
        span_cache=span_cache,
    )

    both = write_spans(tmp_path / "both", spans)
    for path in both.glob("Split-*/data_tfrecord-00001-*"):
        path.write_bytes(b"not read again")

    window = statistics_of(both, tmp_path / "both-statistics", span_cache=span_cache)
    assert {name: split["num_rows"] for name, split in window["splits"].items()} == {
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
    """Another job counts the rows that it reads, as example_gen does.

    Shards of other spans are ignored, and the parts exist when the block has ended.
    """
    span_cache = SpanCache(tmp_path / "span_cache")
    examples = write_spans(tmp_path / "examples", {1: TWENTY})
    key = read_manifest(examples).spans[0].key
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
    assert shared == statistics_of(write_spans(tmp_path / "again", {1: TWENTY}), tmp_path / "alone")


def test_a_job_that_fails_leaves_no_part(tmp_path: Path) -> None:
    examples = write_spans(tmp_path / "examples", {1: TWENTY})
    next(examples.glob("Split-train/*")).write_bytes(b"damaged")
    with pytest.raises(DataError, match="is not whole"):
        statistics_of(
            examples, tmp_path / "statistics", span_cache=SpanCache(tmp_path / "span_cache")
        )
    assert not list((tmp_path / "span_cache").iterdir())
