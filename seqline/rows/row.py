"""A row of a source, whatever its format, and how rows are read. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from seqline.data.examples import Content


@dataclass(frozen=True)
class RowFormat:
    """How rows are read, and what errors call that.

    Attributes:
        section: The section of the configuration that says it, such as "example_gen".
        content: What a row holds.
        text: The column, field or feature with the content.
        label: The one with the label. None for rows without labels.
        dim: Numbers of one time step of a sequence.
        dim_name: What errors call dim.
        encoding: The encoding of text files.
        delimiter: What separates the columns of a CSV file.
        keep: Other columns, whose values are read along.
        empty_text: Whether an empty text is a row, too.
    """

    section: str
    content: Content = "text"
    text: str = "text"
    label: str | None = None
    dim: int | None = None
    dim_name: str = "dim"
    encoding: str = "utf-8"
    delimiter: str = ","
    keep: tuple[str, ...] = ()
    empty_text: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: the content, the label if there is one, those to keep."""
        labels = () if self.label is None else (self.label,)
        return (self.text, *labels, *self.keep)


class Row(NamedTuple):
    """A usable row and where it came from.

    Attributes:
        content: bytes (text, UTF-8), list[bytes] (tokens), or float32 [time, dim] (sequence).
        label: UTF-8; b"" where rows have no labels.
        file: The path of its file.
        line: From 1; in a format without lines the number of the row in its file.
        kept: A JSON value for each column of `RowFormat.keep`.
    """

    content: Any
    label: bytes
    file: str
    line: int
    kept: tuple[Any, ...] = ()


class BadRow(NamedTuple):
    """A row that cannot be used, where it is and why.

    Attributes:
        file: The path of its file.
        line: As that of a `Row`.
        reason: The end of a sentence about it.
        problem: "missing text", "missing label", "empty text", "empty label", "encoding", "type"
            (the wrong type for a content or a label) or "format" (all else).
    """

    file: str
    line: int
    reason: str
    problem: str
