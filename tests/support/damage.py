"""Damaged records: what a file may hold, or be, instead of what was written."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Takes the place of a value, to be replaced by text that json.dumps does not write.
PLACE = "@@@"
# Numbers that no record holds where something is counted.
NO_COUNTS = ("-1", "NaN", "1e400", "-Infinity", "1" + "0" * 400, "1" + "0" * 5000, "0.5")
OF_ANOTHER_TYPE = ('"no"', '"3"', "null", "[]", "{}", "[[1]]", "[" * 900 + "]" * 900)


def as_bytes(text: str) -> bytes:
    return text.encode()


def contents(
    content: Any,
    required: Sequence[str | int],
    count: Sequence[str | int] | None,
    encode: Callable[[str], bytes] = as_bytes,
) -> Iterator[tuple[str, bytes]]:
    """Yields (a name, the bytes of a damaged file).

    Args:
        content: what the record holds.
        required: the way to a field that no record lacks, and that is neither a text nor a list.
        count: the way to a number of things; None if it has none.
        encode: text -> the bytes of a file.
    """
    text = json.dumps(content)
    whole = encode(text)
    yield "empty", b""
    yield "cut in the middle", whole[: len(whole) // 2]
    yield "NUL bytes", bytes(len(whole))
    yield "binary garbage", bytes(range(255, 0, -1))
    yield "deep brackets", encode("[" * 100_000)
    yield "deep objects", encode('{"a":' * 100_000)
    yield "another shape", encode("[[1, 2]]" if isinstance(content, dict) else '{"a": 1}')
    yield "a text", encode('"text"')
    yield "null", encode("null")
    yield "a field is missing", encode(json.dumps(without(content, required)))

    for value in OF_ANOTHER_TYPE:
        yield f"another type: {value[:10]}", encode(_with(content, required, value))
    for value in NO_COUNTS if count else ():
        yield f"no count: {value[:10]}", encode(_with(content, count or (), value))


def without(content: Any, place: Sequence[str | int]) -> Any:
    """The content without a field."""
    changed = json.loads(json.dumps(content))
    parent = changed
    for name in place[:-1]:
        parent = parent[name]
    del parent[place[-1]]
    return changed


def _with(content: Any, place: Sequence[str | int], value: str) -> str:
    """The content as JSON, with another value in a place."""
    changed = json.loads(json.dumps(content))
    parent = changed
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = PLACE
    return json.dumps(changed).replace(f'"{PLACE}"', value)


def replacements() -> list[tuple[str, Callable[[Path], object]]]:
    """[(a name, makes something of a path that is no file which can be read)]."""
    return [
        ("a folder", Path.mkdir),
        # Not by its mode: the superuser reads every file.
        ("not readable", lambda path: os.symlink(path.name, path)),
    ]
