"""Records with members of many entries, of which one is in memory at a time.

`records.read` holds the text of the whole file, what it says, and both again where it is checked.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Generic, TextIO, TypeVar

from seqline.errors import UserError
from seqline.storage import records
from seqline.storage.files import open_file, translate_errors

R = TypeVar("R")
E = TypeVar("E")
Kept = TypeVar("Kept")

WHITE = " \t\r\n"
READ_CHARS = 1 << 18

decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Entries(Generic[E, Kept]):
    """How the entries of a member are read.

    Attributes:
        cls: What each one is, a dataclass or TypedDict.
        keep: (an entry's name or its place in the array, the entry) -> what is kept of it.
    """

    cls: Callable[..., E]
    keep: Callable[[str, E], Kept]


def read_by_entry(
    cls: Callable[..., R], path: Path, members: Mapping[str, Entries[Any, Kept]]
) -> tuple[R, dict[str, dict[str, Kept]]]:
    """Reads a record that is a file of a finished artifact, some members entry by entry.

    Args:
        cls: See `records.read`.
        path: The file, a Path or an ObjectPath.
        members: Its members with many entries, objects or arrays, and how these are read.

    Returns:
        The record with these members empty, and what is kept: member -> name or place -> it, as in
        the file.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedRecordError: The file is damaged.
        UserError: The file cannot be read.
    """
    kept: dict[str, dict[str, Kept]] = {member: {} for member in members}

    def add(member: str, name: str, value: Any) -> None:
        if name in kept[member]:
            raise ValueError(f"{member}.{name} is there twice")
        entries = members[member]
        entry = records.parse(entries.cls, value, path, records.MADE_AGAIN, (member, name))
        kept[member][name] = entries.keep(name, entry)

    try:
        with (
            _opened(str(path)) as file,
            translate_errors(str(path)),
            TextIOWrapper(file, encoding="utf-8", newline="") as text,
        ):
            content = _object(_Buffer(text), members.keys(), add)
    except UserError:  # a ValueError
        raise
    except (ValueError, RecursionError) as error:
        raise records.damaged(path, str(error), records.MADE_AGAIN) from None
    return records.parse(cls, content, path, records.MADE_AGAIN), kept


def _opened(path: str) -> BinaryIO:
    with translate_errors(path):
        try:
            return open_file(path)
        except FileNotFoundError:
            pass
    raise FileNotFoundError(path)


def _object(
    buffer: "_Buffer", members: Collection[str], add: Callable[[str, str, Any], None]
) -> Mapping[str, Any]:
    """The object of a text, some members empty; `add` is told the entries of these.

    Raises:
        ValueError: The text is something else.
    """
    content: dict[str, Any] = {}

    def read_member(member: str) -> None:
        if member in content:
            raise ValueError(f"{member} is there twice")
        if member not in members or buffer.peek() not in ("{", "["):
            content[member] = buffer.value()
            return

        content[member] = {} if buffer.peek() == "{" else []
        buffer.entries(lambda name: add(member, name, buffer.value()))

    if buffer.peek() != "{":
        raise ValueError("it holds no JSON object")
    buffer.entries(read_member)
    if buffer.peek():
        raise ValueError(buffer.place("Extra data"))
    return content


class _Buffer:
    """The part of a text from the value that is read next."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._chars = ""
        self._at = 0
        self._num_passed = 0  # characters of the text before the buffer
        self._is_end = False

    def place(self, problem: str, at: int | None = None) -> str:
        """A problem with its place in the text."""
        return f"{problem}: char {self._num_passed + (self._at if at is None else at)}"

    def peek(self) -> str:
        """The next character that is not white; "" at the end."""
        while True:
            while self._at < len(self._chars):
                if self._chars[self._at] not in WHITE:
                    return self._chars[self._at]
                self._at += 1
            if self._is_end:
                return ""
            self._read_on()

    def value(self) -> Any:
        """Reads a value."""
        self.peek()
        while True:
            try:
                value, end = decode(self._chars, self._at)
            except json.JSONDecodeError as error:
                if self._is_end:
                    raise ValueError(self.place(error.msg, error.pos)) from None
            else:
                # A number may go on behind the buffer.
                if end < len(self._chars) or self._is_end:
                    self._at = end
                    return value
            self._read_on()

    def entries(self, read: Callable[[str], None]) -> None:
        """Reads an object or array; `read` is told a name or place, and reads its value."""
        is_object = self._take("{[") == "{"
        closing = "}" if is_object else "]"
        place = 0
        while self.peek() != closing:
            if place:
                self._take(",")
            name = self.value() if is_object else str(place)
            if not isinstance(name, str):
                raise ValueError(self.place("a name is no string"))
            if is_object:
                self._take(":")
            read(name)
            place += 1
        self._take(closing)

    def _take(self, wanted: str) -> str:
        char = self.peek()
        if not char or char not in wanted:
            raise ValueError(self.place(f"Expecting {' or '.join(map(repr, wanted))}"))
        self._at += 1
        return char

    def _read_on(self) -> None:
        rest = self._chars[self._at :]
        self._num_passed += self._at
        # As much as is there already: an entry of any length is tried a few times only.
        more = self._text.read(max(READ_CHARS, len(rest)))
        self._chars, self._at, self._is_end = rest + more, 0, not more
