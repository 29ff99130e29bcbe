"""Folders of <class>/<name>.txt: each file is a row, and its folder's name the label."""

import codecs
from collections.abc import Iterator

from components import files
from components.example_gen import ExampleGenParams
from components.example_gen.rows import BadRow, Row, judge, undecodable
from components.example_gen.sources import Shard


def read(path: str, shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """The one row of a file."""
    with files.explained(path), files.open_content(path) as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode(params.encoding)
    except UnicodeDecodeError as error:
        yield undecodable(error, path, content[: error.start].count(b"\n") + 1, params.encoding)
        return
    yield judge(params, flat=True)(text, path.rsplit("/", 2)[1], path, 1)


def check(path: str, params: ExampleGenParams) -> None:
    """Nothing is seen wrong before a file is read."""
