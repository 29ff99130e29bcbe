"""CSV files, with a header or without.

A line ends in \\n, \\r\\n or \\r, and a quoted field may hold line ends (RFC 4180).
"""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from seqline.errors import DataError
from seqline.rows import dialect, encodings, quotes
from seqline.rows.dialect import Dialect
from seqline.rows.judge import judge, pick
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.rows.values import short
from seqline.storage import compression, files
from seqline.storage.files import File

NAME = "csv"
PATTERN: str | None = r".*\.(csv|tsv|tab)" + compression.SUFFIX
SUFFIXES: tuple[str, ...] = (".csv", ".tsv")
UNIT = "line"

# csv's own limit of 128 KiB is shorter than a long article.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    with _opened(path, format_) as (reader, found):
        if found is None:
            return False
        try:
            return any(reader)
        except csv.Error:
            return True  # `read` reports it with its line.


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: a line end inside quotes is not the end of a row."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    with _opened(path, format_, whole=True) as (reader, found):
        if found is None:
            return

        picked = pick([found.header.index(name) for name in format_.columns])
        width = found.width
        # Where there are columns without names no row takes the short way.
        plain_width = -1 if found.num_unnamed else width
        last_name = found.header[-1]
        judged = judge(format_, flat=True)
        hint: str | None = None

        line = reader.line_num + 1
        while True:
            try:
                for fields in reader:
                    if (
                        len(fields) == plain_width
                        and reader.line_num == line
                        and fields[-1] != last_name
                    ):
                        yield judged(picked(fields), path, line)
                        line += 1
                        continue

                    end = reader.line_num
                    if len(fields) != width:
                        if fields:  # A blank line is not a row.
                            reason = f"{len(fields)} fields where {_header(format_)} has {width}"
                            yield BadRow(path, line, f"{reason}{_up_to(end, line)}", "format")
                    elif _is_header(fields, found):
                        yield BadRow(path, line, "it repeats the header", "format")
                    elif found.num_unnamed and any(fields[width - found.num_unnamed :]):
                        yield BadRow(path, line, _pushed_out(fields, found), "format")
                    else:
                        row = judged(picked(fields), path, line)
                        yield _with_swallowed(row, fields, found, format_)
                    line = end + 1
                return
            except csv.Error as error:
                end = reader.line_num
                if str(error) == "unexpected end of data" and end > line:
                    # One bad row would stand for all the rows that the open quote swallowed.
                    raise DataError(
                        f"{path}:{line}: a quote opens here and is never closed, so the"
                        f" {end - line} lines after it cannot be read. Close it, or double it if it"
                        f" is part of the text. If no quote of the file encloses a field, set"
                        f" {format_.section}.quoting to 'none'."
                    ) from None

                # Once a file: messages quote several rows.
                hint = _hint(path, line, format_) if hint is None else ""
                reason = f"not CSV: {error}{_up_to(end, line)}{hint}"
                yield BadRow(path, line, reason, "format")
                line = end + 1


def _header(format_: RowFormat) -> str:
    return f"{format_.section}.columns" if format_.header else "the header"


def _pushed_out(fields: list[str], found: Dialect) -> str:
    """Why a row with a value behind the columns with names is a bad one."""
    value = next(filter(None, fields[found.width - found.num_unnamed :]))
    return (
        f"{short(value)} is in a column without a name: a field with"
        f" {dialect.shown(found.delimiter)} in it is in quotes; or name the column"
    )


def _up_to(end: int, line: int) -> str:
    """The last line of a row of several lines: one quote too many may have swallowed others."""
    return f" (up to line {end})" if end > line else ""


def _is_header(fields: list[str], found: Dialect) -> bool:
    """Whether a row is the header again, as in files that were put one after the other."""
    names = [name.strip() for name in found.header]
    return [field.removeprefix("\ufeff").strip() for field in fields] == names


def _with_swallowed(
    row: Row | BadRow, fields: list[str], found: Dialect, format_: RowFormat
) -> Row | BadRow:
    if isinstance(row, BadRow):
        return row
    return row._replace(swallowed=quotes.swallowed_labels(fields, found, format_.label))


def _hint(path: str, line: int, format_: RowFormat) -> str:
    """What may be wrong with a line that is not CSV."""
    with (
        files.translate_errors(path),
        encodings.open_text(files.open_content(path), format_.encoding) as text,
    ):
        content = next(islice(text, line - 1, None), "")
    if '\\"' in content:
        return '; a quote inside a quoted field is doubled in CSV, not written as \\"'
    return f"; if no quote encloses a field, set {format_.section}.quoting to 'none'"


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`. A delimiter has to be named: no columns tell it."""
    with _opened(path, format_) as (reader, found):
        if found is None:
            return

        places = {
            name: place
            for place, name in enumerate(found.header)
            if name and found.header.count(name) == 1
        }
        while True:
            try:
                for fields in reader:
                    if len(fields) == found.width:
                        yield {name: fields[place] for name, place in places.items()}
                return
            except csv.Error:
                continue


@contextmanager
def _opened(
    path: str, format_: RowFormat, whole: bool = False
) -> Iterator[tuple[Any, Dialect | None]]:
    """A csv.reader of the rows of a file, and its dialect; None where it has no header.

    Args:
        path: The file.
        format_: How its rows are read.
        whole: Whether the file is looked through to tell whether its quotes enclose fields.
    """
    reader: Any = None

    def place() -> str:
        return f" after line {reader.line_num}" if reader else ""

    # One byte that cannot be decoded costs one row, not the file: see `encodings`.
    with (
        files.translate_errors(path, place),
        encodings.open_text(files.open_content(path), format_.encoding) as text,
    ):
        # What precedes a damage is read: the damage comes up again behind the head.
        head = dialect.head_of(_undamaged(text))
        found = dialect.find(head, path, format_)
        if found is None:
            next(text, None)
            yield None, None
            return

        is_open = format_.quoting == "auto" and found.delimiter == "\t"
        if whole and is_open and not _quotes_pair(path, found, format_):
            found = replace(found, quotes=False)
        # Blank lines stand for those before the first row, so that the reader counts right.
        blanks = ["\n"] * found.start
        reader = found.reader(chain(blanks, head[found.start :], text))
        for _ in blanks:
            next(reader)
        yield reader, found


def _quotes_pair(path: str, found: Dialect, format_: RowFormat) -> bool:
    """Whether quotes enclose the fields of a file; it is read for that, up to its damage if any."""
    if encodings.ends_lines_as_ascii(format_.encoding) and not _has_quotes(path):
        return True
    with encodings.open_text(files.open_content(path), format_.encoding) as text:
        rows = _undamaged(islice(text, found.start, None))
        return quotes.pair(rows, found, format_.label)


def _has_quotes(path: str) -> bool:
    with files.open_content(path) as file:
        blocks = _undamaged(iter(lambda: file.read(files.READ_BYTES), b""))
        return any(b'"' in block for block in blocks)


def _undamaged(parts: Iterator[Any]) -> Iterator[Any]:
    """The parts before a damage. A file among them is not closed, as `yield from` would do."""
    while True:
        try:
            part = next(parts)
        except (StopIteration, EOFError, compression.DamagedError):
            return
        yield part
