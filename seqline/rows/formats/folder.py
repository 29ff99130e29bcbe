"""Folders of <class>/<name>.txt: each file is a row, and the name of its folder is the label."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from seqline.errors import UserError
from seqline.rows import encodings
from seqline.rows.judge import judge, undecodable
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import compression, files
from seqline.storage.files import File

NAME = "folder"
# A text file alone is not a source.
PATTERN: str | None = None
SUFFIXES: tuple[str, ...] = (".txt", ".txt.gz")
UNIT = ""

TEXT = re.compile(rf".*\.txt{compression.SUFFIX}", re.DOTALL | re.IGNORECASE)


def is_text(path: str) -> bool:
    """Whether a file is named as a text."""
    return TEXT.fullmatch(path) is not None


def check(path: str, format_: RowFormat) -> bool:
    """A file is a row. Nothing can be wrong that does not take reading the whole file.

    Raises:
        UserError: A column is asked for.
    """
    for field, name in (("split", format_.split), ("weight", format_.weight)):
        if name is not None:
            raise UserError(
                f"{format_.section}.{field} {name!r} names a column, and the text files of a folder"
                " have none. Remove it."
            )
    return True


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: a file is one row."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The one row of a file."""
    with files.translate_errors(path), files.open_content(path) as file:
        content = file.read()

    try:
        text = encodings.decode(content, format_.encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        yield undecodable(error, path, line, format_.encoding)
        return

    # A file has no columns, so their names say nothing.
    values = (text,) if format_.label is None else (text, label_of(path, format_.label))
    format_ = replace(format_, text=("text",), constants=())
    yield judge(format_, flat=True)(values, path, 1)


def label_of(path: str, column: str) -> str:
    """The name of the folder of a text; `pos` for a partition `label=pos` of the column `label`."""
    folder = path.rsplit("/", 2)[1]
    name, is_partition, value = folder.partition("=")
    return unquote(value) if is_partition and name == column else folder


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`."""
    named = replace(format_, text=("text",), label="label", constants=())
    shard = Shard(NAME, None, (path,))
    for row in read(path, shard, named):
        if isinstance(row, Row):
            yield {"text": row.content.decode(), "label": row.label.decode()}
