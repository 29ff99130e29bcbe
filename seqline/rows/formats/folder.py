"""Folders of <class>/<name>.txt: each file is a row, and its folder's name the label."""

import codecs
from collections.abc import Iterator

from seqline.rows.judge import judge, undecodable
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The one row of a file."""
    with files.translate_errors(path), files.open_content(path) as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode(format_.encoding)
    except UnicodeDecodeError as error:
        yield undecodable(error, path, content[: error.start].count(b"\n") + 1, format_.encoding)
        return
    values = (text,) if format_.label is None else (text, path.rsplit("/", 2)[1])
    yield judge(format_, flat=True)(values, path, 1)


def check(path: str, format_: RowFormat) -> None:
    """Nothing is seen wrong before a file is read."""
