"""Which runs `seqline history` lists, and in which order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.report import verdict
from seqline.errors import UserError
from seqline.suggest import suggestion

# Column -> the field of an entry that it shows.
COLUMNS = {
    "when": "when",
    "run": "run",
    "model": "model",
    "verdict": "verdict",
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "cross_entropy": "cross_entropy",
    "served": "gain",
    "version": "version",
    "took": "seconds",
}
# Of the others the greatest comes first.
FIRST_TO_LAST = ("run", "model", "verdict", "cross_entropy", "took")
# What happens without a run.
EVENTS = ("promote", "rollback")


@dataclass(frozen=True)
class Filter:
    """Which entries to list.

    Attributes:
        verdicts: Only entries that ended so; () for all.
        since, until: Only those that began at or after, and before, these times.
        min_accuracy: Only those with at least this accuracy.
        settings: (name, value) of settings that a run must have had.
    """

    verdicts: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_accuracy: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def is_empty(self) -> bool:
        return self == Filter()

    def holds(self, entry: dict[str, Any]) -> bool:
        """Whether an entry of `pipeline.report.history` is to be listed."""
        when = datetime.fromisoformat(entry["when"]) if entry["when"] else None
        if self.verdicts and entry["verdict"] not in self.verdicts:
            return False
        if self.since and not (when and _utc(when) >= self.since):
            return False
        if self.until and not (when and _utc(when) < self.until):
            return False
        if self.min_accuracy is not None:
            accuracy = entry["accuracy"]
            if accuracy is None or accuracy < self.min_accuracy:
                return False

        settings = entry["settings"]
        return all(name in settings and settings[name] == value for name, value in self.settings)


def make_filter(
    verdicts: Sequence[str],
    since: str | None,
    until: str | None,
    min_accuracy: float | None,
    settings: Sequence[str],
) -> Filter:
    """The filter that the options of the command describe.

    Raises:
        UserError: An option cannot be what it says.
    """
    known = [*verdict.TONES, "damaged", *EVENTS]
    for name in verdicts:
        if name not in known:
            raise UserError(
                f"--verdict {name!r} does not exist; verdicts are {', '.join(known)}."
                f"{suggestion(name, known)}"
            )

    return Filter(
        tuple(verdicts),
        _time("--since", since),
        _time("--until", until),
        min_accuracy,
        tuple(_setting(given) for given in settings),
    )


def _time(option: str, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        return _utc(datetime.fromisoformat(given))
    except ValueError:
        raise UserError(
            f"{option} {given!r} is no date; write 2026-01-31 or 2026-01-31T18:00 (UTC)."
        ) from None


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _setting(given: str) -> tuple[str, Any]:
    """(name, value) of NAME=VALUE, whose value is JSON, or else a text."""
    from pipeline.config import Config

    name, has_value, value = given.partition("=")
    sections = {
        section: getattr(info.annotation, "model_fields", {})
        for section, info in Config.model_fields.items()
    }
    known = [f"{section}.{field}" for section, fields in sections.items() for field in fields]
    if not has_value or name not in known:
        problem = "has no value" if not has_value else "names no setting"
        raise UserError(
            f"--where {given!r} {problem}; write it as trainer.rnn_units=128."
            f"{suggestion(name, known)}"
        )
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def in_order(
    entries: Sequence[dict[str, Any]], column: str, is_reversed: bool = False
) -> list[dict[str, Any]]:
    """The entries by a column: times and figures from the best or newest, texts from A to Z.

    Entries without a value come last, in either direction.

    Raises:
        UserError: There is no such column.
    """
    if column not in COLUMNS:
        raise UserError(
            f"--sort {column!r} is no column; columns are {', '.join(COLUMNS)}."
            f"{suggestion(column, list(COLUMNS))}"
        )

    field = COLUMNS[column]
    given = [entry for entry in entries if entry[field] not in (None, "")]
    lacking = [entry for entry in entries if entry[field] in (None, "")]
    is_falling = (column not in FIRST_TO_LAST) != is_reversed
    return sorted(given, key=lambda entry: entry[field], reverse=is_falling) + lacking
