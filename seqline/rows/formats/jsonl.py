"""JSON files: one object a line, one array of objects, or objects over several lines.

Lines end in \\n only: a row may hold U+0085 or U+2028.
"""

import codecs
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from seqline.errors import UserError
from seqline.rows import encodings, json_stream
from seqline.rows.json_stream import WHITE
from seqline.rows.judge import Judge, judge, missing, pick, require, undecodable
from seqline.rows.nested import MISSING, fields_of, look_up, paths
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.rows.values import short
from seqline.storage import compression, files
from seqline.storage.files import File

NAME = "jsonl"
PATTERN: str | None = r".*\.(jsonl|ndjson|jsonlines|json)" + compression.SUFFIX
SUFFIXES: tuple[str, ...] = (".jsonl", ".ndjson", ".json")
UNIT = "line"

MARK = codecs.BOM_UTF8


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`. `read` reports a first row that is not a JSON object, with its line."""
    with files.translate_errors(path), files.open_content(path) as file:
        if json_stream.is_stream(encodings.head_of(file, format_.encoding)):
            row = _first_value(file, format_.encoding)
        else:
            row = _first_line(file, format_.encoding)

    if row is MISSING:
        return False
    if isinstance(row, dict):
        _require(row, path, format_)
    return True


def _first_value(file: Any, encoding: str) -> Any:
    """The first value of a stream, None where it is not whole; MISSING without any."""
    with encodings.open_text(file, encoding) as text:
        try:
            first = next(json_stream.values(text), None)
        except json_stream.UnclosedError:
            return None
    return MISSING if first is None else None if first.error else first.value


def _first_line(file: Any, encoding: str) -> Any:
    """The value of the first line that is not blank, None where it is no JSON; MISSING without."""
    lines, encoding = encodings.lines(file, encoding)
    first = next((line for line in lines if line.removeprefix(MARK).strip()), None)
    if first is None:
        return MISSING
    try:
        return json.loads(first.removeprefix(MARK).decode(encoding))
    except (ValueError, RecursionError):
        return None


def _require(row: dict[str, Any], path: str, format_: RowFormat) -> None:
    """Checks that the first row has the fields that are read.

    Raises:
        UserError: It lacks one, or it is not a row but a whole document.
    """
    if shape := json_stream.shape(row, format_):
        raise UserError(f"{path} does not hold rows: {shape}.")
    names = paths(row)
    # Those that a message would not list: behind many others, or in a list.
    names += [name for name in format_.columns if look_up(row, name) is not MISSING]
    require(list(dict.fromkeys(names)), path, format_)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """Shards of `shard_bytes`. A row belongs to the shard in which it begins.

    None for a file that can be read from its start only: a compressed one, an array, one with a
    byte order mark, or one in an encoding that does not end lines as ASCII does.
    """
    with files.translate_errors(file.path):
        if not _can_be_cut(files.first_bytes(file.path)):
            return []

    starts = range(0, file.size, shard_bytes)
    shards = []
    for start, num_lines in zip(starts, _num_lines_before(file.path, starts), strict=True):
        end = min(start + shard_bytes, file.size)
        shards.append(Shard(NAME, split, (file.path,), start, end, num_lines))
    return shards


def _can_be_cut(head: bytes) -> bool:
    """Whether a file that begins so holds an object a line, in something like ASCII."""
    is_like_ascii = head.lstrip()[:1] == b"{" and b"\0" not in head
    return is_like_ascii and not json_stream.is_stream(head.decode("latin-1"))


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
    picked = _picker(format_.columns)
    line = shard.num_lines or 0
    place = path if shard.num_lines is not None else f"{path}[from byte {shard.start}]"

    with (
        files.translate_errors(path, lambda: f" after line {line}" if line else ""),
        _opened(path, shard) as file,
    ):
        if not shard.end and json_stream.is_stream(encodings.head_of(file, format_.encoding)):
            yield from _read_stream(file, path, format_, judged)
            return

        position = 0
        lines: Iterator[bytes] = file
        encoding = format_.encoding
        if shard.start:
            # The row that reaches into this shard belongs to the one before it.
            position = file.seek(shard.start - 1)
            position += len(file.readline())
        else:
            lines, encoding = encodings.lines(file, encoding)

        for content in lines:
            if shard.end and position >= shard.end:
                return

            position += len(content)
            line += 1
            try:
                decoded = content.decode(encoding)
                row, end = decode_json(decoded)
                values = picked(row)
            except (ValueError, LookupError, TypeError, RecursionError):
                yield from _read_slowly(content, place, line, format_, encoding, judged)
                continue

            if decoded[end:].strip(WHITE):
                yield from _read_slowly(content, place, line, format_, encoding, judged)
            else:
                yield judged(values, place, line)


def _opened(path: str, shard: Shard) -> Any:
    """A file; one that was cut into shards is not compressed."""
    return files.open_file(path) if shard.start else files.open_content(path)


def _picker(columns: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """The function that returns the values of fields, or raises LookupError or TypeError."""
    if not any("." in name for name in columns):
        return pick(columns)

    def picked(row: Any) -> Sequence[Any]:
        values = [look_up(row, name) for name in columns]
        if any(value is MISSING for value in values):
            raise LookupError
        return values

    return picked


def _read_slowly(
    content: bytes, path: str, line: int, format_: RowFormat, encoding: str, judged: Judge
) -> Iterator[Row | BadRow]:
    """The row of an unusual line. A blank line is not a row."""
    content = content.removeprefix(MARK)
    if not content.strip():
        return

    try:
        row = json.loads(content.decode(encoding))
    except UnicodeDecodeError as error:
        if not encodings.ends_lines_as_ascii(format_.encoding):  # Its places are lost.
            yield BadRow(path, line, f"not valid {format_.encoding}", "encoding")
        else:
            yield undecodable(error, path, line, encoding)
    except (ValueError, RecursionError) as error:
        yield BadRow(path, line, f"not JSON: {error}", "format")
    else:
        yield _judge_row(row, path, line, format_, judged)


def _judge_row(row: Any, path: str, line: int, format_: RowFormat, judged: Judge) -> Row | BadRow:
    if not isinstance(row, dict):
        return BadRow(path, line, f"{short(row)} is not a JSON object", "format")

    by_name = {name: look_up(row, name) for name in format_.columns}
    texts = [name for name in format_.text if name in by_name]
    if texts and all(by_name[name] is MISSING for name in texts):
        return missing(texts[0], format_, path, line, "field")
    if by_name.get(format_.label or "") is MISSING:
        return missing(format_.label or "", format_, path, line, "field")

    # A column to keep may be missing: the row can be used without it.
    values = [None if value is MISSING else value for value in by_name.values()]
    return judged(values, path, line)


def _read_stream(file: Any, path: str, format_: RowFormat, judged: Judge) -> Iterator[Row | BadRow]:
    """The rows of an array, or of objects over several lines; each is where it begins."""
    line = 0
    with (
        files.translate_errors(path, lambda: f" after line {line}" if line else ""),
        encodings.open_text(file, format_.encoding) as text,
    ):
        try:
            for value, line, error in json_stream.values(text):
                if error:
                    yield BadRow(path, line, error, "format")
                else:
                    yield _judge_row(value, path, line, format_, judged)
        except json_stream.UnclosedError as error:
            begins = error.args[0]
            cause = f"what begins in line {begins} has no end"
            raise files.damaged(path, f" after line {line}", cause) from None


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`. Fields of objects are columns of their own, such as `review.text`."""
    with files.translate_errors(path), files.open_content(path) as file:
        for value in _values(file, format_.encoding):
            if isinstance(value, dict):
                yield fields_of(value)


def _values(file: Any, encoding: str) -> Iterator[Any]:
    """The JSON values of a file at its start, without what is not JSON."""
    if json_stream.is_stream(encodings.head_of(file, encoding)):
        with suppress(json_stream.UnclosedError), encodings.open_text(file, encoding) as text:
            for value in json_stream.values(text):
                yield value.value
        return

    lines, encoding = encodings.lines(file, encoding)
    for content in lines:
        try:
            yield json.loads(content.removeprefix(MARK).decode(encoding))
        except (ValueError, RecursionError):
            continue
