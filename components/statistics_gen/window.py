"""The driver's side: makes the span_cache that are missing and puts a window of spans together."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.statistics_gen import (
    StatisticsGenParams,
    analyze,
    piece_path,
    protos,
    repeats,
    summary,
    totals,
    vocabulary,
)
from components.statistics_gen.histogram import Histogram
from components.statistics_gen.totals import Totals
from seqline.component import Figures
from seqline.data import features
from seqline.data.examples import Manifest, Span, read_manifest, span_of
from seqline.data.span_cache import SpanCache, link
from seqline.storage.staging import local_copy


def build(
    examples: Path,
    params: StatisticsGenParams,
    output: Path,
    span_cache: SpanCache,
    beam_args: Sequence[str],
) -> Figures:
    """Writes the artifact; see `components.statistics_gen`."""
    manifest = read_manifest(examples)
    _make_pieces(manifest, examples, params, span_cache, beam_args)
    folders = {
        span.number: local_copy(piece_path(span.key, params, span_cache)) for span in manifest.spans
    }
    spans = {
        number: json.loads((folder / features.STATISTICS).read_text(encoding="utf-8"))
        for number, folder in folders.items()
    }
    for span in manifest.spans:
        _check_counts(span, spans[span.number], folders[span.number])
    found = {
        split: totals.total([totals.read(folder / f"{split}.json") for folder in folders.values()])
        for split in features.SPLITS
    }
    if len(spans) == 1:
        window = next(iter(spans.values()))
    else:
        window = summary.summarise(
            list(folders.values()), found, manifest.content, manifest.dim, params.num_top_values
        )
    protos.write(window, found, output, params.num_top_values)
    for number, folder in folders.items():
        _take_over(folder, output / "spans" / str(number))
    statistics = {
        **window,
        **_read_and_bad(manifest, list(folders)),
        "spans": {
            str(number): {**span, **_read_and_bad(manifest, [number])}
            for number, span in spans.items()
        },
        "newest": _compare_newest(folders, spans, found) if len(spans) > 1 else None,
    }
    (output / features.STATISTICS).write_text(
        json.dumps(statistics, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    return _figures(statistics)


def _make_pieces(
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
        from seqline.data.read_examples import ReadExamples
        from seqline.jobs.beam import job

        paths = [
            path
            for path in sorted(examples.glob("Split-*/data_tfrecord-*.gz"))
            if span_of(path) in collect.folders
        ]
        with job(beam_args) as pipeline:
            _ = (
                pipeline
                | ReadExamples(paths, manifest.content, manifest.dim)
                | "Statistics" >> collect
            )


def _check_counts(span: Span, statistics: dict[str, Any], piece: Path) -> None:
    ingested = {split: sum(span.num_rows.get(split, {}).values()) for split in features.SPLITS}
    counted = {split: figures["num_rows"] for split, figures in statistics["splits"].items()}
    assert counted == ingested, (
        f"span {span.number} has {ingested} rows, and {counted} were counted in {piece}"
    )


def _take_over(piece: Path, target: Path) -> None:
    for path in piece.glob(f"Split-*/{features.FEATURE_STATS}"):
        (target / path.parent.name).mkdir(parents=True)
        link(path, target / path.parent.name / path.name)


def _read_and_bad(manifest: Manifest, numbers: Sequence[int]) -> dict[str, Any]:
    spans = [span for span in manifest.spans if span.number in numbers]
    problems = sorted({problem for span in spans for problem in span.num_bad})
    num_bad = {problem: sum(span.num_bad.get(problem, 0) for span in spans) for problem in problems}
    return {"num_read": sum(span.num_read for span in spans), "num_bad": num_bad}


def _compare_newest(
    folders: dict[int, Path], spans: dict[int, Any], found: dict[str, Totals]
) -> dict[str, Any]:
    """The train rows of the newest span against those of the spans before it.

    Repeated rows, tokens and characters.
    """
    newest = max(folders)
    earlier = sorted(set(folders) - {newest})
    sides = {"earlier": [folders[number] for number in earlier], "newest": [folders[newest]]}
    rows = {
        side: [folder / f"{features.TRAIN}.rows" for folder in side_folders]
        for side, side_folders in sides.items()
    }
    compared: dict[str, Any] = {
        "span": newest,
        "earlier": earlier,
        "repeated": repeats.repeated(rows["newest"], rows["earlier"]),
    }
    if found[features.TRAIN].chars is not None:
        tokens = {
            side: [folder / f"{features.TRAIN}.tokens" for folder in side_folders]
            for side, side_folders in sides.items()
        }
        chars = {
            side: (
                totals.total(
                    [totals.read(folder / f"{features.TRAIN}.json") for folder in side_folders]
                ).chars
                or Histogram.sum([])
            )
            for side, side_folders in sides.items()
        }
        compared["tokens"] = vocabulary.of_tokens(tokens, 0)["newest"]["oov"]
        compared["chars"] = vocabulary.of_chars(chars, 0)["newest"]["oov"]
    return compared


def _figures(statistics: dict[str, Any]) -> Figures:
    splits = statistics["splits"]
    tokens = {split: figures["tokens"] for split, figures in splits.items() if figures["tokens"]}
    return {
        "num_rows": {split: figures["num_rows"] for split, figures in splits.items()},
        "num_classes": len(splits[features.TRAIN]["labels"]),
        "median_length": {
            name: length["quantiles"]["0.5"]
            for name, length in splits[features.TRAIN]["lengths"].items()
        },
        "token_oov_rate": {
            split: figures["oov"]["rate"] for split, figures in tokens.items() if figures["oov"]
        },
        "num_duplicates": {
            f"{split} in {other}": found["num_rows"]
            for split, figures in splits.items()
            for other, found in figures["duplicates"].items()
        },
        "num_ambiguous_texts": statistics["ambiguous"]["num_texts"],
    }
