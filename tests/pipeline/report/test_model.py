"""What the evaluator found, as a report shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluator import metrics
from pipeline.report import model


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_intervals_are_the_evaluators(hits: int, total: int) -> None:
    hits = min(hits, total)
    assert model.wilson_interval(hits / total, total) == pytest.approx(
        metrics.wilson_interval(hits, total), abs=1e-12
    )
