"""The time as every record writes it."""

from datetime import UTC, datetime


def now(timespec: str = "milliseconds") -> str:
    """The time in UTC as ISO 8601, such as `2026-01-31T12:00:00.000+00:00`."""
    return datetime.now(UTC).isoformat(timespec=timespec)
