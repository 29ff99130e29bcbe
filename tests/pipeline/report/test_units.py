"""Figures are shown as text with units."""

import pytest

from pipeline.report import units


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.963, "96.3%"),
        (1.0, "100.0%"),
        (0.99961, "99.96%"),
        (0.9999999, ">99.9999%"),
        (0.0, "0.0%"),
        (0.0004, "0.04%"),
        (1e-9, "<0.0001%"),
    ],
)
def test_a_share_is_not_rounded_to_all_or_nothing(value: float, shown: str) -> None:
    assert units.share(value) == shown


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (units.points(0.007), "+0.7 points"),
        (units.points(-0.0004), "0.0 points"),
        (units.points(-0.0123), "-1.2 points"),
        (units.points_interval((-0.012, 0.025)), "-1.2 to +2.5 points"),
        (units.share_interval((0.94, 0.977)), "94.0% to 97.7%"),
        (units.nats(0.1324), "0.132 nats"),
        (units.rows(1), "1 row"),
        (units.rows(2225), "2,225 rows"),
        (units.of_gate("served_accuracy", 0.02), "-2.0 points"),
        (units.of_gate("size", 12.34), "12.3 MB"),
        (units.of_gate("latency", 0.011), "11 ms"),
        (units.of_gate("parity", 2e-7), "2.0e-07 log-odds"),
        (units.of_gate("anomalies", 2), "2 errors"),
        (units.of_gate("accuracy", None), "-"),
        (units.of_gate("of another version", 0.5), "0.500"),
    ],
)
def test_units(told: str, shown: str) -> None:
    assert told == shown
