"""The origins of rows: the user's own file and line of every row of test.

<root>/origins/<split>-<shard> is a gzip file for each shard:

    one line of JSON     {unit, files: [[number of the first row, file], ...]}
    int64 [rows]         the line of each row, little-endian
    uint32 [rows]        the checksum of each row, little-endian

Origins are not in the tf.Examples: these have the same bytes with and without them. A row is looked
up by its number and proved by the CRC-32 of its content, so that a wrong place is never told. Files
are named as they were when they were read. Only test has origins, because only its rows are listed
one by one.
"""

import gzip
import json
import sys
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from seqline.data import features
from seqline.errors import DataError
from seqline.storage import records
from seqline.storage.records import Count
from seqline.storage.staging import reading, writing

FOLDER = "origins"
SPLITS = (features.TEST,)
COMPRESSION_LEVEL = 1


@dataclass(frozen=True)
class OriginsHead:
    """The line of JSON. See `Origins`."""

    unit: Literal["line", "row", ""]
    files: list[tuple[Count, str]]


@dataclass
class Origins:
    """The places of a shard's rows, in order.

    Attributes:
        unit: What rows are counted by in their file: `line`, `row`, or "" where a file is one row.
        files: (number of the first row that came from it, file).
        lines: The line of each row.
        sums: The checksum of each row.
    """

    unit: str
    files: list[tuple[int, str]] = field(default_factory=list)
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    sums: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, file: str, line: int) -> None:
        """Adds the next row."""
        if not self.files or self.files[-1][1] != file:
            self.files.append((len(self.lines), file))
        self.lines.append(line)

    def place(self, row: int, checksum: int) -> dict[str, Any] | None:
        """The place of the row with this number and content: `file`, and `line` or `row`.

        Rows may have been removed from the shard since. Then the content alone decides, if only one
        row has it.

        Returns:
            None where no such row is known.
        """
        if row >= len(self.sums) or self.sums[row] != checksum:
            if self.sums.count(checksum) != 1:
                return None
            row = self.sums.index(checksum)

        file = next(name for first, name in reversed(self.files) if first <= row)
        # A name on disk need not be UTF-8.
        file = file.encode("utf-8", "backslashreplace").decode()
        return {"file": file, self.unit: self.lines[row]} if self.unit else {"file": file}


def path_in(root: str | Path, split: str, shard: str) -> str:
    """The file with the origins of a shard, which is given by its file name."""
    return f"{root}/{FOLDER}/{split}-{shard}"


def write(origins: Origins, contents: Iterable[Any], path: str) -> None:
    """Writes the origins of a shard's rows; the same rows give the same bytes.

    Args:
        origins: The places of the rows.
        contents: The content of each row, see `checksum`.
        path: See `path_in`.
    """
    origins.sums = array("I", map(checksum, contents))
    head = json.dumps({"unit": origins.unit, "files": origins.files}).encode() + b"\n"

    # The gzip header gets neither a time nor a name.
    with (
        writing(path) as name,
        open(name, "wb") as file,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) as zipped,
    ):
        zipped.write(head + _little(origins.lines) + _little(origins.sums))


def read(path: str) -> Origins | None:
    """Reads origins.

    Returns:
        None for Examples without: an earlier version's, or another tool's.

    Raises:
        UserError: The file is damaged.
    """
    try:
        with reading(path) as name, gzip.open(name) as file:
            line, held = file.readline(), file.read()
    except (FileNotFoundError, DataError):
        return None
    except (OSError, EOFError, zlib.error) as error:
        raise records.damaged(path, str(error), records.MADE_AGAIN) from None

    content = records.parse_object(line, path, records.MADE_AGAIN)
    head = records.parse(OriginsHead, content, path, records.MADE_AGAIN)
    num, rest = divmod(len(held), 12)
    starts = [first for first, _ in head.files]
    if rest or starts != sorted(set(starts)) or (starts[:1] != [0] and num):
        raise records.damaged(path, "its rows are not whole", records.MADE_AGAIN)

    lines, sums = array("q", held[: 8 * num]), array("I", held[8 * num :])
    if sys.byteorder == "big":
        lines.byteswap()
        sums.byteswap()
    return Origins(head.unit, head.files, lines, sums)


def _little(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def checksum(content: Any) -> int:
    """The CRC-32 of a row's content, as `ExampleShard` holds it."""
    if isinstance(content, bytes):
        return crc32(content)
    return crc32(b"\n".join(content) if isinstance(content, list) else content.tobytes())


def locate(root: Path, split: str, rows: Iterable[dict[str, Any]]) -> None:
    """Adds the `source` of each row, where it is known, and removes its `checksum`.

    Args:
        root: The Examples.
        split: The split of the rows.
        rows: {shard, row, checksum, ...}: the shard's file name, the number of the row in it, and
            the checksum of its content.
    """
    by_shard: dict[str, Origins | None] = {}
    for row in rows:
        shard = row["shard"]
        if shard not in by_shard:
            by_shard[shard] = read(path_in(root, split, shard))

        origins = by_shard[shard]
        row_checksum = row.pop("checksum")
        if origins and (place := origins.place(row["row"], row_checksum)):
            row["source"] = place
