"""Thresholds, and the sentences about values compared with them."""

import json
from collections.abc import Callable

import pytest

from seqline.gates import Gate, refusals


def test_a_threshold_that_is_met_exactly_passes() -> None:
    assert 0.7825 - 0.8325 < -0.05  # float64
    assert 0.1 + 0.2 > 0.3
    assert Gate.at_least("gain", "gain", 0.7825 - 0.8325, "min_gain", -0.05).passed is True
    assert Gate.at_least("gain", "gain", -0.0501, "min_gain", -0.05).passed is False
    assert Gate.at_most("ece", "error", 0.1 + 0.2, "max_ece", 0.3).passed is True
    assert Gate.at_most("ece", "error", 0.3001, "max_ece", 0.3).passed is False


def test_the_reason_names_the_value_and_the_setting() -> None:
    def seconds(value: float) -> str:
        return f"{value:.2g} s"

    assert [
        Gate.at_least("gain", "gain", 0.5, "min_gain", 0.25).reason,
        Gate.at_least("gain", "gain", 0.125, "min_gain", 0.25).reason,
        Gate.at_most("load", "time to load", 2.0, "max_load", 3.0, seconds).reason,
        Gate.at_most("load", "time to load", 4.0, "max_load", 3.0, seconds, "{:g}".format).reason,
    ] == [
        "gain 0.5 reaches min_gain 0.25",
        "gain 0.125 is under min_gain 0.25",
        "time to load 2 s is within max_load 3.0",
        "time to load 4 s is over max_load 3",
    ]


@pytest.mark.parametrize("make", [Gate.at_least, Gate.at_most])
def test_nothing_is_judged_without_a_threshold_or_a_value(make: Callable[..., Gate]) -> None:
    assert make("ece", "error", 0.5, "max_ece", None) == Gate(
        "ece", 0.5, None, None, "max_ece is not set"
    )
    assert make("ece", "error", None, "max_ece", 0.5) == Gate(
        "ece", None, 0.5, None, "there is no error"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_a_number_refuses_also_without_a_threshold(value: float) -> None:
    gate = Gate.at_most("loss", "loss", value, "max_loss", None)
    assert gate == Gate("loss", None, None, False, f"loss {value} is not a number")


def test_only_a_gate_that_refuses_is_a_refusal_and_json_keeps_the_order_of_the_fields() -> None:
    gates = [
        Gate("a", 1, 0, True, "passes"),
        Gate("b", 1, 2, False, "refuses"),
        Gate.not_judged("c", "judges nothing"),
    ]
    assert refusals(gates) == ["refuses"]
    assert json.dumps(gates[1].to_json()) == (
        '{"name": "b", "value": 1, "threshold": 2, "passed": false, "reason": "refuses"}'
    )
