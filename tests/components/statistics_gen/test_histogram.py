"""Sums that are exact, and histograms that add up."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.statistics_gen.histogram import (
    UNIT_BITS,
    Histogram,
    exact_sums,
    float_keys,
    key_floats,
)
from components.statistics_gen.summary import coarse

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
