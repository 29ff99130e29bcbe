"""JSONL files: one JSON object a line. A line ends in \\n only: a row may hold U+0085 or U+2028."""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from seqline.rows.judge import Judge, judge, missing, pick, require, undecodable
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.rows.values import short
from seqline.storage import files
from seqline.storage.files import File

NAME = "jsonl"
PATTERN: str | None = r".*\.jsonl(\.gz)?"
SUFFIXES: tuple[str, ...] = (".jsonl",)
UNIT = "line"

WHITE = " \t\r\n"


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`. `read` reports a first row that is not a JSON object, with its line."""
    with files.translate_errors(path), files.open_content(path) as file:
        lines = (_without_mark(line, number) for number, line in enumerate(file))
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            return False

        try:
            row: Any = json.loads(first.decode(format_.encoding))
        except (ValueError, RecursionError):
            return True

        if isinstance(row, dict):
            require(list(row), path, format_)
        return True


def _without_mark(line: bytes, number: int) -> bytes:
    return line if number else line.removeprefix(codecs.BOM_UTF8)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """Shards of `shard_bytes`. A row belongs to the shard in which it begins.

    None for a gzipped file, which can be read from its start only.
    """
    if file.path.endswith(".gz"):
        return []
    starts = range(0, file.size, shard_bytes)
    shards = []
    for start, num_lines in zip(starts, _num_lines_before(file.path, starts), strict=True):
        end = min(start + shard_bytes, file.size)
        shards.append(Shard(NAME, split, (file.path,), start, end, num_lines))
    return shards


def _num_lines_before(path: str, starts: range) -> list[int | None]:
    """The lines that begin before each of the starts.

    None for all but the first on gs://, where counting would be downloading.
    """
    if files.is_remote(path):
        return [0, *[None] * (len(starts) - 1)]

    counts: list[int | None] = []
    count = 0
    with files.translate_errors(path), files.open_file(path) as file:
        ends_a_line = True
        for _ in starts:
            counts.append(count if ends_a_line else count + 1)
            left = starts.step
            while left > 0 and (block := file.read(min(files.READ_BYTES, left))):
                count += block.count(b"\n")
                ends_a_line = block.endswith(b"\n")
                left -= len(block)

    return counts


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows that begin in a shard.

    On gs:// the lines of all shards but the first are counted from the shard's start.
    """
    judged = judge(format_)
    decode_json = json.JSONDecoder().raw_decode
    picked = pick(format_.columns)
    encoding = format_.encoding
    line = shard.num_lines or 0
    place = path if shard.num_lines is not None else f"{path}[from byte {shard.start}]"

    with (
        files.translate_errors(path, lambda: f" after line {line}" if line else ""),
        files.open_content(path) as file,
    ):
        position = 0
        if shard.start:
            # The row that reaches into this shard belongs to the one before it.
            position = file.seek(shard.start - 1)
            position += len(file.readline())

        for content in file:
            if shard.end and position >= shard.end:
                return

            position += len(content)
            line += 1
            if line == 1 and not shard.start:
                content = content.removeprefix(codecs.BOM_UTF8)

            try:
                decoded = content.decode(encoding)
                row, end = decode_json(decoded)
                values = picked(row)
            except (ValueError, LookupError, TypeError, RecursionError):
                yield from _read_slowly(content, place, line, format_, judged)
                continue

            if decoded[end:].strip(WHITE):
                yield from _read_slowly(content, place, line, format_, judged)
            else:
                yield judged(values, place, line)


def _read_slowly(
    content: bytes, path: str, line: int, format_: RowFormat, judged: Judge
) -> Iterator[Row | BadRow]:
    """The row of an unusual line. A blank line is not a row."""
    if not content.strip():
        return

    try:
        row = json.loads(content.decode(format_.encoding))
    except UnicodeDecodeError as error:
        yield undecodable(error, path, line, format_.encoding)
        return
    except (ValueError, RecursionError) as error:
        yield BadRow(path, line, f"not JSON: {error}", "format")
        return

    if not isinstance(row, dict):
        yield BadRow(path, line, f"{short(row)} is not a JSON object", "format")
        return

    if not any(name in row for name in format_.text):
        yield missing(format_.text[0], format_, path, line, "field")
        return
    if format_.label in format_.columns and format_.label not in row:
        yield missing(format_.label, format_, path, line, "field")
        return

    # A column to keep may be missing: the row can be used without it.
    yield judged([row.get(name) for name in format_.columns], path, line)


def first_rows(path: str, limit: int) -> None:
    """None, see `Format.first_rows`."""
