"""The comparison with the served version."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.paired import binomial_tail, loss_interval, p_value


def tail(least: int, num: int, probability: float) -> float:
    return sum(
        comb(num, k) * probability**k * (1 - probability) ** (num - k)
        for k in range(max(least, 0), num + 1)
    )


@settings(deadline=None)
@given(num=st.integers(1, 200), share=st.floats(0, 1), probability=st.floats(0.01, 0.99))
def test_the_tail_of_the_binomial(num: int, share: float, probability: float) -> None:
    least = round(share * num)
    assert binomial_tail(least, num, probability) == pytest.approx(
        tail(least, num, probability), rel=1e-9, abs=1e-12
    )


def test_p_values_of_losses() -> None:
    # Without an allowance McNemar's test: of 13 rows 10 lost, P(X > 10) + P(X = 10) / 2 = (78 + 13
    # + 1 + 286 / 2) / 2^13.
    assert p_value(10, 3, 500, 0.0) == pytest.approx(235 / 8192, abs=1e-15)
    assert p_value(3, 10, 500, 0.0) == pytest.approx(1 - 235 / 8192, abs=1e-12)
    assert p_value(4, 0, 500, 0.0) == pytest.approx(1 / 32, abs=1e-15)
    assert p_value(7, 7, 500, 0.0) == pytest.approx(0.5, abs=1e-12)
    assert p_value(0, 0, 500, 0.0) == 1
    # 1 % of 500 rows may be lost, 5 more than gained: of 13 rows (13 + 5) / 2 are, on average, and
    # 10 are no surprise.
    assert p_value(10, 3, 500, 0.01) == pytest.approx(
        (tail(10, 13, 9 / 13) + tail(11, 13, 9 / 13)) / 2, rel=1e-12
    )
    assert p_value(10, 3, 500, 0.5) == 1
    assert p_value(600_000, 400_000, 10**7, 0.0) < 1e-300


def test_interval_of_a_loss() -> None:
    # Half a row more in each of four cells: 10.5 and 3.5 of 502.
    low, high = loss_interval(10, 3, 500)
    half = 1.959963984540054 * np.sqrt(14 - 49 / 502) / 502
    assert (low, high) == pytest.approx((7 / 502 - half, 7 / 502 + half), abs=1e-12)
