"""Rows as every reader gives them: checked, encoded, and with their place. Plain Python, no TensorFlow, no Beam."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from components.base import UserError
from components.example_gen import ExampleGenParams, parts
from components.example_gen.sources import Shard
from components.example_gen.values import Labels, UnusableError, encode_text, encode_tokens, from_json, label_string, to_floats


class Row(NamedTuple):
    """A usable row and where it came from.

    content: bytes (text, UTF-8), list[bytes] (tokens), or float32 [time, dim] (sequence). line: from 1; in a format without lines
    the number of the row in its file.
    """

    content: Any
    label: bytes
    file: str
    line: int


class BadRow(NamedTuple):
    """A row that cannot be used, where it is and why.

    problem: one of "missing text", "missing label", "empty text", "empty label", "encoding", "type" (not what `content` or a label
    is made of) and "format" (all else).
    """

    file: str
    line: int
    reason: str
    problem: str


# (content, label, file, line) -> the row
Judge = Callable[[Any, Any, str, int], Row | BadRow]


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """Every row of a shard, in order: usable, or bad with its reason. Memory does not follow the size of the shard.

    Raises DataError for a file that is gone or damaged, and UserError for a column or feature that is not there.
    """
    if shard.kind == "tfds":
        from components.example_gen import tfds_source

        return tfds_source.read(shard, params)
    reader = _reader(shard.kind).read
    return chain.from_iterable(reader(path, shard, params) for path in shard.paths)


def check(kind: parts.Kind, path: str, params: ExampleGenParams) -> None:
    """Looks at the beginning of a file. Raises what `read` would raise there, and DataError for a file without rows."""
    _reader(kind).check(path, params)


def _reader(kind: parts.Kind) -> Any:
    if kind == "parquet":
        from components.example_gen import parquet_rows

        return parquet_rows
    if kind == "tfrecord":
        from components.example_gen import tfrecord_rows

        return tfrecord_rows
    from components.example_gen import csv_rows, folder_rows, jsonl_rows

    return {"csv": csv_rows, "jsonl": jsonl_rows, "folder": folder_rows}[kind]


def judge(params: ExampleGenParams, flat: bool = False) -> Judge:
    """What decides whether a content and a label are a usable row; undecodable bytes come as lone surrogates.

    flat: the content is one string where it should be a list, as in a CSV file: tokens between white space, a sequence as JSON.
    """
    encode: Callable[[Any], Any] = encode_text
    if params.content == "tokens":
        encode = (lambda content: encode_tokens(content.split())) if flat else encode_tokens
    elif params.content == "sequence":
        encode = (lambda content: to_floats(from_json(content), params.dim)) if flat else (lambda content: to_floats(content, params.dim))
    labels = Labels()

    def judged(content: Any, label: Any, file: str, line: int) -> Row | BadRow:
        try:
            return Row(encode(content), labels[label] if type(label) is str else labels[label_string(label)], file, line)
        except UnusableError as error:
            return BadRow(file, line, *error.args)

    return judged


# What readers share


def decoded(value: Any) -> Any:
    """Bytes as strings, in lists, too; those that are not UTF-8 as lone surrogates, which `judge` reports."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return [decoded(each) for each in value] if isinstance(value, list) else value


def undecodable(error: UnicodeDecodeError, path: str, line: int, encoding: str) -> BadRow:
    """The row for bytes that are not in the source's encoding."""
    return BadRow(path, line, f"not valid {encoding}: byte {error.start} is 0x{error.object[error.start]:02x}", "encoding")


def missing(name: str, params: ExampleGenParams, path: str, line: int, noun: str) -> BadRow:
    """The row for a field that other rows have."""
    return BadRow(path, line, f"no {noun} {name!r}", "missing text" if name == params.text else "missing label")


def require(names: Sequence[str], path: str, params: ExampleGenParams, noun: str = "column") -> None:
    """Raises UserError for a column that is not among a file's, with the one that may be meant."""
    for field, name in (("text", params.text), ("label", params.label)):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"{path} has no {noun} {name!r} (example_gen.{field}); it has {', '.join(map(repr, names))}.{hint} "
                f"Set example_gen.{field} to one of them."
            )
