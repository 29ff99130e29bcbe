"""Rows of files, of whichever format.

CSV, JSONL, TFRecord (tf.Example), Parquet, folders of text files; local or gs://, .gz or not.

What reads rows, labelled or not, shares it. `shards` cuts files into bounded pieces, `read` gives
their rows. Imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from seqline.data.examples import Content


@dataclass(frozen=True)
class RowFormat:
    """How rows are read, and how errors call it.

    section: of the configuration, such as "example_gen". text: the column, field or feature with
    the content; label: the one with the label, None for rows without. keep: other columns whose
    values come along. dim: numbers of one time step of a sequence, and dim_name what it is called.
    empty_text: whether a text without a character is a row, too.
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
        """What is read of a row, in the order in which it is judged.

        The content, the label if there is one, what is kept.
        """
        return (self.text, *(() if self.label is None else (self.label,)), *self.keep)


class Row(NamedTuple):
    """A usable row and where it came from.

    content: bytes (text, UTF-8), list[bytes] (tokens), or float32 [time, dim] (sequence). label:
    b"" where rows have none. line: from 1; in a format without lines the number of the row in its
    file. kept: a JSON value for each column of `RowFormat.keep`.
    """

    content: Any
    label: bytes
    file: str
    line: int
    kept: tuple[Any, ...] = ()


class BadRow(NamedTuple):
    """A row that cannot be used, where it is and why.

    problem: one of "missing text", "missing label", "empty text", "empty label", "encoding", "type"
    (not what `content` or a label is made of) and "format" (all else).
    """

    file: str
    line: int
    reason: str
    problem: str
