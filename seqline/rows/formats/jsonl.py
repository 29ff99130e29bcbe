"""JSONL files.

One JSON object a line, and a line ends in \\n only (a row may hold U+0085 or U+2028).
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from seqline.errors import DataError
from seqline.rows.judge import Judge, judge, missing, pick, require, undecodable
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.rows.values import short
from seqline.storage import files

WHITE = " \t\r\n"


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows that start in a shard.

    On gs:// a place behind the first shard is counted from the shard's start.
    """
    judged, decode_json = judge(format_), json.JSONDecoder().raw_decode
    picked, encoding = pick(format_.columns), format_.encoding
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
    """The row of an unusual line, none for a blank one."""
    if not content.strip():
        return
    try:
        row = json.loads(content.decode(format_.encoding))
    except UnicodeDecodeError as error:
        yield undecodable(error, path, line, format_.encoding)
    except (ValueError, RecursionError) as error:
        yield BadRow(path, line, f"not JSON: {error}", "format")
    else:
        if not isinstance(row, dict):
            yield BadRow(path, line, f"{short(row)} is not a JSON object", "format")
            return
        absent = [
            name for name in (format_.text, format_.label) if name is not None and name not in row
        ]
        # What is kept may be missing: a row can be used without it.
        values = [row.get(name) for name in format_.columns]
        yield (
            missing(absent[0], format_, path, line, "field")
            if absent
            else judged(values, path, line)
        )


def check(path: str, format_: RowFormat) -> None:
    """See `read.check`.

    A first row that is no JSON object is left to reading, which reports it with its line.
    """
    with files.translate_errors(path), files.open_content(path) as file:
        first = next(
            (line for number, line in enumerate(file) if _without_mark(line, number).strip()), None
        )
        if first is None:
            raise DataError(f"{path} holds blank lines only.")
        try:
            row: Any = json.loads(first.removeprefix(codecs.BOM_UTF8).decode(format_.encoding))
        except (ValueError, RecursionError):
            return
        if isinstance(row, dict):
            require(list(row), path, format_)


def _without_mark(line: bytes, number: int) -> bytes:
    return line if number else line.removeprefix(codecs.BOM_UTF8)
