"""The limits that a candidate has to keep besides its answers: size, latency, memory, time to load.

Imports nothing heavy.
"""

from components.infra_validator import InfraValidatorParams
from seqline.component import Figures
from seqline.gates import Gate


def size(num_bytes: int, params: InfraValidatorParams) -> Gate:
    """Judges the size of all files of the SavedModel."""
    return _limit(
        "size", "size of the model", num_bytes / 1e6, "max_model_mb", params.max_model_mb, "MB"
    )


def limits(measured: Figures, params: InfraValidatorParams) -> list[Gate]:
    """Judges what was measured of a running server."""
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
    name: str, quantity: str, value: float | None, setting: str, limit: float | None, unit: str
) -> Gate:
    """Refuses a value over its limit, and one that could not be measured but has a limit."""
    if value is None and limit is not None:
        reason = f"{quantity} could not be measured; set {setting} to null"
        return Gate(name, None, limit, False, reason)
    return Gate.at_most(
        name, quantity, value, setting, limit, lambda value: f"{value:.4g} {unit}", "{:g}".format
    )
