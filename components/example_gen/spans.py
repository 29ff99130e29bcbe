"""Spans in the names of files.

What `{SPAN}`, `{VERSION}`, `{YYYY}`, `{MM}` and `{DD}` in a pattern stand for.

As in TFX (tfx.components.example_gen.utils): {SPAN} is an integer, {SPAN:3} one of three digits; a
date's span is its days since 1970-01-01; {VERSION} needs a span or a date, and of a span's versions
the highest is taken. Beyond TFX: a placeholder may occur twice and then stands for the same text,
and names that hold no number in its place (`d/tmp/` for `d/{SPAN}/`) are passed over.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from seqline.errors import DataError, UserError
from seqline.storage.files import File, translate

PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
DATE = {"YYYY": 4, "MM": 2, "DD": 2}
EPOCH = date(1970, 1, 1)


@dataclass
class Found:
    """The files of one span in its highest version. names: what stood for the placeholders."""

    version: int | None
    names: tuple[str, ...]
    files: list[File] = field(default_factory=list)


def has_placeholder(pattern: str) -> bool:
    """Whether a pattern speaks of spans at all."""
    return PLACEHOLDER.search(pattern) is not None


def to_glob(pattern: str) -> str:
    """The glob that matches the files of all spans."""
    return PLACEHOLDER.sub("*", pattern)


def check(pattern: str) -> None:
    """Raises UserError for placeholders that do not go together."""
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


def group(pattern: str, found: Iterable[File], tail: str = "") -> dict[int, Found]:
    """Number of a span -> the files of its highest version, in the order given.

    A pattern without placeholder has the one span 0.

    tail: a regular expression for what follows the pattern in a file's path. Raises DataError for a
    date that no calendar has and for two names of one number, as `1` and `01`.
    """
    if not has_placeholder(pattern):
        return {0: Found(None, (), list(found))}
    regex = re.compile(_regex(pattern) + tail, re.DOTALL)
    with_dates = "{YYYY}" in pattern
    spans: dict[int, Found] = {}
    for file in found:
        if (match := regex.fullmatch(file.path)) is None:
            continue
        names = match.groupdict()
        number = _days(names, file.path) if with_dates else int(names["SPAN"])
        version = int(names["VERSION"]) if "VERSION" in names else None
        mine = spans.get(number)
        if mine is None or (version or 0) > (mine.version or 0):
            mine = spans[number] = Found(version, tuple(names.values()))
        if version == mine.version:
            if tuple(names.values()) != mine.names:
                raise DataError(
                    f"example_gen.source {pattern!r}: {mine.files[0].path} and {file.path} are both"
                    f" span {number}; remove one."
                )
            mine.files.append(file)
    return spans


def _regex(pattern: str) -> str:
    seen: set[str] = set()

    def capture(name: str, width: str | None) -> str:
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        size = width or DATE.get(name)
        return rf"(?P<{name}>[0-9]{{{size}}})" if size else rf"(?P<{name}>[0-9]+)"

    # Text, name and width by turns.
    pieces = PLACEHOLDER.split(pattern)
    texts = [translate(text) for text in pieces[::3]]
    captures = [
        capture(name, width) for name, width in zip(pieces[1::3], pieces[2::3], strict=True)
    ]
    return "".join(text + each for text, each in zip(texts, [*captures, ""], strict=True))


def _days(names: dict[str, str], path: str) -> int:
    try:
        days = (date(int(names["YYYY"]), int(names["MM"]), int(names["DD"])) - EPOCH).days
    except ValueError:
        days = -1
    if days < 0:
        raise DataError(
            f"{path}: {names['YYYY']}-{names['MM']}-{names['DD']} is no date since 1970; correct"
            " the name or move the file."
        )
    return days


def choose(numbers: Iterable[int], last: int | str, how_many: int | str, place: str) -> list[int]:
    """The numbers of the window.

    `how_many` of those there are, up to and including `last`, ascending.

    Raises UserError where `last` is not among them; place says where was looked.
    """
    there = sorted(numbers)
    if last != "latest" and last not in there:
        shown = [
            str(number)
            for number in (there if len(there) <= 6 else [*there[:3], "...", *there[-3:]])
        ]
        raise UserError(
            f"example_gen.span {last} is not there; {place} has {len(there)}: {', '.join(shown)}."
        )
    upto = [number for number in there if last == "latest" or number <= int(last)]
    return upto if how_many == "all" else upto[-int(how_many) :]
