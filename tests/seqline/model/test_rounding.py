"""How far apart two answers are, and how far they may be."""

import math

import numpy as np
import pytest

from seqline.model import rounding


def test_the_difference_is_the_largest_change_of_log_odds() -> None:
    one = np.array([[0.5, 0.5], [0.2, 0.8], [0.25, 0.75]], np.float32)
    other = np.array([[0.25, 0.75], [0.2, 0.8], [math.nan, 0.75]], np.float32)
    differences = rounding.log_odds_differences(one, other)
    assert differences[:2] == pytest.approx([math.log(3), 0])
    assert math.isnan(differences[2])


def test_a_bias_shows_however_sure_a_network_is() -> None:
    logits = np.array([[0.0, 1.0, -1.0], [30.0, 0.0, -5.0], [-2.0, 60.0, 0.0]])
    for off in (1e-3, 1e-2):
        changed = logits + np.array([0, off, 0])
        differences = rounding.log_odds_differences(softmax(logits), softmax(changed))
        assert differences == pytest.approx([off, off, off], rel=1e-3)
    assert np.abs(softmax(logits)[1] - softmax(logits + np.array([0, 1e-3, 0]))[1]).max() < 1e-12


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def test_what_is_below_the_smallest_probability_is_as_good_as_nothing() -> None:
    differences = rounding.log_odds_differences(
        np.array([[1.0, 0.0], [1.0, 1e-29]]), np.array([[1.0, 1e-35], [1.0, 0.0]])
    )
    assert differences == pytest.approx([0, math.log(10)])


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (0.0, 5e-5),
        (4e-7, 5e-5),
        (2e-6, 1e-4),
        (1.23e-6, 6.2e-5),
        (1.01e-4, 5.1e-3),
        (1e-3, 1e-2),
        (0.7, 1e-2),
    ],
)
def test_the_tolerance_is_fifty_times_the_noise_within_limits(
    noise: float, expected: float
) -> None:
    assert rounding.tolerance(noise) == expected


def test_where_a_tolerance_comes_from() -> None:
    assert rounding.origin(1e-7) == "what float32 may do to any network"
    assert (
        rounding.origin(1.2e-6)
        == "50 times the network's own float32 rounding on these rows, 1.2e-06"
    )
    assert (
        rounding.origin(0.1)
        == "the most that rounding may do to log-odds; this network's own is 1.0e-01"
    )


def test_margins() -> None:
    differences = rounding.margins(
        np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), np.array([0, 2])
    )
    assert differences == pytest.approx([0, math.log(2)])
