"""The gates that a model has to pass to be blessed.

Each has a value, a threshold and a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.evaluator import EvaluatorParams, baselines, thresholds
from seqline.component import Figures
from seqline.gates import ROUNDING, Gate

# The part of alpha for all rows together; the slices share the rest. It is more than half, because
# a loss is likelier everywhere than in one slice.
OVERALL = 0.8


def judge(
    figures: Figures, accuracies: Mapping[str, float], params: EvaluatorParams, other: str = ""
) -> list[Gate]:
    """Judges a model. The gates are always the same, in the same order.

    Args:
        figures: The figures of the evaluation.
        accuracies: The accuracy of each baseline by its name.
        params: The thresholds.
        other: Why the model is not compared with the served version, if that is another model.
    """
    linear = [accuracy for name, accuracy in accuracies.items() if name != baselines.MAJORITY]
    over_majority = figures["accuracy"] - accuracies[baselines.MAJORITY]
    over_linear = figures["accuracy"] - linear[0] if linear else None
    served = figures.get("served")
    slices = [*figures.get("slices", []), *figures.get("other_slices", [])]

    return [
        _finite(figures.get("num_not_finite", 0)),
        Gate.at_least(
            "accuracy", "accuracy", figures["accuracy"], "min_accuracy", params.min_accuracy, share
        ),
        Gate.at_least(
            "macro_f1", "macro F1", figures["macro_f1"], "min_macro_f1", params.min_macro_f1, share
        ),
        Gate.at_most(
            "cross_entropy",
            "cross-entropy",
            figures["cross_entropy"],
            "max_cross_entropy",
            params.max_cross_entropy,
            nats,
        ),
        Gate.at_most(
            "calibration",
            "expected calibration error",
            figures.get("ece"),
            "max_ece",
            params.max_ece,
            share,
        ),
        Gate.at_least(
            "gain_over_majority",
            "gain over the majority class",
            over_majority,
            "min_gain_over_majority",
            params.min_gain_over_majority,
            share,
        ),
        _over_linear(over_linear, params.min_gain_over_linear),
        _slices(slices, params),
        against_served(served, params, other),
        slices_against_served(served, slices, params, other),
    ]


def share(value: float) -> str:
    """Shows an accuracy, or a difference of two, as a part of 1, as thresholds are set."""
    return f"{value + 0.0:.4f}"  # + 0.0: a difference may be -0.0


def nats(value: float) -> str:
    """Shows a cross-entropy."""
    return f"{value:.4f} nats"


def _finite(num_not_finite: int) -> Gate:
    if num_not_finite:
        reason = f"{num_not_finite:,} rows have probabilities that are no numbers"
    else:
        reason = "all probabilities are numbers"
    return Gate("finite", num_not_finite, 0, not num_not_finite, reason)


def _over_linear(gain: float | None, threshold: float | None) -> Gate:
    name = "gain_over_linear"
    if gain is None and threshold is not None:
        reason = (
            "there is no linear model to compare with, and min_gain_over_linear asks for one: "
            "set baseline, install scikit-learn"
        )
        return Gate(name, None, threshold, False, reason)

    return Gate.at_least(
        name, "gain over the linear model", gain, "min_gain_over_linear", threshold, share
    )


def floor_of(feature: str, value: str, floors: float | Mapping[str, float] | None) -> float | None:
    """The accuracy that a slice has to reach: its own, its feature's, or None."""
    if isinstance(floors, Mapping):
        return floors.get(f"{feature}={value}", floors.get(feature))
    return floors


