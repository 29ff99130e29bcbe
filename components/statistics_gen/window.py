"""The driver's side: makes the missing parts of spans, and puts a window of spans together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.statistics_gen import (
    StatisticsGenParams,
    analyze,
    part_path,
    protos,
    repeats,
    summary,
    table_figures,
    totals,
    vocabulary,
)
from components.statistics_gen.histogram import Histogram
from seqline.component import Figures
from seqline.data import features
from seqline.data.buckets import files_of
from seqline.data.examples import span_of
from seqline.data.manifest import Manifest, Span, read_manifest
from seqline.data.span_cache import SpanCache, link
from seqline.data.statistics import SpanStatistics
from seqline.storage import records
from seqline.storage.staging import local_copy

# The end of the names of tables' files.
TABLES = ".arrow"


def build(
    examples: Path,
    params: StatisticsGenParams,
    output: Path,
    span_cache: SpanCache,
    beam_args: Sequence[str],
) -> Figures:
    """Writes the artifact; see `components.statistics_gen`."""
    manifest = read_manifest(examples)
    _make_parts(manifest, examples, params, span_cache, beam_args)
    stored = {
        span.number: part_path(span_cache, span.key, manifest.content, params)
        for span in manifest.spans
    }
    # Without the tables, which are nearly all of it: those of several spans are read in steps.
    parts = {number: local_copy(part, leave_out=TABLES) for number, part in stored.items()}
    spans: dict[int, dict[str, Any]] = {
        number: dict(records.read(SpanStatistics, part / features.STATISTICS, totals.way_out(part)))
        for number, part in parts.items()
    }
    for span in manifest.spans:
        _check_counts(span, spans[span.number], parts[span.number])

    split_totals = {
        split: totals.total_of_many(totals.read(part / f"{split}.json") for part in parts.values())
        for split in features.SPLITS
    }
    if len(spans) == 1:
        window = next(iter(spans.values()))
    else:
        window = summary.summarise(
            table_figures.of_window(list(stored.values()), params.num_top_values),
            split_totals,
            manifest.content,
            manifest.dim,
            params.num_top_values,
        )

    protos.write(window, split_totals, output, params.num_top_values)
    for number, part in parts.items():
        _link_feature_stats(part, output / "spans" / str(number))

    # None also if no span has a row in train: then nothing is compared.
    has_chars = split_totals[features.TRAIN].chars is not None
    statistics = {
        **window,
        **_read_and_bad(manifest, list(parts)),
        "spans": {
            str(number): {**span, **_read_and_bad(manifest, [number])}
            for number, span in spans.items()
        },
        "newest": _compare_newest(stored, parts, has_chars) if len(spans) > 1 else None,
    }

    text = json.dumps(statistics, ensure_ascii=False, indent=2) + "\n"
    (output / features.STATISTICS).write_text(text, encoding="utf-8")
    return _figures(statistics)


def _make_parts(
    manifest: Manifest,
    examples: Path,
    params: StatisticsGenParams,
    span_cache: SpanCache,
    beam_args: Sequence[str],
) -> None:
    spans = {span.number: span.key for span in manifest.spans}
    with analyze(
        spans=spans,
        content=manifest.content,
        dim=manifest.dim,
        params=params,
        span_cache=span_cache,
    ) as collect:
        if collect is None:
            return

        # Beam takes seconds to import, and is needed only when a part is missing.
        from seqline.data.read_examples import examples_of
        from seqline.jobs.beam import job

        paths = [
            path
            for path in sorted(examples.glob("Split-*/data_tfrecord-*.gz"))
            if span_of(path) in collect.folders
        ]

        what = (manifest.content, manifest.dim, manifest.is_weighted)
        with (
            examples_of(paths, *what, span_cache.list_folder()) as shards,
            job(beam_args) as pipeline,
        ):
            _ = pipeline | "Examples" >> shards | "Statistics" >> collect


def _check_counts(span: Span, statistics: dict[str, Any], part: Path) -> None:
    ingested = {split: sum(span.num_rows.get(split, {}).values()) for split in features.SPLITS}
    counted = {split: figures["num_rows"] for split, figures in statistics["splits"].items()}
    assert counted == ingested, (
        f"span {span.number} has {ingested} rows, and {counted} were counted in {part}"
    )


def _link_feature_stats(part: Path, target: Path) -> None:
    for path in part.glob(f"Split-*/{features.FEATURE_STATS}"):
        (target / path.parent.name).mkdir(parents=True)
        link(path, target / path.parent.name / path.name)


def _read_and_bad(manifest: Manifest, numbers: Sequence[int]) -> dict[str, Any]:
    spans = [span for span in manifest.spans if span.number in numbers]
    problems = sorted({problem for span in spans for problem in span.num_bad})
    num_bad = {problem: sum(span.num_bad.get(problem, 0) for span in spans) for problem in problems}
    return {"num_read": sum(span.num_read for span in spans), "num_bad": num_bad}


def _compare_newest(
    stored: Mapping[int, Path], parts: Mapping[int, Path], has_chars: bool
) -> dict[str, Any]:
    """Compares the train rows of the newest span with those of the earlier spans.

    It compares repeated rows and, if there are any, tokens and characters.

    Args:
        stored: span -> its part.
        parts: span -> its part without tables, on this machine.
        has_chars: whether the train rows of the window have tokens and characters.
    """
    newest = max(parts)
    earlier = sorted(set(parts) - {newest})
    sides = {"earlier": earlier, "newest": [newest]}

    def tables(side: str, kind: str) -> list[list[Path]]:
        return [files_of(stored[span], f"{features.TRAIN}.{kind}") for span in sides[side]]

    newest_rows = tables("newest", table_figures.ROWS)[0]
    compared: dict[str, Any] = {
        "span": newest,
        "earlier": earlier,
        "repeated": repeats.repeated(newest_rows, tables("earlier", table_figures.ROWS)),
    }
    if not has_chars:
        return compared

    tokens = {side: tables(side, table_figures.TOKENS) for side in sides}
    chars = {}
    for side, side_spans in sides.items():
        side_totals = totals.total_of_many(
            totals.read(parts[span] / f"{features.TRAIN}.json") for span in side_spans
        )
        chars[side] = side_totals.chars or Histogram.sum([])

    compared["tokens"] = vocabulary.of_tokens(tokens, 0)["newest"]["oov"]
    compared["chars"] = vocabulary.of_chars(chars, 0)["newest"]["oov"]
    return compared


def _figures(statistics: dict[str, Any]) -> Figures:
    splits = statistics["splits"]
    tokens = {split: figures["tokens"] for split, figures in splits.items() if figures["tokens"]}
    lengths = splits[features.TRAIN]["lengths"]
    return {
        "num_rows": {split: figures["num_rows"] for split, figures in splits.items()},
        "num_classes": len(splits[features.TRAIN]["labels"]),
        "median_length": {name: length["quantiles"]["0.5"] for name, length in lengths.items()},
        "token_oov_rate": {
            split: figures["oov"]["rate"] for split, figures in tokens.items() if figures["oov"]
        },
        "num_duplicates": {
            f"{split} in {other}": duplicates["num_rows"]
            for split, figures in splits.items()
            for other, duplicates in figures["duplicates"].items()
        },
        "num_ambiguous_texts": statistics["ambiguous"]["num_texts"],
        "weights": {
            split: {name: figures["weights"][name] for name in ("sum", "min", "max", "num_zeros")}
            for split, figures in splits.items()
            if "weights" in figures
        },
    }
