"""Sources of example_gen for tests, and what is read of them."""

from pathlib import Path
from typing import Any

from components.example_gen import ExampleGenParams, run, sources
from components.example_gen.sources import read
from components.example_gen.split_by_digest import digest_of, split_at
from seqline.component import Figures
from seqline.rows.row import BadRow, Row

# The fractions of the splits by default.
FRACTIONS = {"train": 0.7, "eval": 0.1, "test": 0.2}


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
    spans = sources.window(params)
    return [
        (
            span.number,
            span.version,
            [file.path.removeprefix(root) for part in span.parts for file in part.files],
        )
        for span in spans
    ]


def make(params: ExampleGenParams, output: Path) -> Figures:
    """Runs the component, without a span cache."""
    output.mkdir()
    return run(params=params, output=output)


def read_examples(output: Path, split: str) -> list[tuple[str, str]]:
    """(text, label) of the rows of a split, in order."""
    import tensorflow as tf

    rows = []
    for path in sorted((output / f"Split-{split}").glob("*.gz")):
        for content in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            fields = tf.train.Example.FromString(content).features.feature
            assert sorted(fields) == ["label", "text"]
            text, label = (fields[name].bytes_list.value[0] for name in ("text", "label"))
            rows.append((text.decode(), label.decode()))
    return rows


def split_of(text: str) -> str:
    """The split of a row with this text, by default."""
    return split_at(digest_of(text.encode()), FRACTIONS)
