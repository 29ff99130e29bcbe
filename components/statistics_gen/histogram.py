"""Counts of integers, and sums of floats that do not depend on their order.

Shards come in any order and any cut, but the same rows must give the same bytes. So only integers
are added up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

# A float32 or its square is a multiple of 2^-298; frexp's 53 bits below it reach to 2^-350.
UNIT_BITS = 350


@dataclass(frozen=True)
class Histogram:
    """The number of times that each of some integers occurs."""

    values: np.ndarray  # int64 [n], in ascending order
    counts: np.ndarray  # int64 [n]

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Histogram":
        return cls(*np.unique(numbers.astype(np.int64), return_counts=True))

    @classmethod
    def sum(cls, parts: "Sequence[Histogram]") -> "Histogram":
        if not parts:
            return cls.of(np.zeros(0))
        values, places = np.unique(
            np.concatenate([part.values for part in parts]), return_inverse=True
        )
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
        return cls(values, counts)

    @property
    def num(self) -> int:
        return int(self.counts.sum())

    def power_sum(self, power: int) -> int:
        """The sum of the numbers (1) or of their squares (2), exactly."""
        return sum(
            value**power * count
            for value, count in zip(self.values.tolist(), self.counts.tolist(), strict=True)
        )

    def rank(self, fraction: float) -> int:
        """The place in `values` of a quantile. The histogram must not be empty.

        The quantile is the smallest number that at least `fraction` of all numbers do not exceed.
        """
        # 0.7 * 10 is 7.000000000000001: the next number would be taken.
        rank = max(1, math.ceil(fraction * self.num - 1e-9))
        return int(np.searchsorted(np.cumsum(self.counts), rank))

    def to_json(self) -> list[list[int]]:
        return [self.values.tolist(), self.counts.tolist()]

    @classmethod
    def from_json(cls, lists: Any) -> "Histogram":
        return cls(*(np.array(numbers, np.int64) for numbers in lists))


def mean_and_std(num: int, total: int, squares: int, unit_bits: int = 0) -> tuple[float, float]:
    """The mean and the (population) standard deviation of some numbers.

    Args:
        num: how many they are.
        total: their sum, in multiples of 2^-unit_bits.
        squares: the sum of their squares, in multiples of 2^-unit_bits.
        unit_bits: 0 for integers.
    """
    mean = Fraction(total, num << unit_bits)
    variance = Fraction(squares, num << unit_bits) - mean * mean
    return float(mean), math.sqrt(variance)


def exact_sums(numbers: np.ndarray) -> list[int]:
    """The exact sum of each column, in multiples of 2^-UNIT_BITS.

    Args:
        numbers: float64 [n, dim]; each is a float32 or the square of one.
    """
    num_columns = numbers.shape[1]
    fractions, exponents = np.frexp(numbers)
    mantissas = (fractions * 2.0**53).astype(np.int64)
    lowest = int(exponents.min()) if numbers.size else 0
    highest = int(exponents.max()) if numbers.size else 0
    width = highest - lowest + 1
    places = (np.arange(num_columns) * width + (exponents - lowest)).ravel()

    # Halves of 27 bits: their sums in float64 stay below 2^53, so exact, for 2^26 numbers.
    assert numbers.size < 1 << 26, "a shard is bounded"
    high = np.bincount(places, (mantissas >> 27).ravel(), num_columns * width)
    low = np.bincount(places, (mantissas & (1 << 27) - 1).ravel(), num_columns * width)

    sums = [0] * num_columns
    for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
        column, exponent = divmod(place, width)
        mantissa = (int(high[place]) << 27) + int(low[place])
        sums[column] += mantissa << (exponent + lowest - 53 + UNIT_BITS)
    return sums


def float_keys(numbers: np.ndarray) -> np.ndarray:
    """The bins of float32s, none of them -0.0: their 16 leading bits, in the numbers' order.

    A bin is 2^-7 of its number wide.

    Returns:
        int64, of the shape of `numbers`.
    """
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return (np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)) >> 16).astype(np.int64)


def key_floats(keys: np.ndarray) -> np.ndarray:
    """The number of each bin that is nearest to zero: float64 [n]."""
    bits = keys.astype(np.uint32) << 16
    positive = bits ^ np.uint32(1 << 31)
    negative = ~bits & np.uint32(0xFFFF0000)
    return np.where(bits >> 31, positive, negative).view(np.float32).astype(np.float64)
