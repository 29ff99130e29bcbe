"""What a folder of predictions holds: its files, and their sums. Imports nothing heavy."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, with_config
from typing_extensions import TypedDict

from seqline.rows import unused
from seqline.storage.records import Count


def _known_reason(name: str) -> str:
    if name not in unused.REASONS:
        raise ValueError("no such reason")
    return name


class TaskIdentity(TypedDict):
    """task.json."""

    model: str
    source: str
    settings: dict[str, Any]


class FileOfRows(TypedDict):
    """A file with predictions."""

    name: str
    num_rows: Count
    first: Any


class ModelUsed(TypedDict):
    """The model that predicted."""

    digest: str
    version: int | None


@with_config(ConfigDict(extra="forbid"))
class UnusedFiles(TypedDict):
    """`seqline.rows.unused.Unused`, as a file holds it."""

    reason: Annotated[str, AfterValidator(_known_reason)]
    count: Count
    names: list[str]


class SourceRead(TypedDict):
    """The source that was read."""

    digest: str
    unused_files: NotRequired[list[UnusedFiles]]


class PredictionsFile(TypedDict):
    """predictions.json, as far as it is read."""

    model: ModelUsed
    source: SourceRead
    num_rows: Count
    num_labels: dict[str, Count]
    num_bad_rows: Count
    bad_rows: dict[str, Count]
    quoted: list[str]
    files: list[FileOfRows]


@with_config(ConfigDict(extra="forbid"))
class BadRowFile(TypedDict):
    """`seqline.rows.row.BadRow`, as a file holds it."""

    file: str
    line: int
    reason: str
    problem: str


class ChunkNote(TypedDict):
    """The note that a chunk is complete."""

    last: bool
    name: str
    num_rows: Count
    first: Any
    num_labels: dict[str, Count]
    bad_rows: list[BadRowFile]


@dataclass
class PredictionTotals:
    """Sums over all chunks.

    Attributes:
        num_rows: Rows with a prediction.
        num_labels: Label -> rows.
        num_bad: Problem -> rows without a prediction.
        quoted: The first bad rows, for a message.
        files: {name, num_rows, first: the place of the first row} of each file with predictions.
    """

    num_rows: int = 0
    num_labels: Counter[str] = field(default_factory=Counter)
    num_bad: Counter[str] = field(default_factory=Counter)
    quoted: list[str] = field(default_factory=list)
    files: list[FileOfRows] = field(default_factory=list)
