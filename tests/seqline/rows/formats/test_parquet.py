import math
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqline.errors import DataError, UserError
from seqline.rows import arrow_columns
from seqline.rows.formats import parquet
from seqline.rows.read import cut
from seqline.rows.row import BadRow, Row
from seqline.storage import files
from tests.support.source_files import (
    check,
    read_all,
    reasons,
    row_format,
    usable,
    write_parquet,
)


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


def test_parquet_labels_that_came_as_floats(tmp_path: Path) -> None:
    """pandas writes whole numbers as floats where one is missing."""
    labels = [1.0, -0.0, 1e3, None, math.nan, 0.5, math.inf, 2.0**53]
    columns = {"text": list("abcdefgh"), "label": labels}
    rows = read_all(write_parquet(tmp_path / "a.parquet", columns))

    assert [row.label for row in rows[:3]] == [b"1", b"0", b"1000"]
    assert reasons(rows[3:]) == [
        (4, "the label is None, not a string or a whole number", "missing label"),
        (5, "the label is nan, a missing value", "missing label"),
        (
            6,
            "the label is 0.5, not a string or a whole number: write classes as strings",
            "type",
        ),
        (
            7,
            "the label is inf, not a string or a whole number: write classes as strings",
            "type",
        ),
        (
            8,
            "the label is 9007199254740992, a float of 2^53 or more, where whole numbers are not"
            " exact: write it as a string or an integer",
            "type",
        ),
    ]

    decimals = pa.array([Decimal("7.00"), Decimal("7.50")], pa.decimal128(5, 2))
    path = write_parquet(tmp_path / "b.parquet", {"text": ["a", "b"], "label": decimals})
    good, bad = read_all(path)
    assert good.label == b"7"
    assert bad.reason == (
        "the label is 7.50, not a string or a whole number: write classes as strings"
    )


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


def test_parquet_without_rows(tmp_path: Path) -> None:
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    empty = [tmp_path / name for name in ("a.parquet", "b.parquet", "c.parquet")]
    pq.write_table(schema.empty_table(), empty[0])
    pq.ParquetWriter(empty[1], schema).close()  # No row group.
    empty[2].touch()
    for path in empty:
        assert read_all(path) == []
        assert [*parquet.raw_rows(str(path), row_format())] == []
    with pytest.raises(DataError, match=r"a\.parquet and 2 others have no row"):
        check(tmp_path / "*.parquet")

    write_parquet(tmp_path / "d.parquet", {"text": ["a"], "label": ["x"]})
    check(tmp_path / "*.parquet")
    assert usable(read_all(tmp_path / "*.parquet")) == [(b"a", b"x")]


def test_parquet_of_which_one_file_lacks_a_column(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"text": ["a"], "label": ["x"]})
    path = write_parquet(tmp_path / "b.parquet", {"label": ["x"], "body": ["b"]})
    for act in (check, read_all):
        with pytest.raises(UserError, match=rf"^{path} has no column 'text'"):
            act(tmp_path / "*.parquet")


def test_parquet_that_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PARE" + b"\0" * 100 + b"PARE")
    for act in (check, read_all):
        with pytest.raises(DataError, match=rf"^{path} is encrypted\. Write it again without"):
            act(path)


def test_parquet_with_a_damaged_page_is_one_line(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(3000)]
    path = write_parquet(
        tmp_path / "a.parquet", {"text": texts, "label": ["x"] * 3000}, compression="zstd"
    )
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path} is damaged[^\n]*$"):
        read_all(path)


def test_parquet_reads_few_long_rows_at_once() -> None:
    assert arrow_columns.batch_rows(10_000, 10_000 * 100) == 1024
    # 64 MiB are 64 rows of 1 MiB, and not one of 100 MiB: that one is read alone.
    assert arrow_columns.batch_rows(1000, 1000 << 20) == 64
    assert arrow_columns.batch_rows(10, 1000 << 20) == 1


def test_categories_in_structs_in_several_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array([f"text {number}" for number in range(5)]).dictionary_encode()
    rows = pa.StructArray.from_arrays([texts], names=["text"])
    table = pa.table({"row": rows, "label": ["x"] * 5})
    pq.write_table(table, path, row_group_size=2)
    assert usable(read_all(path, text="row.text")) == [
        (f"text {number}".encode(), b"x") for number in range(5)
    ]
