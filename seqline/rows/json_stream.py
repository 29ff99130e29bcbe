"""JSON values that are not one a line: an array of rows, or rows over several lines.

They are read one after the other, in bounded memory.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TextIO

from seqline.rows.nested import MISSING, look_up
from seqline.rows.row import RowFormat
from seqline.rows.values import short

WHITE = " \t\r\n"
BLANK = re.compile(f"[{WHITE}]*")
# Between values at the top: an array's brackets, and what separates its elements.
BETWEEN = re.compile(f"[{WHITE}\\[\\],\ufeff]*")
# What decides where a value ends.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*("|\\?\Z)|[{}\[\],]', re.DOTALL)
READ_CHARS = 1 << 20
# A row that is longer is taken for a damage.
MAX_CHARS = 1 << 26

decode = json.JSONDecoder().raw_decode


class Value(NamedTuple):
    """A value of a stream, or what is wrong with it.

    Attributes:
        value: The value; MISSING where it is not JSON.
        line: The line where it begins, from 1.
        error: What is wrong with it; empty where nothing is.
    """

    value: Any
    line: int
    error: str = ""


class UnclosedError(Exception):
    """The text ends within a value or an array. Its arguments are the line where it begins."""


def is_stream(head: str) -> bool:
    """Whether a text that begins so holds an array of objects, or not one object a line."""
    head = head.lstrip(WHITE + "\ufeff")
    if head.startswith("["):
        return head[1:].lstrip(WHITE)[:1] in ("{", "]")

    if not head.startswith("{"):
        return False
    first_line, _, others = head.partition("\n")
    end = _end_of_object(first_line)
    if end is not None:  # Others may follow in the same line, or after a comma.
        return first_line[end:].lstrip(WHITE)[:1] in ("{", ",")
    return bool(others) and _end_of_object(head) is not None


def _end_of_object(text: str) -> int | None:
    """Where the object at the beginning of a text ends; None where it is not JSON."""
    try:
        return decode(text)[1]
    except (ValueError, RecursionError):
        return None


def values(text: TextIO) -> Iterator[Value]:
    """The values of a text: the elements of its arrays, and those outside of any.

    Raises:
        UnclosedError: The text ends too early.
    """
    buffer = ""
    place = 0
    line = 1
    depth = 0
    opened_at = 1
    is_end = False

    while True:
        end = BETWEEN.match(buffer, place).end()  # type: ignore[union-attr]  # It matches always.
        between = buffer[place:end]
        if "[" in between and not depth:
            opened_at = line + between[: between.index("[")].count("\n")
        depth = max(0, depth + between.count("[") - between.count("]"))
        line += between.count("\n")
        place = end

        found = _value(buffer, place, line, is_end)
        if found is not None:
            value, end = found
            yield value
            line += buffer.count("\n", place, end)
            place = end
        elif is_end:
            break
        else:
            buffer = buffer[place:]
            place = 0
            more = text.read(max(READ_CHARS, len(buffer)))
            buffer += more
            is_end = not more

    if place < len(buffer):
        raise UnclosedError(line)
    if depth:
        raise UnclosedError(opened_at)


def _value(buffer: str, place: int, line: int, is_end: bool) -> tuple[Value, int] | None:
    """The value at a place and its end; None where it may not be whole yet."""
    if place == len(buffer):
        return None

    try:
        value, end = decode(buffer, place)
        if end < len(buffer) or is_end or isinstance(value, dict | list):
            return Value(value, line), end
        return None  # A number may go on.
    except (ValueError, RecursionError) as error:
        cause = error.msg if isinstance(error, json.JSONDecodeError) else str(error)

    whole = _end(buffer, place, is_end)
    if whole is None:
        if len(buffer) - place > MAX_CHARS:
            raise UnclosedError(line)
        return None
    return Value(MISSING, line, f"not JSON: {cause}"), whole


def _end(buffer: str, place: int, is_end: bool) -> int | None:
    """Where a value that is not JSON ends, by its brackets; None where it does not."""
    depth = 0
    for token in TOKEN.finditer(buffer, place):
        char = token[0]
        if token[1] == "" or token[1] == "\\":  # A string goes on behind the buffer.
            return None
        if char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth <= 0:
                return token.end() if depth == 0 else token.start()
        elif char == "," and not depth:
            return token.start()
    return len(buffer) if is_end and not depth else None


# Shapes that hold no rows


def shape(row: Mapping[str, Any], format_: RowFormat) -> str:
    """What a document is whose first object is this and that has no rows; empty for a row."""
    wanted = format_.columns
    for name, value in row.items():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, dict) and _has(first, wanted):
            return (
                f"its rows are the list {name!r} of one object. Write them one a line:"
                f" jq -c '.[{json.dumps(name)}][]' FILE > NEW.jsonl"
            )

    if isinstance(row.get("columns"), list) and isinstance(row.get("data"), list):
        return (
            "it is one object of columns and data (pandas' orient='split'). Write its rows one a"
            " line: pandas.read_json(FILE, orient='split').to_json(NEW, orient='records',"
            " lines=True)"
        )

    contents = [look_up(row, name) for name in wanted]
    kind = next((kind for kind in (dict, list) if _all_are(contents, kind)), None)
    if kind is not None and (kind is dict or format_.content == "text"):
        orient = "columns" if kind is dict else "list"
        return (
            f"it is one object of columns (pandas' orient={orient!r}), not of rows: {wanted[0]!r}"
            f" is {short(contents[0])}. Write them one a line: pandas.read_json(FILE)"
            ".to_json(NEW, orient='records', lines=True)"
        )

    first = next(iter(row.values()), None)
    if isinstance(first, dict) and len(row) > 1 and _has(first, wanted):
        return (
            "it is one object whose fields are the rows. Write them one a line: jq -c '.[]' FILE >"
            " NEW.jsonl"
        )
    return ""


def _has(row: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return all(look_up(row, name) is not MISSING for name in names)


def _all_are(contents: list[Any], kind: type) -> bool:
    return len(contents) > 1 and all(isinstance(content, kind) for content in contents)
