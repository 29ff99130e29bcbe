"""Statistics of the Examples: of splits, of spans, and of the newest span against the others.

Reads Examples. Writes, for a window of spans:
  Split-<split>/FeatureStats.pb
      tensorflow-metadata's DatasetFeatureStatisticsList, which TFDV opens
  spans/<number>/Split-<split>/FeatureStats.pb
      the same for one span
  statistics.json
      what FeatureStats.pb has no place for: lengths, label histogram, tokens and characters with
      their OOV rates against train, rows that repeat within and across splits, texts under several
      labels, bad rows by problem, each with examples; for the window, for its spans, and for the
      newest span against the earlier ones

The tokens of a text are here what white space separates after lower-casing; the transform has its
own tokeniser. Given `tokens` are taken as they are, and sequences have none. Contents are equal if
their bytes are.

A Beam job over file shards reads every row once. A span that was counted is never read again.
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
        20, ge=1, description="how many of the most frequent texts, tokens and labels are listed"
    )


def part_path(
    span_cache: SpanCache, span_key: str, content: str, params: StatisticsGenParams
) -> Path:
    """The path of a span's part in the span cache, whether it exists or not."""
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
    """A Beam PTransform over PCollection[ExampleShard] that makes the missing parts of spans.

    It is None if every span has its part. The parts become visible when the block ends without an
    error, so the job must have run by then.

    Args:
        spans: span -> the key of its Examples.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        params: of the statistics.
        span_cache: where the parts are kept.
    """
    paths = {number: part_path(span_cache, key, content, params) for number, key in spans.items()}
    with span_cache.making(paths) as folders:
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
    """Reads the spans that have no part yet, on Beam, and puts the window together.

    Raises:
        DataError: the Examples have no manifest, or a damaged shard.
    """
    from components.statistics_gen import window

    own_cache = output / "span_cache"
    try:
        return window.build(examples, params, output, span_cache or SpanCache(own_cache), beam_args)
    finally:
        staging.remove(own_cache)


def describe(figures: Figures) -> str:
    num_rows = figures["num_rows"]
    lengths = ", ".join(
        f"{median:,} {name.removeprefix('num_')}"
        for name, median in figures["median_length"].items()
    )
    text = f"{sum(num_rows.values()):,} rows, {figures['num_classes']} classes; median "
    text += lengths or "of nothing"

    if rates := figures["token_oov_rate"]:
        shown = [f"{rate:.1%} of {split}" for split, rate in rates.items() if rate is not None]
        text += f"; tokens unknown to train: {', '.join(shown)}"

    duplicates = [f"{count:,} {pair}" for pair, count in figures["num_duplicates"].items() if count]
    if duplicates:
        text += f"; duplicates: {', '.join(duplicates)}"

    if figures["num_ambiguous_texts"]:
        text += f"; {figures['num_ambiguous_texts']:,} contents under several labels"

    if weights := figures.get("weights", {}).get("train"):
        text += (
            f"; weights of train {weights['min']:g} to {weights['max']:g}, {weights['sum']:g} in"
            " all"
        )
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
    span_parts=lambda span_cache, span_key, content, params: [
        part_path(span_cache, span_key, content, params)
    ],
)
