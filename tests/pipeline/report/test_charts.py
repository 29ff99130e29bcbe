"""Axes of charts."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import charts


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_round_and_within(low: float, span: float) -> None:
    ticks = charts.ticks(low, low + span)
    assert len(ticks) <= 12
    assert all(low - span * 1e-6 - 1e-9 <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in ticks)