def _slices(slices: Sequence[Figures], params: EvaluatorParams) -> Gate:
    """Judges the slice that is furthest below its threshold, or nearest above it."""
    name, floors = "slice_accuracy", params.min_slice_accuracy
    if floors is None:
        return Gate.not_judged(name, "min_slice_accuracy is not set")
    if reason := thresholds.without_rows(params, slices):
        return Gate(name, None, None, False, reason)

    judged = []
    for of_slice in slices:
        floor = floor_of(of_slice["feature"], of_slice["value"], floors)
        if of_slice["judged"] and floor is not None:
            judged.append((of_slice["accuracy"] - floor, of_slice, floor))

    if not judged:
        reason = f"no slice with a threshold has {params.min_slice_rows} rows"
        return Gate.not_judged(
            name, reason, threshold=None if isinstance(floors, Mapping) else floors
        )

    _, worst, floor = min(judged, key=lambda of_slice: of_slice[0])
    gate = Gate.at_least(
        name,
        "accuracy",
        worst["accuracy"],
        "min_slice_accuracy",
        floor,
        lambda accuracy: (
            f"{share(accuracy)} of {worst['feature']}={worst['value']} ({worst['num_rows']:,} rows)"
        ),
    )

    num_under = sum(margin < -ROUNDING for margin, _, _ in judged)
    if num_under > 1:
        gate = replace(gate, reason=f"{gate.reason}, as are {num_under - 1} others")
    return gate


def levels(num_slices: int, alpha: float) -> tuple[float, float]:
    """The significance levels of the comparison on all rows and of the one on each slice.

    Together they refuse by chance at a rate of alpha at most (C. E. Bonferroni, 1936).
    """
    if not num_slices:
        return alpha, 0.0
    return alpha * OVERALL, alpha * (1 - OVERALL) / num_slices


def against_served(served: Figures | None, params: EvaluatorParams, other: str = "") -> Gate:
    """Refuses a model that is worse than the served version on all rows, beyond chance.

    Args:
        served: The comparison, see `components.evaluator.paired`, or None if there is none.
        params: The accuracy that may be lost.
        other: Why there is no comparison, if the served version is another model.
    """
    name, allowed = "served_accuracy", params.max_loss_of_accuracy
    if served is None or allowed is None:
        loss = served["loss_of_accuracy"] if served else None
        return Gate.not_judged(name, _why_not_compared(allowed, other), loss, allowed)

    return _loss(name, served, allowed, "accuracy", served["level"])


def slices_against_served(
    served: Figures | None, slices: Sequence[Figures], params: EvaluatorParams, other: str = ""
) -> Gate:
    """Judges the slice in which a loss against the served version is least likely chance.

    Args:
        served: The comparison on all rows, or None if there is none.
        slices: The figures of each slice, with its comparison.
        params: The accuracy that may be lost, and the rows that a slice needs.
        other: Why there is no comparison, if the served version is another model.
    """
    name, allowed = "served_slice_accuracy", params.max_loss_of_accuracy
    if served is None or allowed is None:
        return Gate.not_judged(name, _why_not_compared(allowed, other), threshold=allowed)

    judged = [of_slice for of_slice in slices if of_slice["judged"] and of_slice.get("served")]
    if not judged:
        reason = f"no slice has {params.min_slice_rows} rows"
        return Gate.not_judged(name, reason, threshold=allowed)

    worst = min(judged, key=lambda of_slice: of_slice["served"]["p_value"])
    quantity = f"accuracy of {worst['feature']}={worst['value']} ({worst['num_rows']:,} rows)"
    return _loss(name, worst["served"], allowed, quantity, served["slice_level"])


def _why_not_compared(allowed: float | None, other: str) -> str:
    if allowed is None:
        return "max_loss_of_accuracy is not set"
    return other or "no other version is served"


def _loss(name: str, compared: Figures, allowed: float, quantity: str, level: float) -> Gate:
    """Refuses a loss against the served version that is significant at a level."""
    loss = compared["loss_of_accuracy"]
    passed = compared["p_value"] > level

    change = "equal to"
    if loss:
        change = f"{share(abs(loss))} {'under' if loss > 0 else 'over'}"

    reason = (
        f"{quantity} is {change} the served version's ({compared['num_lost']:,} rows lost,"
        f" {compared['num_gained']:,} gained): {'not beyond' if passed else 'beyond'}"
        f" max_loss_of_accuracy {allowed} (p = {compared['p_value']:.2g}, level {level:.2g})"
    )
    return Gate(name, loss, allowed, passed, reason)
