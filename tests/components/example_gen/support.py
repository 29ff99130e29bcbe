"""Sources of example_gen for tests, and what is read of them."""

from pathlib import Path
from typing import Any

from components.example_gen import ExampleGenParams, sources
from components.example_gen.sources import read
from seqline.rows.row import BadRow, Row


def read_all(source: object, **fields: Any) -> list[Row | BadRow]:
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source), **fields)
    return [
        row
        for span in sources.window(params)
        for shard in sources.shards(span, params)[0]
        for row in read(shard, params)
    ]


def write(path: Path, content: bytes = b"text,label\na,x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def window(source: object, **fields: Any) -> list[tuple[int, int | None, list[str]]]:
    """(number, version, names of the files below the source's first placeholder) of each span."""
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source), **fields)
    root = str(source).partition("{")[0]
    found = sources.window(params)
    return [
        (
            span.number,
            span.version,
            [file.path.removeprefix(root) for part in span.parts for file in part.files],
        )
        for span in found
    ]
