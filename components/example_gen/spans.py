"""Spans in the names of files: `{SPAN}`, `{VERSION}`, `{YYYY}`, `{MM}` and `{DD}` in a pattern.

As in TFX (tfx.components.example_gen.utils): {SPAN} is an integer, {SPAN:3} one of three digits; a
date's span is its days since 1970-01-01; {VERSION} needs a span or a date, and of a span's versions
the highest is taken.

Unlike in TFX, a placeholder may occur twice and then stands for the same text, and names without a
number in its place (`d/tmp/` for `d/{SPAN}/`) are passed over.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from seqline.errors import DataError, UserError
from seqline.storage.listing import Entry, translate

PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
DATE = {"YYYY": 4, "MM": 2, "DD": 2}
EPOCH = date(1970, 1, 1)


@dataclass
class SpanFiles:
    """The files of one span in its highest version.

    Attributes:
        version: None where the pattern has no versions.
        names: The texts in the places of the placeholders.
        entries: Files or folders, in the order in which they were listed.
        older: Those of lower versions.
    """

    version: int | None
    names: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)
    older: list[Entry] = field(default_factory=list)


def has_placeholder(pattern: str) -> bool:
    """Whether a pattern has spans."""
    return PLACEHOLDER.search(pattern) is not None


def to_glob(pattern: str) -> str:
    """The glob that matches the files of all spans."""
    return PLACEHOLDER.sub("*", pattern)


def check(pattern: str) -> None:
    """Checks that a pattern's placeholders go together.

    Raises:
        UserError: They do not.
    """
    names = {name for name, _ in PLACEHOLDER.findall(pattern)}
    dates = names & set(DATE)
    problem = None
    if dates and "SPAN" in names:
        problem = (
            f"holds {{SPAN}} and {{{min(dates)}}}; a span is a number or a date, so use one of them"
        )
    elif dates and dates != set(DATE):
        problem = "names a date without its " + ", ".join(
            f"{{{name}}}" for name in DATE if name not in dates
        )
    elif names == {"VERSION"}:
        problem = "holds {VERSION} and neither {SPAN} nor a date; it is a version of a span"

    if problem or any(width and not int(width) for _, width in PLACEHOLDER.findall(pattern)):
        raise UserError(
            f"example_gen.source {pattern!r} {problem or 'has a placeholder with a width of 0'}."
        )


def group(pattern: str, matched: Iterable[Entry], tail: str = "") -> dict[int, SpanFiles]:
    """Groups files or folders by their spans.

    Args:
        pattern: With placeholders; without, all files are span 0.
        matched: What the pattern matches as a glob. Names without a number are passed over.
        tail: A regular expression for what follows the pattern in their paths.

    Returns:
        Number of a span -> the files of its highest version, in the order given.

    Raises:
        DataError: A date does not exist, or two names mean one number, as `1` and `01` do.
    """
    if not has_placeholder(pattern):
        return {0: SpanFiles(None, (), list(matched))}

    regex = re.compile(_regex(pattern) + tail, re.DOTALL)
    with_dates = "{YYYY}" in pattern

    spans: dict[int, SpanFiles] = {}
    for file in matched:
        if (match := regex.fullmatch(file.path)) is None:
            continue

        names = match.groupdict()
        number = _days(names, file.path) if with_dates else int(names["SPAN"])
        version = int(names["VERSION"]) if "VERSION" in names else None
        span = spans.get(number)
        if span is None or (version or 0) > (span.version or 0):
            older = [] if span is None else span.older + span.entries
            span = spans[number] = SpanFiles(version, tuple(names.values()), older=older)

        if version != span.version:
            span.older.append(file)
        else:
            if tuple(names.values()) != span.names:
                raise DataError(
                    f"example_gen.source {pattern!r}: {span.entries[0].path} and {file.path} are"
                    f" both span {number}; remove one."
                )
            span.entries.append(file)

    return spans


def _regex(pattern: str) -> str:
    """The regular expression of a pattern, with a group for each placeholder."""
    seen: set[str] = set()

    def capture(name: str, width: str | None) -> str:
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        size = width or DATE.get(name)
        return rf"(?P<{name}>[0-9]{{{size}}})" if size else rf"(?P<{name}>[0-9]+)"

    # Text, name and width by turns; text comes last.
    tokens = PLACEHOLDER.split(pattern)
    regex = ""
    for text, name, width in zip(tokens[:-1:3], tokens[1::3], tokens[2::3], strict=True):
        regex += translate(text, brackets=True) + capture(name, width)
    return regex + translate(tokens[-1], brackets=True)


def _days(names: dict[str, str], path: str) -> int:
    """The span of a date: its days since 1970-01-01."""
    try:
        days = (date(int(names["YYYY"]), int(names["MM"]), int(names["DD"])) - EPOCH).days
    except ValueError:
        days = -1

    if days < 0:
        raise DataError(
            f"{path}: {names['YYYY']}-{names['MM']}-{names['DD']} is not a date since 1970; correct"
            " the name or move the file."
        )
    return days


def choose(numbers: Iterable[int], last: int | str, how_many: int | str, place: str) -> list[int]:
    """The numbers of the window, in ascending order.

    Args:
        numbers: The spans that exist.
        last: The last one of the window, or `latest`.
        how_many: Spans up to and including the last one, or `all`.
        place: Where they exist, for messages.

    Raises:
        UserError: `last` does not exist.
    """
    spans = sorted(numbers)
    if last != "latest" and last not in spans:
        shown = list(map(str, spans))
        if len(spans) > 6:
            shown[3:-3] = ["..."]
        raise UserError(
            f"example_gen.span {last} does not exist; {place} has {len(spans)}: {', '.join(shown)}."
        )

    up_to_last = [number for number in spans if last == "latest" or number <= int(last)]
    return up_to_last if how_many == "all" else up_to_last[-int(how_many) :]
