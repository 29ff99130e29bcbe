"""What a candidate must keep to beside its answers.

Size, latency, memory, time to load. Imports nothing heavy.
"""

from collections.abc import Sequence
from typing import Any

from components.infra_validator import InfraValidatorParams
from seqline.component import Figures

# {name, value, threshold, passed, reason}, as the evaluator's. passed: None where there is nothing
# to judge.
Gate = dict[str, Any]


def gate(
    name: str, value: float | None, threshold: float | None, passed: bool | None, reason: str
) -> Gate:
    return {
        "name": name,
        "value": value,
        "threshold": threshold,
        "passed": passed,
        "reason": reason,
    }


def refusals(gates: Sequence[Gate]) -> list[str]:
    """Why the model must not be pushed; empty for a blessing."""
    return [each["reason"] for each in gates if each["passed"] is False]


def size(num_bytes: int, params: InfraValidatorParams) -> Gate:
    """The files of the SavedModel together."""
    return _limit(
        "size", "size of the model", num_bytes / 1e6, "max_model_mb", params.max_model_mb, "MB"
    )


def limits(measured: Figures, params: InfraValidatorParams) -> list[Gate]:
    """What a running server was measured by."""
    return [
        _limit(
            "median_latency",
            "median latency",
            measured["p50_seconds"],
            "max_p50_seconds",
            params.max_p50_seconds,
            "s",
        ),
        _limit(
            "latency",
            "99th percentile of the latency",
            measured["p99_seconds"],
            "max_p99_seconds",
            params.max_p99_seconds,
            "s",
        ),
        _limit("memory", "peak memory", measured["rss_mb"], "max_rss_mb", params.max_rss_mb, "MB"),
        _limit(
            "load_time",
            "time to load",
            measured["load_seconds"],
            "max_load_seconds",
            params.max_load_seconds,
            "s",
        ),
    ]


def _limit(
    name: str, what: str, value: float | None, field: str, limit: float | None, unit: str
) -> Gate:
    if limit is None:
        return gate(name, value, None, None, f"{field} is not set")
    if value is None:
        return gate(name, None, limit, False, f"{what} could not be measured; set {field} to null")
    passed = value <= limit
    return gate(
        name,
        value,
        limit,
        passed,
        f"{what} {value:.4g} {unit} is {'within' if passed else 'over'} {field} {limit:g}",
    )
