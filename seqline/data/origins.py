"""Where the rows of Examples came from.

The user's own file and line, in a small file for each shard of test.

<root>/origins/<split>-<shard>   gzip: a line of JSON {unit, files: [[number of the first row, file], ...]}, then for each row
                                 its line (int64), then for each row its checksum (uint32), little-endian

It lies beside the shards, not in the tf.Examples: whoever reads Examples reads the same bytes with
or without it. A row is looked up by its number and proved by the CRC-32 of its content, so that a
wrong place is never told. Files are named as they were when they were read. Only test has origins:
its rows are the ones that are listed one by one.
"""

import gzip
import json
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from seqline.data import features
from seqline.errors import DataError
from seqline.storage.staging import reading, writing

FOLDER = "origins"
SPLITS = (features.TEST,)
COMPRESSION_LEVEL = 1


@dataclass
class Origins:
    """The places of a shard's rows, in order. files.

    [number of the first row that came from it, file].
    """

    unit: str
    files: list[tuple[int, str]] = field(default_factory=list)
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    sums: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, file: str, line: int) -> None:
        """The next row."""
        if not self.files or self.files[-1][1] != file:
            self.files.append((len(self.lines), file))
        self.lines.append(line)

    def place(self, row: int, checksum: int) -> dict[str, Any] | None:
        """{file, and line or row} of the row with this number and content.

        None where no such row is known.

        Rows may have been taken out of the shard since: then the content alone decides, if it is
        there once.
        """
        if row >= len(self.sums) or self.sums[row] != checksum:
            if self.sums.count(checksum) != 1:
                return None
            row = self.sums.index(checksum)
        file = next(name for first, name in reversed(self.files) if first <= row)
        file = file.encode("utf-8", "backslashreplace").decode()  # a name on disk need not be UTF-8
        return {"file": file, self.unit: self.lines[row]} if self.unit else {"file": file}


def path_in(root: str | Path, split: str, shard: str) -> str:
    """shard: the file name of a shard of this split."""
    return f"{root}/{FOLDER}/{split}-{shard}"


def write(origins: Origins, contents: Iterable[Any], path: str) -> None:
    """The same rows give the same bytes. contents: of the rows, see `checksum`."""
    origins.sums = array("I", map(checksum, contents))
    head = json.dumps({"unit": origins.unit, "files": origins.files}).encode() + b"\n"
    # No time and no name in its head.
    with (
        writing(path) as name,
        open(name, "wb") as file,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) as zipped,
    ):
        zipped.write(head + _little(origins.lines) + _little(origins.sums))


def read(path: str) -> Origins | None:
    """None where there is none.

    Examples of an earlier version, or of another tool, have no origins.
    """
    try:
        with reading(path) as name, gzip.open(name) as file:
            head, held = json.loads(file.readline()), file.read()
        num = len(held) // 12
        lines, sums = array("q", held[: 8 * num]), array("I", held[8 * num :])
    except (OSError, DataError, ValueError, EOFError):
        return None
    if sys.byteorder == "big":
        lines.byteswap()
        sums.byteswap()
    return Origins(head["unit"], [(first, file) for first, file in head["files"]], lines, sums)


def _little(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def checksum(content: Any) -> int:
    """Of a row's content as Examples hold it.

    Bytes (text), a list of bytes (tokens) or an array of float32 (sequence).
    """
    if isinstance(content, bytes):
        return crc32(content)
    return crc32(b"\n".join(content) if isinstance(content, list) else content.tobytes())


def locate(root: Path, split: str, rows: Iterable[dict[str, Any]]) -> None:
    """Gives each of these rows its `source`, where it is known. rows.

    {shard, row, checksum, ...}; `checksum` is taken away.
    """
    held: dict[str, Origins | None] = {}
    for row in rows:
        shard = row["shard"]
        if shard not in held:
            held[shard] = read(path_in(root, split, shard))
        origins, content = held[shard], row.pop("checksum")
        if origins and (place := origins.place(row["row"], content)):
            row["source"] = place
