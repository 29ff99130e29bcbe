"""Records: small JSON files of which a dataclass gives the fields.

A damaged record is refused in one line. It is never taken for what it does not say: "no" is not a
boolean, and "3" is not a number.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from seqline.errors import UserError
from seqline.storage.staging import writing

R = TypeVar("R")

# A number of things: what is larger was never counted, and would overflow where it is divided.
Count = Annotated[int, Field(ge=0, lt=2**63)]
# The way out for a file of a finished artifact.
MADE_AGAIN = "seqline run --verify makes it again."
# The most characters of a message about what is wrong: a damaged name may be megabytes long.
MAX_PROBLEM = 200


class DamagedRecordError(UserError):
    """A record that is not what its writer wrote."""


def read(cls: Callable[..., R], path: Path, way_out: str) -> R:
    """Reads a record.

    Args:
        cls: Its dataclass or TypedDict, or a list or dict of these. Fields of the file that a
            dataclass does not have are left out.
        path: The file, a Path or an ObjectPath.
        way_out: What the user can do about a damaged file, as a sentence.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedRecordError: The file is damaged.
        UserError: The file cannot be read.
    """
    return parse(cls, _load(_read_bytes(path, way_out), path, way_out), path, way_out)


def of_artifact(cls: Callable[..., R], path: Path) -> R:
    """Reads a record that is a file of a finished artifact.

    Args:
        cls: See `read`.
        path: The file.

    Raises:
        UserError: The file is missing or damaged, or cannot be read.
    """
    try:
        return read(cls, path, MADE_AGAIN)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. {MADE_AGAIN}") from None


def read_object(path: Path, way_out: str) -> dict[str, Any]:
    """Reads a JSON object. Raises as `read` does."""
    return parse_object(_read_bytes(path, way_out), path, way_out)


def _read_bytes(path: Path, way_out: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). {way_out}") from None


def parse_object(data: bytes | str, path: Path | str, way_out: str) -> dict[str, Any]:
    """The JSON object in the content of a file. Raises UserError for anything else."""
    content = _load(data, path, way_out)
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object", way_out)
    return content


def _load(data: bytes | str, path: Path | str, way_out: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error), way_out) from None


def parse(
    cls: Callable[..., R],
    content: Any,
    path: Path | str,
    way_out: str,
    within: tuple[str, ...] = (),
) -> R:
    """Makes a record of the content of a file, or of a part of it.

    Args:
        cls: See `read`.
        content: Parsed JSON.
        path: The file.
        way_out: See `read`.
        within: The names that lead to the part.

    Raises:
        DamagedRecordError: A field does not fit.
    """
    adapter = _adapter(cls)
    # Strictly, but as JSON: a list may become a tuple, an object a dataclass. Pydantic's own parser
    # refuses lone surrogates, which stand for bytes of file names; here only the types count.
    try:
        text = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        adapter.validate_json(text, strict=True)
        # A TypedDict is the content itself, in the order of the file.
        record: R = content if is_typeddict(cls) else adapter.validate_python(content)
    except RecursionError as error:
        raise damaged(path, str(error), way_out) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in (*within, *first["loc"]))
        problem = first["msg"]
        raise damaged(path, f"{place}: {problem}" if place else problem, way_out) from None
    return record


def damaged(path: Path | str, problem: str, way_out: str) -> DamagedRecordError:
    """The error for a record that is not what its writer wrote."""
    line = " ".join(problem.split())
    if len(line) > MAX_PROBLEM:
        line = f"{line[:MAX_PROBLEM]}..."
    return DamagedRecordError(f"{path} is damaged ({line}). {way_out}")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def write_object(content: Mapping[str, Any], path: Path) -> None:
    """Writes a JSON object. A reader sees the old file or the new one."""
    with writing(path) as part:
        Path(part).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
