"""The formats of source files, one module each: `Format` is the face that they share.

To add one: write its module, and name it in `all_formats`.
"""

import re
from collections.abc import Iterator
from typing import Any, Protocol

from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage.files import File


class Format(Protocol):
    """A module that reads one kind of files.

    Its libraries are imported in its functions: the module of every format is loaded to find the
    one whose names a source has.

    Attributes:
        NAME: The kind of the files, as `Shard.kind` holds it.
        PATTERN: A regular expression of their names, with .gz where they may be gzipped. None
            where they are found by their folder.
        SUFFIXES: The ends of their names, as messages show them.
        UNIT: What a row is counted by in its file, `line` or `row`. Empty where a file is one row.
    """

    NAME: str
    PATTERN: str | None
    SUFFIXES: tuple[str, ...]
    UNIT: str

    def check(self, path: str, format_: RowFormat) -> bool:
        """Looks at the beginning of a file. Returns whether it has a row.

        Other programs write files without rows: empty ones, and those with nothing but a header.

        Raises:
            UserError: A column or a setting cannot be right.
            DataError: The file is damaged.
        """

    def cut(self, file: File, split: str | None, shard_bytes: int) -> list[Shard]:
        """The shards of one file. None where only a reader from its start can tell the rows."""

    def read(self, path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
        """The rows of a shard that are in this file, none for a file that has no row.

        Args:
            path: The file.
            shard: The shard.
            format_: How rows are read, at this path (`RowFormat.at`).
        """

    def raw_rows(self, path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
        """The rows as they are, by the names of all columns, for `seqline init`.

        Rows that cannot be read are passed over, as are columns that share a name.

        Args:
            path: The file.
            format_: How text files are read. It names no columns: it is not known yet which.
        """


def all_formats() -> tuple[Format, ...]:
    """Every format. These imports are statements, so that keys follow the formats' code."""
    from seqline.rows.formats import arrow, csv, folder, jsonl, parquet, tfrecord

    return (csv, jsonl, tfrecord, parquet, arrow, folder)


def format_of(kind: str) -> Format:
    """The format of a kind."""
    return next(format_ for format_ in all_formats() if kind == format_.NAME)


def kind_of_name(path: str) -> str | None:
    """The kind of a file by its name, in upper or lower case; None if no format has such names.

    Beam puts the number of a shard behind the name: rows.csv-00000-of-00005.
    """
    name = re.sub(r"-\d+-of-\d+(?=(\.\w+)?$)", "", path)
    for format_ in all_formats():
        pattern = format_.PATTERN
        if pattern is not None and re.fullmatch(pattern, name, re.DOTALL | re.IGNORECASE):
            return format_.NAME
    return None
