"""Writes FeatureStats.pb: a split's statistics as TFDV fills and reads them.

It is tensorflow-metadata's DatasetFeatureStatisticsList of one dataset, named as the split, with
the features of the Examples (text, tokens or sequence; label; weight, if any) and, marked as
derived, `num_chars`, `num_tokens`, `num_steps`, `dim` and `sequence[<dimension>]`, so that a schema
can hold bounds for them.

Fields are as in TFDV's basic_stats_generator and top_k_uniques_stats_generator: population standard
deviation, average length in bytes, 10 buckets in a histogram, equal counts in descending order of
their values. A rank histogram is written only if it holds every value, because TFDV takes its
values for the domain. Top values of text are those that occur twice or more, shortened.
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
# More labels than these are not classes.
MAX_RANKS = 1000


def write(
    statistics: Mapping[str, Any], split_totals: Mapping[str, Totals], root: Path, num_top: int
) -> None:
    """Writes Split-<split>/FeatureStats.pb under `root`: the same bytes for the same statistics.

    Args:
        statistics: as `summary.summarise` returns them.
        split_totals: split -> its Totals.
        root: the folder to write into.
        num_top: how many of the most frequent labels are named.
    """
    for split, totals in split_totals.items():
        path = root / f"Split-{split}" / features.FEATURE_STATS
        path.parent.mkdir(exist_ok=True)
        stats = dataset(split, statistics, totals, num_top)
        path.write_bytes(stats.SerializeToString(deterministic=True))


def dataset(
    split: str, statistics: Mapping[str, Any], totals: Totals, num_top: int
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of one split. An empty split has its features with no rows."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    written = result.datasets.add(name=split, num_examples=totals.num_rows)
    if statistics["content"] == features.SEQUENCE:
        _sequence(written, totals, statistics["dim"])
    else:
        _strings(written, statistics["content"], statistics["splits"][split], totals)

    label = _add(written, features.LABEL, FeatureNameStatistics.STRING)
    _labels(label.string_stats, totals, num_top)

    if totals.weights:
        weight = _add(written, features.WEIGHT, FeatureNameStatistics.FLOAT).num_stats
        _common(weight.common_stats, totals, features.WEIGHT)
        _floats(weight, totals.weights, [0])

    for name, histogram in totals.lengths.items():
        length = _add(written, name, FeatureNameStatistics.INT, statistics["content"])
        _integers(length.num_stats, totals, histogram)
    return result


def _add(
    written: statistics_pb2.DatasetFeatureStatistics,
    name: str,
    kind: int,
    source: str | None = None,
) -> FeatureNameStatistics:
    """Adds a feature. With a source, it is marked as derived from that feature of the Examples."""
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
        stats.unique = figures["tokens"]["num_distinct"]
        top = figures["tokens"]["top"]
    else:
        _common(stats.common_stats, totals, "content")
        stats.unique = figures["num_distinct"]
        top = figures["top_values"]

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

    if len(ranked) > MAX_RANKS:
        return

    for rank, (label, count) in enumerate(ranked):
        stats.rank_histogram.buckets.add(
            low_rank=rank, high_rank=rank, label=label, sample_count=count
        )


def _sequence(written: statistics_pb2.DatasetFeatureStatistics, totals: Totals, dim: int) -> None:
    steps = totals.lengths.get("num_steps", Histogram.sum([]))
    stats = _add(written, features.SEQUENCE, FeatureNameStatistics.FLOAT).num_stats
    _common(stats.common_stats, totals, "content", Histogram(steps.values * dim, steps.counts))

    # Every time step has `dim` numbers.
    dims = Histogram(np.array([dim]), np.array([steps.num])) if steps.num else steps
    dim_feature = _add(written, "dim", FeatureNameStatistics.INT, features.SEQUENCE)
    _integers(dim_feature.num_stats, totals, dims)

    numbers = totals.numbers
    if numbers is None:
        return

    _floats(stats, numbers, range(dim))
    for place in range(dim):
        name = f"{features.SEQUENCE}[{place}]"
        feature = _add(written, name, FeatureNameStatistics.FLOAT, features.SEQUENCE)
        _common(feature.num_stats.common_stats, totals, "content", steps)
        _floats(feature.num_stats, numbers, [place])


def _common(
    stats: statistics_pb2.CommonStatistics,
    totals: Totals,
    name: str,
    values: Histogram | None = None,
) -> None:
    """Fills in presence and number of values.

    Args:
        stats: to fill in.
        totals: of the split.
        name: "content" or "label".
        values: how many values each row has that has any; None if each has one.
    """
    stats.num_missing = totals.num_missing.get(name, 0)
    stats.num_non_missing = totals.num_rows - stats.num_missing
    if not stats.num_non_missing:
        return

    values = values or Histogram(np.array([1]), np.array([stats.num_non_missing]))
    stats.min_num_values = int(values.values[0])
    stats.max_num_values = int(values.values[-1])
    stats.tot_num_values = values.power_sum(1)
    stats.avg_num_values = stats.tot_num_values / stats.num_non_missing
    _quantiles(stats.num_values_histogram, values.values, values)


def _integers(
    stats: statistics_pb2.NumericStatistics, totals: Totals, histogram: Histogram
) -> None:
    """Fills in the statistics of a feature with one integer for each row that has content."""
    _common(stats.common_stats, totals, "content")
    if not histogram.num:
        return
    stats.mean, stats.std_dev = mean_and_std(
        histogram.num, histogram.power_sum(1), histogram.power_sum(2)
    )
    stats.num_zeros = int(histogram.counts[histogram.values == 0].sum())
    _distribution(stats, histogram.values, histogram)


def _floats(stats: statistics_pb2.NumericStatistics, numbers: Numbers, dims: Sequence[int]) -> None:
    """Fills in the statistics of some dimensions of sequences, taken together."""
    sums = sum(numbers.sums[place] for place in dims)
    squares = sum(numbers.squares[place] for place in dims)
    stats.mean, stats.std_dev = mean_and_std(numbers.num * len(dims), sums, squares, UNIT_BITS)
    stats.num_zeros = sum(numbers.num_zeros[place] for place in dims)

    bins = Histogram.sum([numbers.of_dimension(place) for place in dims])
    lowest = min(numbers.minimum[place] for place in dims)
    highest = max(numbers.maximum[place] for place in dims)
    values = np.clip(key_floats(bins.values), lowest, highest)
    values[0] = lowest
    values[-1] = highest
    _distribution(stats, values, bins)


def _distribution(
    stats: statistics_pb2.NumericStatistics, values: np.ndarray, histogram: Histogram
) -> None:
    """Fills in minimum, maximum, median and both histograms.

    Args:
        stats: to fill in.
        values: the number that each entry of the histogram stands for, in ascending order [n].
        histogram: with n entries.
    """
    stats.min = float(values[0])
    stats.max = float(values[-1])
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
    """Writes buckets with equal shares of the numbers, between their quantiles."""
    written.type = statistics_pb2.Histogram.QUANTILES
    low = float(values[0])
    for number in range(1, NUM_BUCKETS + 1):
        high = float(values[histogram.rank(number / NUM_BUCKETS)])
        written.buckets.add(
            low_value=low, high_value=high, sample_count=histogram.num / NUM_BUCKETS
        )
        low = high
