"""Reads TOML that anybody may have written: what no setting can be is refused in one line."""

import errno
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqline.errors import UserError
from seqline.model import model_path
from seqline.storage import objects
from seqline.storage.atomic import kind_of

# No configuration is nearly as long; tomllib reads about a megabyte a second. A vocabulary has a
# file of its own.
MOST_BYTES = 16 << 20
# Settings nest four deep: [tuner.ranges.dropout] choices = [...].
MOST_DEPTH = 32
# A signed integer of 64 bits, as TOML has them.
MOST_INTEGER = 2**63 - 1
# Settings in which any character may have a meaning.
OF_CHARACTERS = ("delimiter", "reserved_tokens")
# Characters of a value, or of a name, that an error shows.
NUM_SHOWN = 120


def read(file: Path) -> dict[str, Any]:
    """The content of a TOML file, local or in a bucket. A byte order mark is passed over.

    Raises:
        UserError: it cannot be read, is too long, or is not TOML.
    """
    try:
        if isinstance(file, Path) and file.stat().st_size > MOST_BYTES:
            raise UserError(
                f"{file} is no configuration: it has {file.stat().st_size / 1e6:,.0f} MB, and"
                f" {MOST_BYTES >> 20} MB are more than any needs. If it is data, its name must not"
                " end in .toml."
            )
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not TOML, which is text in UTF-8: {error}. Save it so."
        ) from None
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror or error}. Give this user the right to read"
            " it, or name another."
        ) from None

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not TOML: {error}") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{file}: {_beyond(error)}") from None


def value_of(text: str, setting: str) -> Any:
    """The value of a text in TOML, or the text itself if it is not TOML.

    Args:
        text: the text.
        setting: its place, for errors.

    Raises:
        UserError: it is nested too deeply, or a number is too long.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except (RecursionError, ValueError) as error:
        raise UserError(f"{setting}: {_beyond(error)}") from None


def _beyond(error: Exception) -> str:
    """Why tomllib gave up on what is TOML."""
    if isinstance(error, RecursionError):
        return f"it is nested too deeply; no setting nests more than {MOST_DEPTH} deep."
    return f"a number has thousands of digits; at most {MOST_INTEGER:,} can be meant."


def problems(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """What no setting can be, within a value: (its name, what is wrong), in its order."""
    if depth > MOST_DEPTH:
        yield name, f"is nested more than {MOST_DEPTH} deep, and no setting is"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from problems(item, f"{name}.{key}" if name else key, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from problems(item, name, depth + 1)
    elif isinstance(value, int) and not -MOST_INTEGER <= value <= MOST_INTEGER:
        # In bits, since Python refuses to write thousands of digits.
        yield (
            name,
            f"is a number of {value.bit_length():,} bits; at most {MOST_INTEGER:,} can be meant",
        )
    elif isinstance(value, str) and "\0" in value and not name.endswith(OF_CHARACTERS):
        yield name, f"{shown(value)} holds a zero byte, which no path and no text can hold"


def check_places(read: Mapping[str, str], written: Mapping[str, str]) -> None:
    """Checks places, local or in a bucket.

    Args:
        read: the setting's name -> a place to read from, which may be empty.
        written: the same of places to write to.

    Raises:
        ValueError: one cannot be used. The message begins with the setting's name.
    """
    for name, place in {**read, **written}.items():
        if problem := objects.problem_of(place):
            raise ValueError(f"{name} {shown(place)} {problem}")

    for name, place in written.items():
        if objects.is_remote(place):
            continue
        if problem := problem_of_place(place):
            raise ValueError(f"{name} {problem}")
        if problem := model_path.problem(place):
            raise ValueError(f"{name} {place!r}: {problem}; name another folder")


def problem_of_place(place: str) -> str | None:
    """Why a local path cannot be a folder to write to; None if it can."""
    if not place:
        return "is empty; name a folder"
    if any(ord(character) < 32 or ord(character) == 127 for character in place):
        return f"{shown(place)} holds a control character; name another folder"
    try:
        os.lstat(place)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return (
                f"{shown(place)} is too long: the system takes 255 bytes for a name and 4,095 for"
                " a path; name another folder"
            )
    return None


def shown(value: Any) -> str:
    """A value as an error shows it: in one line, and not endless."""
    text = repr(value)
    if len(text) <= NUM_SHOWN:
        return text
    return f"{text[:NUM_SHOWN]}... ({len(text):,} characters)"


def kind_of_path(path: str) -> str | None:
    """What exists at a path and is no file, such as "a folder"; None for a file or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return None if os.path.isfile(path) else kind_of(mode)
