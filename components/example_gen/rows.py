"""Readers: one shard of a source to its rows, in order. Plain Python, no TensorFlow, no Beam."""

import codecs
import csv
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from components.base import DataError, UserError
from components.example_gen import ExampleGenParams
from components.example_gen.sources import READ_BYTES, Kind, Shard

# csv's own limit of 128 KiB is shorter than a long article.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A usable row and where it came from."""

    text: str
    label: str
    file: str
    line: int


class BadRow(NamedTuple):
    """A row that cannot be used, where it is and why."""

    file: str
    line: int
    reason: str


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """Every row of a shard: usable, or bad with its reason. Lines count from 1."""
    if shard.kind == "csv":
        return _read_csv(shard.paths[0], params)
    if shard.kind == "jsonl":
        return _read_jsonl(shard, params)
    if shard.kind == "folder":
        return _read_folder(shard, params)
    from components.example_gen import tfds_source

    return tfds_source.read(shard, params)


def usable(text: Any, label: Any, file: str, line: int) -> Row | BadRow:
    """A row with a text and a label that training can use, otherwise a BadRow with the reason."""
    if not isinstance(text, str):
        return BadRow(file, line, f"the text is {_short(text)}, not a string")
    if isinstance(label, bool | int):
        label = str(label)
    if not isinstance(label, str):
        return BadRow(file, line, f"the label is {_short(label)}, not a string or an integer")
    for name, value in (("text", text), ("label", label)):
        if any("\ud800" <= char <= "\udfff" for char in value):  # undecodable bytes, or half a pair in a JSON escape
            return BadRow(file, line, f"the {name} is not valid in the source's encoding: {_short(value)}")
        if not value.strip():
            return BadRow(file, line, f"the {name} is empty")
    if not label.isprintable():
        return BadRow(file, line, f"the label {_short(label)} holds control characters")
    return Row(text, label, file, line)


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _open_csv(path: str | Path, params: ExampleGenParams) -> Any:
    encoding = "utf-8-sig" if codecs.lookup(params.encoding).name == "utf-8" else params.encoding
    # surrogateescape carries undecodable bytes as lone surrogates up to `usable`: one bad byte costs one row, not the file.
    return open(path, encoding=encoding, errors="surrogateescape", newline="")


def _read_csv(path: str, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    with _open_csv(path, params) as file:
        reader = csv.reader(file, delimiter=params.delimiter, strict=True)
        header = next(reader)
        text, label = header.index(params.text), header.index(params.label)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(path, line, f"not CSV: {error}")
                continue
            if not fields:
                continue  # a blank line is no row
            if len(fields) != len(header):
                yield BadRow(path, line, f"{len(fields)} fields where the header has {len(header)}")
                continue
            yield usable(fields[text], fields[label], path, line)


def _read_jsonl(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    path = shard.paths[0]
    line = 0 if shard.start == 0 else _num_lines_before(path, shard.start)
    with open(path, "rb") as file:
        if shard.start:
            # The row that reaches into this shard belongs to the one before it.
            file.seek(shard.start - 1)
            file.readline()
        while file.tell() < shard.end and (content := file.readline()):
            line += 1
            if line == 1:
                content = content.removeprefix(BOM)
            if content.strip():
                yield _json_row(content, path, line, params)


def _json_row(content: bytes, path: str, line: int, params: ExampleGenParams) -> Row | BadRow:
    try:
        row = json.loads(content.decode(params.encoding))
    except UnicodeDecodeError as error:
        return BadRow(path, line, f"not valid {params.encoding}: byte {error.start} is 0x{content[error.start]:02x}")
    except (ValueError, RecursionError) as error:
        return BadRow(path, line, f"not JSON: {error}")
    if not isinstance(row, dict):
        return BadRow(path, line, f"{_short(row)} is not a JSON object")
    for name in (params.text, params.label):
        if name not in row:
            return BadRow(path, line, f"no field {name!r}")
    return usable(row[params.text], row[params.label], path, line)


def _num_lines_before(path: str, offset: int) -> int:
    """How many rows start before the shard's first one: a row ends in \\n only."""
    count = 0
    with open(path, "rb") as file:
        while offset > 0 and (block := file.read(min(READ_BYTES, offset))):
            count += block.count(b"\n")
            offset -= len(block)
        if not block.endswith(b"\n"):
            count += 1
    return count


def _read_folder(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    for path in shard.paths:
        content = Path(path).read_bytes().removeprefix(BOM)
        try:
            text = content.decode(params.encoding)
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            yield BadRow(path, line, f"not valid {params.encoding}: byte {error.start} is 0x{content[error.start]:02x}")
            continue
        yield usable(text, Path(path).parent.name, path, 1)


def check_file(path: Path, kind: Kind, params: ExampleGenParams) -> None:
    """Raises DataError for an empty file or a header only, UserError for a column that is not there."""
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Remove it from example_gen.source or put rows into it.")
    if kind == "csv":
        with _open_csv(path, params) as file:
            reader = csv.reader(file, delimiter=params.delimiter)
            header: list[str] | None = next(reader, [])
            has_rows = any(reader)
    else:
        header, has_rows = _first_json_fields(path, params)
    for field, name in (("text", params.text), ("label", params.label)):
        if header is not None and name not in header:
            close = difflib.get_close_matches(name, header, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"{path} has no column {name!r} (example_gen.{field}); it has {', '.join(map(repr, header))}.{hint} "
                f"Set example_gen.{field} to one of them."
            )
    if not has_rows:
        raise DataError(f"{path} has a header and no rows." if kind == "csv" else f"{path} holds blank lines only.")


def _first_json_fields(path: Path, params: ExampleGenParams) -> tuple[list[str] | None, bool]:
    """The fields of the first row; None where it is no JSON object, which reading will report with its line."""
    with path.open("rb") as file:
        for content in file:
            if not content.strip():
                continue
            try:
                row = json.loads(content.removeprefix(BOM).decode(params.encoding))
            except (ValueError, RecursionError):
                return None, True
            return (list(row) if isinstance(row, dict) else None), True
    return None, False
