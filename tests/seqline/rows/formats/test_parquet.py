from pathlib import Path

import pyarrow as pa
import pytest

from seqline.errors import DataError, UserError
from seqline.rows.read import cut
from seqline.rows.row import BadRow, Row
from seqline.storage import files
from tests.support.source_files import check, read_all, reasons, usable, write_parquet


def test_parquet_columns_of_other_kinds(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"caf\xe9", None, b" "], pa.binary())
    path = write_parquet(
        tmp_path / "a.parquet",
        {"id": [1, 2, 3, 4], "text": texts, "label": pa.array([3, 1, 1, 1], pa.int8())},
    )

    assert read_all(path) == [
        Row(b"a", b"3", str(path), 1),
        BadRow(
            str(path), 2, "the text is not valid in the source's encoding: 'caf\\udce9'", "encoding"
        ),
        BadRow(str(path), 3, "the text is None, not a string", "missing text"),
        BadRow(str(path), 4, "the text is empty", "empty text"),
    ]

    labels = pa.array(["x", "y", None, "x"]).dictionary_encode()
    path = write_parquet(tmp_path / "b.parquet", {"text": ["a", "b", "c", "d"], "label": labels})
    assert [row[:2] for row in read_all(path)] == [
        (b"a", b"x"),
        (b"b", b"y"),
        (str(path), 3),
        (b"d", b"x"),
    ]

    path = write_parquet(tmp_path / "c.parquet", {"text": ["a"], "label": [1.0]})
    assert reasons(read_all(path)) == [(1, "the label is 1.0, not a string or an integer", "type")]


def test_parquet_by_row_groups(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        {"text": [f"t{n}" for n in range(10)], "label": ["x"] * 10},
        row_group_size=3,
    )
    whole = read_all(path)
    assert [(row.content, row.line) for row in whole if isinstance(row, Row)] == [
        (b"t%d" % n, n + 1) for n in range(10)
    ]
    shards = cut("parquet", files.match(str(path)), shard_bytes=200)
    assert [(shard.start, shard.end) for shard in shards] == [(0, 2), (2, 4)]
    assert read_all(path, shard_bytes=200) == whole


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"texts": ["a"], "label": ["x"]})
    with pytest.raises(
        UserError,
        match=(
            r"has no column 'text' \(example_gen.text\); it has 'texts', 'label'\. Did you mean"
            r" 'texts'\?"
        ),
    ):
        check(path)

    path = write_parquet(
        tmp_path / "b.parquet",
        {"text": pa.array([], pa.string()), "label": pa.array([], pa.string())},
    )
    with pytest.raises(DataError, match="has no row\\. Name files"):
        check(path)

    path = write_parquet(tmp_path / "c.parquet", {"text": ["a" * 1000], "label": ["x"]})
    path.write_bytes(path.read_bytes()[:-100])
    for act in (read_all, check):
        with pytest.raises(DataError, match=rf"{path} is damaged: Parquet magic bytes not found"):
            act(path)


def test_parquet_sequences_of_other_kinds(tmp_path: Path) -> None:
    steps = pa.list_(pa.list_(pa.float64(), 2))
    path = write_parquet(
        tmp_path / "a.parquet",
        {"text": pa.array([[[1, 2], [3, 4]], [], None], steps), "label": ["x"] * 3},
    )
    rows = read_all(path, content="sequence")
    assert rows[0][0].tolist() == [[1, 2], [3, 4]]
    assert [problem for _, _, problem in reasons(rows)] == ["empty text", "missing text"]

    ragged = pa.array(
        [[[1, 2], [3]], [[1], [2, 3]], [[1, None]], [[None]], [[1], []]],
        pa.list_(pa.list_(pa.float32())),
    )
    path = write_parquet(tmp_path / "b.parquet", {"text": ragged, "label": ["x"] * 5})

    assert [problem for _, _, problem in reasons(read_all(path, content="sequence"))] == [
        "format",
        "format",
        "type",
        "type",
        "format",
    ]

    path = write_parquet(tmp_path / "c.parquet", {"text": [[1, 2, 3, 4]], "label": ["x"]})
    assert usable(read_all(path, content="sequence", dim=2))[0][0].tolist() == [[1, 2], [3, 4]]
