"""Where listed rows came from.

The user's own file and line, for every kind of source, and never a wrong one.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.example_gen import ExampleGenParams, run
from seqline.data import features, origins
from seqline.data.examples import read
from seqline.errors import UserError

NUM_ROWS = 60


def rows() -> list[tuple[str, str]]:
    """The rows as (text, label)."""
    return [(f"text number {number}", "ab"[number % 2]) for number in range(NUM_ROWS)]


def as_csv(folder: Path) -> str:
    """Every third text has a line break of its own."""
    lines = "".join(
        f'"{text}{chr(10) + "more" if number % 3 == 0 else ""}",{label}\n'
        for number, (text, label) in enumerate(rows())
    )
    (folder / "rows.csv").write_text("text,label\n" + lines)
    return str(folder / "rows.csv")


def as_jsonl(folder: Path) -> str:
    for name, start in (("one.jsonl", 0), ("two.jsonl", 25)):
        chosen = rows()[start : 25 if start == 0 else None]
        (folder / name).write_text(
            "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in chosen)
        )
    return str(folder / "*.jsonl")


def as_parquet(folder: Path) -> str:
    texts, labels = zip(*rows(), strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "rows.parquet")
    return str(folder / "rows.parquet")


def as_folder(folder: Path) -> str:
    for number, (text, label) in enumerate(rows()):
        (folder / "texts" / label).mkdir(parents=True, exist_ok=True)
        (folder / "texts" / label / f"{number}.txt").write_text(text)
    return str(folder / "texts")


def text_at(place: dict[str, Any]) -> str:
    """The text at a place, as a person finds it."""
    file = Path(place["file"])
    if file.suffix == ".parquet":
        assert set(place) == {"file", "row"}
        return str(pq.read_table(file)["text"][place["row"] - 1].as_py())

    if file.suffix == ".txt":
        assert set(place) == {"file"}
        return file.read_text()

    assert set(place) == {"file", "line"}
    line = file.read_text().split("\n")[place["line"] - 1]
    return (
        str(json.loads(line)["text"])
        if file.suffix == ".jsonl"
        else line.partition('"')[2].partition('"')[0]
    )


@pytest.mark.parametrize("make", [as_csv, as_jsonl, as_parquet, as_folder])
def test_every_row_of_test_is_found_where_it_is_said_to_be(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    figures = run(
        params=ExampleGenParams(source=make(tmp_path)), output=_made(tmp_path / "examples")
    )
    listed = _listed(tmp_path / "examples")
    assert len(listed) == sum(figures["num_rows"]["test"].values()) > 5
    origins.locate(tmp_path / "examples", "test", listed)
    for row in listed:
        assert text_at(row["source"]) == row["content"].split("\n")[0]
        assert "checksum" not in row


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _listed(examples: Path) -> list[dict[str, Any]]:
    rows = []
    for path in features.shards(examples, "test"):
        for number, content in enumerate(read(path, "text").contents):
            rows.append(
                {
                    "shard": path.name,
                    "row": number,
                    "checksum": origins.checksum(content),
                    "content": content.decode(),
                }
            )
    return rows


def test_the_same_rows_have_the_same_bytes(tmp_path: Path) -> None:
    source = as_csv(tmp_path)
    for name in ("one", "two"):
        run(params=ExampleGenParams(source=source), output=_made(tmp_path / name))
    one, two = (sorted((tmp_path / name / origins.FOLDER).iterdir()) for name in ("one", "two"))
    assert [path.name for path in one] == ["test-data_tfrecord-00000-00000-00000.gz"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_row_that_is_another_has_no_place(tmp_path: Path) -> None:
    made = origins.Origins("line")
    for number in range(2, 6):
        made.add("rows.csv", number)
    origins.write(made, [b"a", b"b", b"b", b"c"], str(tmp_path / "rows.gz"))

    places = origins.read(str(tmp_path / "rows.gz"))
    assert places == made

    known = [origins.checksum(content) for content in (b"a", b"b", b"c", b"d")]
    assert places.place(0, known[0]) == {"file": "rows.csv", "line": 2}
    assert places.place(2, known[1]) == {"file": "rows.csv", "line": 4}
    assert places.place(2, known[2]) == {
        "file": "rows.csv",
        "line": 5,
    }  # a row before it was taken out
    assert places.place(0, known[1]) is None  # one of two
    assert places.place(0, known[3]) is None
    assert places.place(9, known[0]) == {"file": "rows.csv", "line": 2}


def test_examples_without_origins_and_with_damaged_ones(tmp_path: Path) -> None:
    row = {"shard": "data_tfrecord-00000-00000-00000.gz", "row": 0, "checksum": 1}
    origins.locate(tmp_path, "test", [row])
    assert row == {"shard": "data_tfrecord-00000-00000-00000.gz", "row": 0}
    path = Path(origins.path_in(tmp_path, "test", row["shard"]))
    path.parent.mkdir()
    for damaged in (gzip.compress(b'{"unit": "line"}\n')[:-3], gzip.compress(b"{"), b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"^{path} is damaged .*--verify makes it again\.$"):
            origins.read(str(path))


@pytest.mark.parametrize(
    "content", [b"text", [b"some", b"tokens"], np.array([[1.5, 2]], np.float32)]
)
def test_a_checksum_is_that_of_the_content_as_it_was_read(content: Any) -> None:
    from components.example_gen.split_by_digest import identity

    flat = content.ravel() if isinstance(content, np.ndarray) else content  # as Examples hold it
    assert origins.checksum(flat) == origins.checksum(content) == crc32(identity(content))
