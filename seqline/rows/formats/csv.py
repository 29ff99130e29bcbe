"""CSV files, a header first.

Line ends are \\n, \\r\\n and \\r, and a quoted field may hold them (RFC 4180).
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

# csv's own limit of 128 KiB is shorter than a long article.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    with _opened(path, format_) as (reader, header):
        picked, width = pick([header.index(name) for name in format_.columns]), len(header)
        judged = judge(format_, flat=True)
        line = reader.line_num + 1
        while True:
            try:
                for fields in reader:
                    if len(fields) == width:
                        yield judged(picked(fields), path, line)
                    elif fields:  # a blank line is no row
                        yield BadRow(
                            path,
                            line,
                            f"{len(fields)} fields where the header has"
                            f" {width}{_up_to(reader, line)}",
                            "format",
                        )
                    line = reader.line_num + 1
                return
            except csv.Error as error:
                if str(error) == "unexpected end of data" and reader.line_num > line:
                    # One bad row would stand for all the rows that the open quote swallowed.
                    raise DataError(
                        f"{path}:{line}: a quote opens here and is never closed, so the"
                        f" {reader.line_num - line} lines behind it cannot be read. Close it, or"
                        " double it if it is part of the text."
                    ) from None
                yield BadRow(path, line, f"not CSV: {error}{_up_to(reader, line)}", "format")
                line = reader.line_num + 1


def _up_to(reader: Any, line: int) -> str:
    """How far a row reaches that is longer than its line.

    A quote too many may have swallowed others.
    """
    return f" (up to line {reader.line_num})" if reader.line_num > line else ""


def check(path: str, format_: RowFormat) -> None:
    """See `read.check`."""
    with _opened(path, format_) as (reader, _):
        try:
            has_rows = any(reader)
        except csv.Error:
            return  # reading will report it with its line
        if not has_rows:
            raise DataError(f"{path} has a header and no rows.")


@contextmanager
def _opened(path: str, format_: RowFormat) -> Iterator[tuple[Any, list[str]]]:
    """The reader behind the header, and the header."""
    encoding = "utf-8-sig" if codecs.lookup(format_.encoding).name == "utf-8" else format_.encoding
    reader: Any = None
    # surrogateescape carries undecodable bytes as lone surrogates up to `judge`: one bad byte costs
    # one row, not the file.
    with (
        files.translate_errors(
            path, lambda: f" after line {reader.line_num}" if reader and reader.line_num else ""
        ),
        io.TextIOWrapper(files.open_content(path), encoding, "surrogateescape", newline="") as file,
    ):
        reader = csv.reader(file, delimiter=format_.delimiter, strict=True)
        try:
            header = next(filter(None, reader), None)
        except csv.Error as error:
            raise DataError(
                f"{path}:{reader.line_num}: the header is not CSV: {error}. Correct it."
            ) from None
        if header is None:
            raise DataError(
                f"{path} is empty. Remove it from {format_.section}.source or put rows into it."
            )
        require(header, path, format_)
        for name in format_.columns:
            if header.count(name) > 1:
                raise UserError(
                    f"{path} has {header.count(name)} columns {name!r}; rename all but the one that"
                    " is meant."
                )
        yield reader, header
