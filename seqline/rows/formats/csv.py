"""CSV files with a header.

A line ends in \\n, \\r\\n or \\r, and a quoted field may hold line ends (RFC 4180).
"""

import codecs
import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seqline.errors import DataError, UserError
from seqline.rows.judge import judge, pick, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files
from seqline.storage.files import File

NAME = "csv"
PATTERN: str | None = r".*\.(csv|tsv)(\.gz)?"
SUFFIXES: tuple[str, ...] = (".csv", ".tsv")
UNIT = "line"

# csv's own limit of 128 KiB is shorter than a long article.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    with _opened(path, format_) as (reader, _):
        try:
            return any(reader)
        except csv.Error:
            return True  # `read` reports it with its line.


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: a line end inside quotes is not the end of a row."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    with _opened(path, format_) as (reader, header):
        if not header:
            return
        picked = pick([header.index(name) for name in format_.columns])
        width = len(header)
        judged = judge(format_, flat=True)

        line = reader.line_num + 1
        while True:
            try:
                for fields in reader:
                    if len(fields) == width:
                        yield judged(picked(fields), path, line)
                    elif fields:  # A blank line is not a row.
                        reason = f"{len(fields)} fields where the header has {width}"
                        yield BadRow(path, line, f"{reason}{_up_to(reader, line)}", "format")
                    line = reader.line_num + 1
                return
            except csv.Error as error:
                if str(error) == "unexpected end of data" and reader.line_num > line:
                    # One bad row would stand for all the rows that the open quote swallowed.
                    raise DataError(
                        f"{path}:{line}: a quote opens here and is never closed, so the"
                        f" {reader.line_num - line} lines after it cannot be read. Close it, or"
                        " double it if it is part of the text."
                    ) from None

                yield BadRow(path, line, f"not CSV: {error}{_up_to(reader, line)}", "format")
                line = reader.line_num + 1


def _up_to(reader: Any, line: int) -> str:
    """The last line of a row of several lines: one quote too many may have swallowed others."""
    return f" (up to line {reader.line_num})" if reader.line_num > line else ""


def first_rows(path: str, limit: int) -> None:
    """None, see `Format.first_rows`."""


@contextmanager
def _opened(path: str, format_: RowFormat) -> Iterator[tuple[Any, list[str]]]:
    """A csv.reader that has read the header, and the header."""
    encoding = "utf-8-sig" if codecs.lookup(format_.encoding).name == "utf-8" else format_.encoding
    reader: Any = None

    def place() -> str:
        return f" after line {reader.line_num}" if reader and reader.line_num else ""

    # surrogateescape carries undecodable bytes as lone surrogates up to `judge`: one bad byte costs
    # one row, not the file.
    with (
        files.translate_errors(path, place),
        io.TextIOWrapper(files.open_content(path), encoding, "surrogateescape", newline="") as file,
    ):
        reader = csv.reader(file, delimiter=format_.delimiter or ",", strict=True)
        try:
            header = next(filter(None, reader), None)
        except csv.Error as error:
            raise DataError(
                f"{path}:{reader.line_num}: the header is not CSV: {error}. Correct it."
            ) from None

        if header is None:
            yield reader, []
            return

        require(header, path, format_)
        for name in format_.columns:
            if header.count(name) > 1:
                raise UserError(
                    f"{path} has {header.count(name)} columns {name!r}; rename all but the one that"
                    " is meant."
                )
        yield reader, header
