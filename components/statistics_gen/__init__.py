"""What is in the Examples, in numbers.

Of each split, of each span, and of the newest span against those before it.

Reads Examples. Writes, for a window of spans:
  Split-<split>/FeatureStats.pb               tensorflow-metadata's DatasetFeatureStatisticsList,
                                              which TFDV opens
  spans/<number>/Split-<split>/FeatureStats.pb  the same of one span
  statistics.json                             all that has no place there: lengths, label histogram, tokens and characters with
                                              their OOV rates against train, rows that repeat within and across splits, texts
                                              under several labels, bad rows by problem, each with examples; for the window,
                                              its spans, and the newest span against the earlier ones

A text's tokens are, here, what white space separates after lower-casing (the transform has its own
tokeniser); `tokens` are as given; sequences have none. Contents are equal if their bytes are.

Every row is seen once, by a Beam job over file shards; a span that was counted once is never read
again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from seqline.component import Component, Figures, Params
from seqline.data.examples import Content
from seqline.data.span_cache import SpanCache
from seqline.storage import staging


class StatisticsGenParams(Params):
    num_top_values: int = Field(
        20, ge=1, description="how many of the most frequent texts, tokens and labels are named"
    )


def piece_path(span_key: str, params: StatisticsGenParams, span_cache: SpanCache) -> Path:
    """Where the piece of a span lies, finished or not yet there."""
    return span_cache.path(examples=span_key, **params.key_fields())


@contextmanager
def analyze(
    *,
    spans: Mapping[int, str],
    content: Content,
    dim: int | None,
    params: StatisticsGenParams,
    span_cache: SpanCache,
) -> Iterator[Any]:
    """A Beam PTransform over PCollection[ExampleShard] that makes the span_cache of those spans
    that have none; None if all have one.

    spans: span -> the key of its Examples. The span_cache become visible when the block ends well,
    so the job must have run by then.
    """
    with span_cache.making(
        {number: piece_path(key, params, span_cache) for number, key in spans.items()}
    ) as folders:
        if not folders:
            yield None
            return
        from components.statistics_gen import collect

        transform = collect.Collect(folders, content, dim, params.num_top_values)
        yield transform
        collect.finish(transform)


def run(
    *,
    examples: Path,
    params: StatisticsGenParams,
    output: Path,
    span_cache: SpanCache | None = None,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Reads the spans that have no piece yet, on Beam, and puts the window together.

    Raises DataError for Examples without a manifest or with a damaged shard.
    """
    from components.statistics_gen import window

    own = output / "span_cache"
    try:
        return window.build(examples, params, output, span_cache or SpanCache(own), beam_args)
    finally:
        staging.remove(own)


def describe(figures: Figures) -> str:
    rows = figures["num_rows"]
    lengths = ", ".join(
        f"{median:,} {name.removeprefix('num_')}"
        for name, median in figures["median_length"].items()
    )
    text = (
        f"{sum(rows.values()):,} rows, {figures['num_classes']} classes; median"
        f" {lengths or 'of nothing'}"
    )
    if rates := figures["token_oov_rate"]:
        text += "; tokens unknown to train: " + ", ".join(
            f"{rate:.1%} of {split}" for split, rate in rates.items() if rate is not None
        )
    if duplicates := {pair: count for pair, count in figures["num_duplicates"].items() if count}:
        text += "; duplicates: " + ", ".join(
            f"{count:,} {pair}" for pair, count in duplicates.items()
        )
    if figures["num_ambiguous_texts"]:
        text += f"; {figures['num_ambiguous_texts']:,} contents under several labels"
    return text


STATISTICS_GEN = Component(
    name="statistics_gen",
    inputs={"examples": "Examples"},
    output="Statistics",
    params=StatisticsGenParams,
    run=run,
    describe=describe,
    libraries=("tensorflow-metadata", "numpy", "pyarrow"),
    analyze=analyze,
    span_part=lambda span_cache, span_key, content, params: piece_path(
        span_key, params, span_cache
    ),
)
