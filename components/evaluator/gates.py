"""The gates.

What a model has to pass to be blessed, each with its value, its threshold and its reason.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.evaluator import EvaluatorParams, baselines
from seqline.component import Figures

# {name, value, threshold, passed, reason}. passed: None where there is nothing to judge: no
# threshold, or nothing to compare with.
Gate = dict[str, Any]
# What differences of float64 may be off: a gain of exactly -0.05, as 0.7825 - 0.8325, is not
# refused for its last bits.
ROUNDING = 1e-9
# A value with its unit. Thresholds are said as the configuration has them.
Unit = Callable[[float], str]
# The part of alpha that is for all rows together; the slices share the rest. More than half: a loss
# everywhere is the likelier one.
OVERALL = 0.8


def judge(
    metric: Figures, compared: Mapping[str, float], params: EvaluatorParams, other: str = ""
) -> list[Gate]:
    """All gates, always in this order. metric.

    An evaluation's figures; compared: the baselines' accuracies.

    other: why the version that is served is not compared with, where it is another model.
    """
    linear = [value for name, value in compared.items() if name != baselines.MAJORITY]
    gain = metric["accuracy"] - compared[baselines.MAJORITY]
    over_linear = metric["accuracy"] - linear[0] if linear else None
    return [
        _finite(metric.get("num_not_finite", 0)),
        _floor(
            "accuracy", "accuracy", metric["accuracy"], share, "min_accuracy", params.min_accuracy
        ),
        _floor(
            "macro_f1", "macro F1", metric["macro_f1"], share, "min_macro_f1", params.min_macro_f1
        ),
        _ceiling(
            "cross_entropy",
            "cross-entropy",
            metric["cross_entropy"],
            nats,
            "max_cross_entropy",
            params.max_cross_entropy,
        ),
        _ceiling(
            "calibration",
            "expected calibration error",
            metric.get("ece"),
            share,
            "max_ece",
            params.max_ece,
        ),
        _floor(
            "gain_over_majority",
            "gain over the majority class",
            gain,
            share,
            "min_gain_over_majority",
            params.min_gain_over_majority,
        ),
        _over_linear(over_linear, params.min_gain_over_linear),
        _slices(metric.get("slices", []), params),
        against_served(metric.get("served"), params, other),
        slices_against_served(metric.get("served"), metric.get("slices", []), params, other),
    ]


def refusals(gates: Sequence[Gate]) -> list[str]:
    """Why the model must not be served; empty for a blessing."""
    return [gate["reason"] for gate in gates if gate["passed"] is False]


def _gate(
    name: str, value: float | None, threshold: float | None, passed: bool | None, reason: str
) -> Gate:
    return {
        "name": name,
        "value": value,
        "threshold": threshold,
        "passed": passed,
        "reason": reason,
    }


def share(value: float) -> str:
    """An accuracy, or a difference of two, as its threshold is set: a part of 1."""
    return f"{value + 0.0:.4f}"


def nats(value: float) -> str:
    """A cross-entropy."""
    return f"{value:.4f} nats"


def _finite(count: int) -> Gate:
    reason = (
        f"{count:,} rows have probabilities that are no numbers"
        if count
        else "all probabilities are numbers"
    )
    return _gate("finite", count, 0, not count, reason)


def _floor(
    name: str, what: str, value: float | None, unit: Unit, field: str, threshold: float | None
) -> Gate:
    if threshold is None or value is None:
        return _gate(
            name,
            value,
            threshold,
            None,
            f"{field} is not set" if threshold is None else f"there is no {what}",
        )
    passed = value >= threshold - ROUNDING
    return _gate(
        name,
        value,
        threshold,
        passed,
        f"{what} {unit(value)} {'reaches' if passed else 'is under'} {field} {threshold}",
    )


def _ceiling(
    name: str, what: str, value: float | None, unit: Unit, field: str, threshold: float | None
) -> Gate:
    if value is not None and not math.isfinite(value):
        return _gate(name, None, threshold, False, f"{what} {value} is not a number")
    if threshold is None or value is None:
        return _gate(
            name,
            value,
            threshold,
            None,
            f"{field} is not set" if threshold is None else f"there is no {what}",
        )
    passed = value <= threshold + ROUNDING
    return _gate(
        name,
        value,
        threshold,
        passed,
        f"{what} {unit(value)} is {'within' if passed else 'over'} {field} {threshold}",
    )


def _over_linear(value: float | None, threshold: float | None) -> Gate:
    if value is None and threshold is not None:
        reason = (
            "there is no linear model to compare with, and min_gain_over_linear asks for one: set"
            " baseline, install scikit-learn"
        )
        return _gate("gain_over_linear", None, threshold, False, reason)
    return _floor(
        "gain_over_linear",
        "gain over the linear model",
        value,
        share,
        "min_gain_over_linear",
        threshold,
    )


def floor_of(feature: str, value: str, floors: float | Mapping[str, float] | None) -> float | None:
    """The accuracy that a slice needs: its own, that of all slices by its feature, or none."""
    if isinstance(floors, Mapping):
        return floors.get(f"{feature}={value}", floors.get(feature))
    return floors


def _slices(slices: Sequence[Figures], params: EvaluatorParams) -> Gate:
    """The slice that is furthest under its threshold, or nearest above it."""
    if params.min_slice_accuracy is None:
        return _gate("slice_accuracy", None, None, None, "min_slice_accuracy is not set")
    judged = []
    for each in slices:
        floor = floor_of(each["feature"], each["value"], params.min_slice_accuracy)
        if each["judged"] and floor is not None:
            judged.append((each["accuracy"] - floor, each, floor))
    if not judged:
        floor = None if isinstance(params.min_slice_accuracy, dict) else params.min_slice_accuracy
        return _gate(
            "slice_accuracy",
            None,
            floor,
            None,
            f"no slice with a threshold has {params.min_slice_rows} rows",
        )
    _, worst, floor = min(judged, key=lambda each: each[0])
    passed = worst["accuracy"] >= floor - ROUNDING
    reason = (
        f"accuracy {share(worst['accuracy'])} of {worst['feature']}={worst['value']}"
        f" ({worst['num_rows']:,} rows) "
    )
    under = sum(margin < -ROUNDING for margin, _, _ in judged)
    reason += f"{'reaches' if passed else 'is under'} min_slice_accuracy {floor}"
    return _gate(
        "slice_accuracy",
        worst["accuracy"],
        floor,
        passed,
        reason + (f", as are {under - 1} others" if under > 1 else ""),
    )


def levels(num_slices: int, alpha: float) -> tuple[float, float]:
    """The levels of the comparison overall and of each slice's.

    Together they refuse by chance at most alpha (C. E. Bonferroni, 1936).
    """
    return (alpha * OVERALL, alpha * (1 - OVERALL) / num_slices) if num_slices else (alpha, 0.0)


def against_served(served: Figures | None, params: EvaluatorParams, other: str = "") -> Gate:
    """Whether the model is worse than the served version beyond chance, on all rows. served.

    See `components.evaluator.paired`.
    """
    allowed = params.max_loss_of_accuracy
    if served is None or allowed is None:
        reason = (
            "max_loss_of_accuracy is not set"
            if allowed is None
            else other or "no other version is served"
        )
        return _gate(
            "served_accuracy", served["loss_of_accuracy"] if served else None, allowed, None, reason
        )
    passed = served["p_value"] > served["level"]
    return _gate(
        "served_accuracy",
        served["loss_of_accuracy"],
        allowed,
        passed,
        _loss(served, passed, allowed, "accuracy", served["level"]),
    )


def slices_against_served(
    served: Figures | None, slices: Sequence[Figures], params: EvaluatorParams, other: str = ""
) -> Gate:
    """The same of the slice in which a loss is least likely chance."""
    name, allowed = "served_slice_accuracy", params.max_loss_of_accuracy
    judged = [each for each in slices if each["judged"] and each.get("served")]
    if served is None or allowed is None or not judged:
        reason = (
            "max_loss_of_accuracy is not set"
            if allowed is None
            else other or "no other version is served"
        )
        return _gate(
            name,
            None,
            allowed,
            None,
            (
                f"no slice has {params.min_slice_rows} rows"
                if served and allowed is not None
                else reason
            ),
        )
    worst = min(judged, key=lambda each: each["served"]["p_value"])
    found, level = worst["served"], served["slice_level"]
    passed = found["p_value"] > level
    what = f"accuracy of {worst['feature']}={worst['value']} ({worst['num_rows']:,} rows)"
    return _gate(
        name, found["loss_of_accuracy"], allowed, passed, _loss(found, passed, allowed, what, level)
    )


def _loss(found: Figures, passed: bool, allowed: float, what: str, level: float) -> str:
    """Whether a loss against the served version is beyond chance."""
    loss = found["loss_of_accuracy"]
    change = f"{share(abs(loss))} {'under' if loss > 0 else 'over'}" if loss else "equal to"
    verdict = "not beyond" if passed else "beyond"
    return (
        f"{what} is {change} the served version's ({found['num_lost']:,} rows lost,"
        f" {found['num_gained']:,} gained): {verdict} max_loss_of_accuracy {allowed} (p ="
        f" {found['p_value']:.2g}, level {level:.2g})"
    )
