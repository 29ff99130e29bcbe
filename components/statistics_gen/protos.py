"""FeatureStats.pb.

The statistics of a split as tensorflow-metadata's DatasetFeatureStatisticsList, as TFDV fills and
reads it.

One dataset, named as the split, with the features of the Examples (text, tokens or sequence; label)
and, marked as derived, `num_chars`, `num_tokens`, `num_steps`, `dim` and `sequence[<dimension>]`,
so that a schema can hold bounds for them.

Fields as in TFDV's basic_stats_generator and top_k_uniques_stats_generator: population standard
deviation, average length in bytes, 10 buckets a histogram, equal counts in descending order of
their values. A rank histogram is written only where it holds every value: TFDV takes its values for
the domain. Top values of text are those that occur twice or more, shortened.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import FeatureNameStatistics

from components.statistics_gen.histogram import UNIT_BITS, Histogram, key_floats, mean_and_std
from components.statistics_gen.totals import Numbers, Totals
from seqline.data import features

DERIVER = "seqline"
NUM_BUCKETS = 10
# More labels than these are no classes.
MAX_RANKS = 1000


def write(
    statistics: Mapping[str, Any], found: Mapping[str, Totals], root: Path, num_top: int
) -> None:
    """Writes Split-<split>/FeatureStats.pb under `root`: the same bytes for the same statistics."""
    for split, totals in found.items():
        path = root / f"Split-{split}" / features.FEATURE_STATS
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            dataset(split, statistics, totals, num_top).SerializeToString(deterministic=True)
        )


def dataset(
    split: str, statistics: Mapping[str, Any], totals: Totals, num_top: int
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of one split. An empty split has its features, too, with no rows."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    written = result.datasets.add(name=split, num_examples=totals.num_rows)
    if statistics["content"] == features.SEQUENCE:
        _sequence(written, totals, statistics["dim"])
    else:
        _strings(written, statistics["content"], statistics["splits"][split], totals)
    _labels(
        _add(written, features.LABEL, FeatureNameStatistics.STRING).string_stats, totals, num_top
    )
    for name, histogram in totals.lengths.items():
        _integers(
            _add(written, name, FeatureNameStatistics.INT, statistics["content"]).num_stats,
            totals,
            histogram,
        )
    return result


def _add(
    written: statistics_pb2.DatasetFeatureStatistics,
    name: str,
    kind: int,
    source: str | None = None,
) -> FeatureNameStatistics:
    """A new feature; with a source, one that is not in the Examples but derived."""
    feature = written.features.add(type=kind)
    feature.path.step.append(name)
    if source:
        feature.validation_derived_source.deriver_name = DERIVER
        feature.validation_derived_source.source_path.add().step.append(source)
    return feature


def _strings(
    written: statistics_pb2.DatasetFeatureStatistics,
    content: str,
    figures: Mapping[str, Any],
    totals: Totals,
) -> None:
    stats = _add(written, content, FeatureNameStatistics.STRING).string_stats
    if content == features.TOKENS:
        _common(stats.common_stats, totals, "content", totals.lengths.get("num_tokens"))
        stats.unique, top = figures["tokens"]["num_distinct"], figures["tokens"]["top"]
    else:
        _common(stats.common_stats, totals, "content")
        stats.unique, top = figures["num_distinct"], figures["top_values"]
    stats.avg_length = totals.num_bytes / max(1, stats.common_stats.tot_num_values)
    for value in top:
        stats.top_values.add(value=value["value"], frequency=value["count"])


def _labels(stats: statistics_pb2.StringStatistics, totals: Totals, num_top: int) -> None:
    _common(stats.common_stats, totals, features.LABEL)
    stats.unique = len(totals.labels)
    num_bytes = sum(len(label.encode()) * count for label, count in totals.labels.items())
    stats.avg_length = num_bytes / max(1, stats.common_stats.tot_num_values)
    ranked = sorted(totals.labels.items(), key=lambda entry: (entry[1], entry[0]), reverse=True)
    for label, count in ranked[:num_top]:
        stats.top_values.add(value=label, frequency=count)
    for rank, (label, count) in enumerate(ranked if len(ranked) <= MAX_RANKS else []):
        stats.rank_histogram.buckets.add(
            low_rank=rank, high_rank=rank, label=label, sample_count=count
        )


def _sequence(written: statistics_pb2.DatasetFeatureStatistics, totals: Totals, dim: int) -> None:
    steps = totals.lengths.get("num_steps", Histogram.sum([]))
    stats = _add(written, features.SEQUENCE, FeatureNameStatistics.FLOAT).num_stats
    _common(stats.common_stats, totals, "content", Histogram(steps.values * dim, steps.counts))
    dims = _add(written, "dim", FeatureNameStatistics.INT, features.SEQUENCE).num_stats
    _integers(
        dims, totals, Histogram(np.array([dim]), np.array([steps.num])) if steps.num else steps
    )
    if (numbers := totals.numbers) is None:
        return
    _floats(stats, numbers, range(dim))
    for place in range(dim):
        stats = _add(
            written, f"{features.SEQUENCE}[{place}]", FeatureNameStatistics.FLOAT, features.SEQUENCE
        ).num_stats
        _common(stats.common_stats, totals, "content", steps)
        _floats(stats, numbers, [place])


def _common(
    stats: statistics_pb2.CommonStatistics,
    totals: Totals,
    name: str,
    values: Histogram | None = None,
) -> None:
    """Presence and number of values. values.

    How many values the rows have that have any; None where each has one.
    """
    stats.num_missing = totals.num_missing.get(name, 0)
    stats.num_non_missing = totals.num_rows - stats.num_missing
    if not stats.num_non_missing:
        return
    values = values or Histogram(np.array([1]), np.array([stats.num_non_missing]))
    stats.min_num_values, stats.max_num_values = int(values.values[0]), int(values.values[-1])
    stats.tot_num_values = values.power_sum(1)
    stats.avg_num_values = stats.tot_num_values / stats.num_non_missing
    _quantiles(stats.num_values_histogram, values.values, values)


def _integers(
    stats: statistics_pb2.NumericStatistics, totals: Totals, histogram: Histogram
) -> None:
    """One integer for each row with content."""
    _common(stats.common_stats, totals, "content")
    if not histogram.num:
        return
    stats.mean, stats.std_dev = mean_and_std(
        histogram.num, histogram.power_sum(1), histogram.power_sum(2)
    )
    stats.num_zeros = int(histogram.counts[histogram.values == 0].sum())
    _distribution(stats, histogram.values, histogram)


def _floats(stats: statistics_pb2.NumericStatistics, numbers: Numbers, dims: Sequence[int]) -> None:
    """The numbers of some dimensions together."""
    sums, squares = (
        sum(column[place] for place in dims) for column in (numbers.sums, numbers.squares)
    )
    stats.mean, stats.std_dev = mean_and_std(numbers.num * len(dims), sums, squares, UNIT_BITS)
    stats.num_zeros = sum(numbers.num_zeros[place] for place in dims)
    bins = Histogram.sum([numbers.of_dimension(place) for place in dims])
    lowest, highest = (
        min(numbers.minimum[place] for place in dims),
        max(numbers.maximum[place] for place in dims),
    )
    values = np.clip(key_floats(bins.values), lowest, highest)
    values[0], values[-1] = lowest, highest
    _distribution(stats, values, bins)


def _distribution(
    stats: statistics_pb2.NumericStatistics, values: np.ndarray, histogram: Histogram
) -> None:
    """Minimum, maximum, median and both histograms. values.

    What the histogram's entries stand for, in ascending order.
    """
    stats.min, stats.max = float(values[0]), float(values[-1])
    stats.median = float(values[histogram.rank(0.5)])
    standard = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    if stats.min == stats.max:
        standard.buckets.add(low_value=stats.min, high_value=stats.max, sample_count=histogram.num)
    else:
        counts, edges = np.histogram(values, NUM_BUCKETS, weights=histogram.counts)
        for low, high, count in zip(
            edges.tolist(), edges[1:].tolist(), counts.tolist(), strict=False
        ):
            standard.buckets.add(low_value=low, high_value=high, sample_count=count)
    _quantiles(stats.histograms.add(), values, histogram)


def _quantiles(written: statistics_pb2.Histogram, values: np.ndarray, histogram: Histogram) -> None:
    """Buckets with equal shares of the numbers, between their quantiles."""
    written.type = statistics_pb2.Histogram.QUANTILES
    low = float(values[0])
    for number in range(1, NUM_BUCKETS + 1):
        high = float(values[histogram.rank(number / NUM_BUCKETS)])
        written.buckets.add(
            low_value=low, high_value=high, sample_count=histogram.num / NUM_BUCKETS
        )
        low = high
