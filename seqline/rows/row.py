"""A row of a source, whatever its format, and how rows are read. Imports nothing heavy."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import unquote

from seqline.data.examples import Content

Quoting = Literal["auto", "double", "none"]
# The value of a partition's folder that stands for a missing value, as Hive and Spark write it.
MISSING_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class RowFormat:
    """How rows are read, and what errors call that.

    Attributes:
        section: The section of the configuration that says it, such as "example_gen".
        content: What a row holds.
        text: The columns, fields or features with the content. Those of several are joined.
        label: The one with the label. None for rows without labels.
        split: The one with the name of the row's split. None where rows do not say it.
        weight: The one with the row's weight. None where all rows weigh the same.
        dim: Numbers of one time step of a sequence.
        dim_name: What errors call dim.
        encoding: The encoding of text files.
        delimiter: What separates the columns of a CSV file. None: the header tells.
        quoting: Whether quotes enclose the fields of a CSV file. `auto`: the file tells.
        header: The names of the columns of CSV files whose first line is a row.
        keep: Other columns, whose values are read along.
        empty_text: Whether an empty text is a row, too.
        constants: (column, value) of columns that the path of the file names, see `at`.
    """

    section: str
    content: Content = "text"
    text: tuple[str, ...] = ("text",)
    label: str | None = None
    split: str | None = None
    weight: str | None = None
    dim: int | None = None
    dim_name: str = "dim"
    encoding: str = "utf-8"
    delimiter: str | None = None
    quoting: Quoting = "auto"
    header: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    empty_text: bool = False
    constants: tuple[tuple[str, str | None], ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns of a row: contents, label, split, weight and those to keep, if any."""
        single = (self.label, self.split, self.weight)
        return (*self.text, *(name for name in single if name is not None), *self.keep)

    @property
    def columns(self) -> tuple[str, ...]:
        """The wanted columns that are in the file, in the same order."""
        constants = {name for name, _ in self.constants}
        return tuple(name for name in self.wanted if name not in constants)

    def at(self, path: str) -> Self:
        """The format of one file: columns that its path names, as in `label=pos/`, are constants.

        Folders `<column>=<value>` are Hive's partitions, which Spark, pandas and Arrow write. The
        value is percent-encoded.
        """
        values = partitions_of(path)
        constants = tuple(
            (name, values[name]) for name in dict.fromkeys(self.wanted) if name in values
        )
        return replace(self, constants=constants) if constants else self


def partitions_of(path: str) -> dict[str, str | None]:
    """The columns that the folders of a path name, with their values; None is a missing one."""
    values = {}
    for folder in path.split("/")[:-1]:
        name, is_partition, value = folder.partition("=")
        if is_partition:
            values[unquote(name)] = None if value == MISSING_PARTITION else unquote(value)
    return values


def columns_given(given: Any) -> Any:
    """The value of a setting that is one column or several, as it was given.

    Raises:
        ValueError: It is something else, or no column.
    """
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("input should be the name of a column, or a list of names")
    if not names:
        raise ValueError("[] names no column; name the one with the content")
    return given


class Row(NamedTuple):
    """A usable row and where it came from.

    Attributes:
        content: bytes (text, UTF-8), list[bytes] (tokens), or float32 [time, dim] (sequence).
        label: UTF-8; b"" where rows have no labels.
        file: The path of its file.
        line: From 1; in a format without lines the number of the row in its file.
        kept: A JSON value for each column of `RowFormat.keep`.
        split: The name of its split as the row says it; None where it does not.
        weight: How much it counts in training.
        label_as_written: The label before it was normalised, where that changed it.
        swallowed: The labels of rows that a quoted field of it seems to hold, if any.
    """

    content: Any
    label: bytes
    file: str
    line: int
    kept: tuple[Any, ...] = ()
    split: str | None = None
    weight: float = 1.0
    label_as_written: str | None = None
    swallowed: tuple[str, ...] = ()


class BadRow(NamedTuple):
    """A row that cannot be used, where it is and why.

    Attributes:
        file: The path of its file.
        line: As that of a `Row`.
        reason: The end of a sentence about it.
        problem: "missing text", "missing label", "empty text", "empty label", "encoding", "type"
            (the wrong type for a content or a label), "split", "weight" or "format" (all else).
    """

    file: str
    line: int
    reason: str
    problem: str
