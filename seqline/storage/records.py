"""Records: small JSON files of which a dataclass gives the fields.

A damaged record is refused in one line. It is never taken for what it does not say: "no" is not a
boolean, and "3" is not a number.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from seqline.errors import UserError
from seqline.storage.staging import writing

R = TypeVar("R")


class DamagedRecordError(UserError):
    """A record that is not what its writer wrote."""


def read(cls: Callable[..., R], path: Path, way_out: str) -> R:
    """Reads a record.

    Args:
        cls: Its dataclass. Fields of the file that it does not have are left out.
        path: The file, a Path or a GsPath.
        way_out: What the user can do about a damaged file, as a sentence.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedRecordError: The file is damaged.
        UserError: The file cannot be read.
    """
    return parse(cls, read_object(path, way_out), path, way_out)


def read_object(path: Path, way_out: str) -> dict[str, Any]:
    """Reads a JSON object. Raises as `read` does."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). {way_out}") from None
    return parse_object(data, path, way_out)


def parse_object(data: bytes | str, path: Path | str, way_out: str) -> dict[str, Any]:
    """The JSON object in the content of a file. Raises UserError for anything else."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error), way_out) from None
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object", way_out)
    return content


def parse(cls: Callable[..., R], content: Mapping[str, Any], path: Path | str, way_out: str) -> R:
    """Makes a record of the content of a file. Raises UserError if a field does not fit."""
    adapter = _adapter(cls)
    # Strictly, but as JSON: a list may become a tuple, an object a dataclass. Pydantic's own parser
    # refuses lone surrogates, which stand for bytes of file names; here only the types count.
    try:
        text = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        adapter.validate_json(text, strict=True)
        record: R = adapter.validate_python(content)
    except RecursionError as error:
        raise damaged(path, str(error), way_out) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = first["msg"]
        raise damaged(path, f"{place}: {problem}" if place else problem, way_out) from None
    return record


def damaged(path: Path | str, problem: str, way_out: str) -> DamagedRecordError:
    """The error for a record that is not what its writer wrote."""
    return DamagedRecordError(f"{path} is damaged ({problem}). {way_out}")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def write_object(content: Mapping[str, Any], path: Path) -> None:
    """Writes a JSON object. A reader sees the old file or the new one."""
    with writing(path) as part:
        Path(part).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
