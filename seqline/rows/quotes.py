"""Quotes in CSV files: whether they enclose fields, and the rows that one too many swallows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from seqline.rows.dialect import Dialect

LINE_END = re.compile(r"\r\n|\r|\n")
# One that is neither doubled nor escaped, as in `"Up" and "Down"`.
SINGLE_QUOTE = re.compile(r'(?<!["\\])"(?!")')
# A quote that swallows so many lines does not enclose a field.
MAX_FIELD_LINES = 10_000
# Labels that are told apart, at most.
KNOWN_LABELS = 10_000


def pair(lines: Iterator[str], dialect: Dialect, label: str | None) -> bool:
    """Whether quotes enclose the fields of a file.

    They do not if two things come together: most of the fields with a quote at one end have none
    at the other; and fewer lines are bad if quotes are text. A bad line has another number of
    fields than the header, is not CSV, or is one of several in a quoted field that look like rows.

    Args:
        lines: The lines of the rows.
        dialect: Theirs; whether it has quotes is not looked at.
        label: The column with the label, if any.
    """
    if dialect.width < 2:
        return True

    plain = _Plain(lines, dialect)
    reader = replace(dialect, quotes=True).reader(plain)
    looks_like_rows = _RowsInFields(dialect, label)
    num_bad = 0
    while not plain.is_runaway:
        plain.start = before = reader.line_num
        try:
            fields = next(reader, None)
        except csv.Error:
            num_bad += reader.line_num - before
            continue

        if fields is None:
            num_bad += looks_like_rows.num_lines
            return num_bad <= plain.num_bad or plain.num_enclosed > plain.num_halves
        num_lines = reader.line_num - before
        if fields and len(fields) != dialect.width:
            num_bad += num_lines
        elif fields:
            looks_like_rows.add(fields, num_lines)
    return False


class _RowsInFields:
    """Counts the lines in quoted fields that look like rows.

    They do if their labels are those of rows; or, in files without labels, by their delimiters, if
    the field holds no quote, which it would hold doubled.
    """

    def __init__(self, dialect: Dialect, label: str | None) -> None:
        self.dialect = dialect
        self.label = label if label in dialect.header else None
        self.known: set[str] = set()
        self.num_by_label: Counter[str] = Counter()
        self.num_without = 0

    @property
    def num_lines(self) -> int:
        """The lines so far."""
        labels = self.num_by_label
        return self.num_without + sum(labels[name] for name in labels if name in self.known)

    def add(self, fields: Sequence[str], num_lines: int) -> None:
        """Looks at a row of so many lines."""
        if self.label is None:
            if num_lines > 1 and _holds_rows(fields, self.dialect):
                self.num_without += num_lines
            return

        if len(self.known) < KNOWN_LABELS:
            self.known.add(fields[self.dialect.header.index(self.label)])
        if num_lines > 1 and len(self.num_by_label) < KNOWN_LABELS:
            # Of several labels the first one stands for all.
            for label in swallowed_labels(fields, self.dialect, self.label)[:1]:
                self.num_by_label[label] += num_lines


class _Plain:
    """Lines, and what they would be if quotes were text.

    Attributes:
        start: Lines before the row that is being read.
        num_bad: Lines so far with another number of fields than the header.
        num_enclosed: Fields so far with quotes at both ends.
        num_halves: Fields so far with a quote at one end, or at both and a single one between.
        is_runaway: Whether a row went on for MAX_FIELD_LINES; then the lines end.
    """

    def __init__(self, lines: Iterator[str], dialect: Dialect) -> None:
        self.lines = lines
        self.dialect = dialect
        self.number = 0
        self.start = 0
        self.num_bad = 0
        self.num_enclosed = 0
        self.num_halves = 0
        self.is_runaway = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.number - self.start > MAX_FIELD_LINES:
            self.is_runaway = True
            raise StopIteration

        line = next(self.lines)
        self.number += 1
        if line.count(self.dialect.delimiter) != self.dialect.width - 1 and line.strip("\r\n"):
            self.num_bad += 1
        if '"' in line:
            for field in line.rstrip("\r\n").split(self.dialect.delimiter):
                num_ends = field.startswith('"') + (field.endswith('"') and len(field) > 1)
                is_enclosed = num_ends == 2 and not SINGLE_QUOTE.search(field, 1, len(field) - 1)
                self.num_enclosed += is_enclosed
                self.num_halves += num_ends > 0 and not is_enclosed
        return line


def _holds_rows(fields: Sequence[str], dialect: Dialect) -> bool:
    return any(
        line.count(dialect.delimiter) >= dialect.width - 1
        for field in fields
        if '"' not in field
        for line in LINE_END.split(field)[:-1]
    )


def swallowed_labels(fields: Sequence[str], dialect: Dialect, label: str | None) -> tuple[str, ...]:
    """The labels of the rows that a quoted field seems to hold, as after a quote too many.

    Of the lines of a field, these are rows by themselves: all that are whole, and the first one
    where it fills up the fields before it. The last one is a row's beginning.
    """
    if label not in dialect.header:
        return ()
    place = dialect.header.index(label)

    labels = []
    for number, field in enumerate(fields):
        for index, line in enumerate(LINE_END.split(field)[:-1]):
            cells = line.split(dialect.delimiter)
            before = 0 if index else number
            if before + len(cells) == dialect.width and place >= before:
                labels.append(cells[place - before])
    return tuple(labels)
