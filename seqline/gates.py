"""Gates: the thresholds that a model or its data has to keep to go on. Imports nothing heavy."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

# How far a value may miss its threshold. In float64, 0.7825 - 0.8325 is a little less than -0.05: a
# difference that meets its threshold exactly must not fail for its last bits.
ROUNDING = 1e-9

# A number as a sentence shows it, with its unit.
Show = Callable[[float], str]


@dataclass(frozen=True)
class Gate:
    """One threshold, what was measured against it, and the verdict.

    Attributes:
        name: The gate's name, such as `accuracy`.
        value: The measured value, or None if there is none.
        threshold: The value to keep, or None if the configuration sets none.
        passed: The verdict, or None if the gate judges nothing: it has no threshold, or there is
            nothing to compare.
        reason: One sentence for a person. It is stored with the verdict.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool | None
    reason: str

    @classmethod
    def not_judged(
        cls, name: str, reason: str, value: float | None = None, threshold: float | None = None
    ) -> "Gate":
        """A gate that neither passes nor refuses."""
        return cls(name, value, threshold, None, reason)

    @classmethod
    def at_least(
        cls,
        name: str,
        quantity: str,
        value: float | None,
        setting: str,
        threshold: float | None,
        show: Show = str,
    ) -> "Gate":
        """Passes if the value reaches the threshold.

        Args:
            name: The gate's name.
            quantity: What was measured, as the reason calls it.
            value: The measured value, or None if there is none.
            setting: The parameter that holds the threshold.
            threshold: The smallest value that passes, or None to judge nothing.
            show: Writes the value with its unit.
        """
        if threshold is None or value is None:
            return cls.not_judged(name, _missing(quantity, setting, threshold), value, threshold)

        passed = value >= threshold - ROUNDING
        verdict = "reaches" if passed else "is under"
        reason = f"{quantity} {show(value)} {verdict} {setting} {threshold}"
        return cls(name, value, threshold, passed, reason)

    @classmethod
    def at_most(
        cls,
        name: str,
        quantity: str,
        value: float | None,
        setting: str,
        threshold: float | None,
        show: Show = str,
        show_threshold: Show = str,
    ) -> "Gate":
        """Passes if the value is within the threshold; see `at_least`. Refuses NaN and infinity."""
        if value is not None and not math.isfinite(value):
            return cls(name, None, threshold, False, f"{quantity} {value} is not a number")
        if threshold is None or value is None:
            return cls.not_judged(name, _missing(quantity, setting, threshold), value, threshold)

        passed = value <= threshold + ROUNDING
        verdict = "within" if passed else "over"
        reason = f"{quantity} {show(value)} is {verdict} {setting} {show_threshold(threshold)}"
        return cls(name, value, threshold, passed, reason)

    def to_json(self) -> dict[str, Any]:
        """The gate as artifacts store it, with its keys in this order."""
        return asdict(self)


def _missing(quantity: str, setting: str, threshold: float | None) -> str:
    return f"{setting} is not set" if threshold is None else f"there is no {quantity}"


def refusals(gates: Iterable[Gate]) -> list[str]:
    """The reasons of the gates that refuse. An empty list lets the model or its data go on."""
    return [gate.reason for gate in gates if gate.passed is False]
