"""From sums and tables to statistics.json: the figures of a window or of one of its spans."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from components.statistics_gen import row_tables, vocabulary
from components.statistics_gen.histogram import UNIT_BITS, Histogram, key_floats, mean_and_std
from components.statistics_gen.table_figures import TableFigures
from components.statistics_gen.totals import Numbers, Totals
from seqline.data import features
from seqline.data.examples import Content

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def summarise(
    figures: TableFigures,
    split_totals: Mapping[str, Totals],
    content: Content,
    dim: int | None,
    num_top: int,
) -> dict[str, Any]:
    """The statistics of some spans together.

    Args:
        figures: of the spans' tables.
        split_totals: split -> the sum of the spans' Totals.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        num_top: how many of the most frequent values are named.

    Returns:
        "content", "dim", "splits" (split -> its figures), and "ambiguous" (contents under several
        labels, in all splits together).
    """
    labels = sorted({label for totals in split_totals.values() for label in totals.labels} | {""})
    digests = row_tables.digests(label.encode() for label in labels).tolist()
    repeated = figures.repeats.to_json(dict(zip(digests, labels, strict=True)))

    tokens: dict[str, Any] = {}
    chars: dict[str, Any] = {}
    if content != features.SEQUENCE:
        tokens = figures.tokens.to_json()
        empty = Histogram.sum([])
        histograms = {split: totals.chars or empty for split, totals in split_totals.items()}
        chars = vocabulary.of_chars(histograms, num_top)

    splits = {}
    for split, totals in split_totals.items():
        splits[split] = {
            **_split(totals, content, repeated["splits"][split]),
            "tokens": tokens.get(split),
            "chars": chars.get(split),
        }
    return {"content": content, "dim": dim, "splits": splits, "ambiguous": repeated["ambiguous"]}


def _split(totals: Totals, content: Content, repeated: dict[str, Any]) -> dict[str, Any]:
    numbers = totals.numbers
    dimensions = None
    if numbers:
        dimensions = [_dimension(numbers, place) for place in range(len(numbers.sums))]

    return {
        "num_rows": totals.num_rows,
        "num_missing": {
            content: totals.num_missing.get("content", 0),
            features.LABEL: totals.num_missing.get("label", 0),
        },
        **repeated,
        "labels": totals.labels,
        "label_examples": {label: totals.examples[f"label {label}"][2] for label in totals.labels},
        "lengths": {
            name: _length(name, histogram, totals)
            for name, histogram in totals.lengths.items()
            if histogram.num
        },
        "dimensions": dimensions,
        **({"weights": _weights(totals.weights)} if totals.weights else {}),
    }


def _weights(weights: Numbers) -> dict[str, Any]:
    return {"sum": float(Fraction(weights.sums[0], 1 << UNIT_BITS)), **_dimension(weights, 0)}


def _length(name: str, histogram: Histogram, totals: Totals) -> dict[str, Any]:
    mean, std = mean_and_std(histogram.num, histogram.power_sum(1), histogram.power_sum(2))
    return {
        "min": int(histogram.values[0]),
        "max": int(histogram.values[-1]),
        "mean": mean,
        "std": std,
        "quantiles": {
            str(fraction): int(histogram.values[histogram.rank(fraction)]) for fraction in QUANTILES
        },
        "histogram": coarse(histogram),
        "shortest": totals.examples[f"shortest {name}"][2],
        "longest": totals.examples[f"longest {name}"][2],
    }


def coarse(histogram: Histogram) -> list[list[int]]:
    """A histogram in bins that are the same for every histogram, so that any two can be compared.

    The bins begin at 0, 1, 2, 4, 5, 8, 11, 16, 22, ...: two for each doubling.

    Returns:
        [the lowest length of the bin, its rows] of every bin that is not empty.
    """
    highest = int(histogram.values[-1]) if histogram.num else 0
    edges = [0, *sorted({math.isqrt(2**power) for power in range(2 * highest.bit_length() + 1)})]
    places = np.searchsorted(edges, histogram.values, "right") - 1
    counts = np.bincount(places, histogram.counts, len(edges)).astype(int).tolist()
    return [[edge, count] for edge, count in zip(edges, counts, strict=True) if count]


def _dimension(numbers: Numbers, place: int) -> dict[str, Any]:
    mean, std = mean_and_std(numbers.num, numbers.sums[place], numbers.squares[place], UNIT_BITS)
    low = numbers.minimum[place]
    high = numbers.maximum[place]
    bins = numbers.of_dimension(place)
    values = np.clip(key_floats(bins.values), low, high).tolist()
    return {
        "mean": mean,
        "std": std,
        "min": low,
        "max": high,
        "num_zeros": numbers.num_zeros[place],
        "quantiles": {str(fraction): values[bins.rank(fraction)] for fraction in QUANTILES},
    }
