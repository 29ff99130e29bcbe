from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather

from seqline.errors import DataError, UserError
from seqline.rows.formats import arrow
from seqline.rows.row import Row
from tests.support.source_files import (
    check,
    read_all,
    read_bytes,
    reasons,
    row_format,
    usable,
    write_arrow,
    write_table,
)

COLUMNS = {"text": ["a", "b", "c"], "n": [1, 2, 3], "label": ["x", "y", "x"]}
ROWS = [(b"a", b"x"), (b"b", b"y"), (b"c", b"x")]


@pytest.mark.parametrize("name", ["a.arrow", "a.arrows", "a.ipc", "a.feather"])
@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "file"])
def test_arrow_files_and_streams_by_what_they_hold(
    tmp_path: Path, name: str, is_stream: bool
) -> None:
    path = write_arrow(tmp_path / name, pa.table(COLUMNS), is_stream, batch_rows=2)
    check(path)
    assert read_all(path) == [
        Row(b"a", b"x", str(path), 1),
        Row(b"b", b"y", str(path), 2),
        Row(b"c", b"x", str(path), 3),
    ]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather_with_a_dictionary(tmp_path: Path, compression: str) -> None:
    table = pa.table(COLUMNS | {"label": pa.array(["x", "y", "x"]).dictionary_encode()})
    feather.write_feather(table, str(tmp_path / "a.feather"), compression=compression)
    assert usable(read_all(tmp_path / "a.feather")) == ROWS


def test_arrow_without_rows(tmp_path: Path) -> None:
    table = pa.table(COLUMNS)
    empty = [
        write_arrow(tmp_path / "a.arrow", table[:0], is_stream=True),
        write_arrow(tmp_path / "b.arrow", table[:0], is_stream=False),
        tmp_path / "c.arrow",
    ]
    empty[-1].touch()
    for path in empty:
        assert read_all(path) == []
    with pytest.raises(DataError, match="and 2 others have no row"):
        check(tmp_path / "*.arrow")

    write_arrow(tmp_path / "d.arrow", table, is_stream=True)
    check(tmp_path / "*.arrow")
    assert usable(read_all(tmp_path / "*.arrow")) == ROWS


def cut_at_a_batch(content: bytes) -> bytes:
    return content[: -len(arrow.STREAM_END)]


@pytest.mark.parametrize(
    ("is_stream", "damage", "message"),
    [
        (True, lambda content: content[:-100], r"damaged after row 2: Expected to read"),
        (True, cut_at_a_batch, r"damaged after row 3: the stream has no end: its writer"),
        (True, lambda content: content * 2, r"damaged after row 3: something follows the end"),
        (False, lambda content: content[:-20], r"damaged: Not an Arrow file"),
        (False, lambda _: b"text,label\na,x\n", r"damaged: it is neither an Arrow file nor"),
        (False, lambda _: b"FEA1....", r"is Feather version 1.* Write it again as version 2"),
    ],
    ids=["cut", "cut between batches", "twice", "file cut", "csv", "feather 1"],
)
def test_arrow_that_is_damaged(
    tmp_path: Path, is_stream: bool, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = write_arrow(tmp_path / "a.arrow", pa.table(COLUMNS), is_stream, batch_rows=2)
    with pytest.raises(DataError, match=rf"^{path} (is )?{message}[^\n]*$"):
        read_bytes(path, damage(path.read_bytes()))


def test_arrow_of_corrupt_offsets_does_not_crash(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"\x00\x00\x00\x00\xff\xff\xff\x00\x03\x00\x00\x00")
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    path = write_arrow(tmp_path / "a.arrow", pa.table({"text": texts, "label": ["x", "y"]}), True)
    with pytest.raises(DataError, match=r"is damaged: .*offset"):
        read_all(path)


def test_arrow_beginnings_for_init(tmp_path: Path) -> None:
    path = write_arrow(tmp_path / "a.arrow", pa.table(COLUMNS), True, batch_rows=2)
    rows = pa.table(COLUMNS).to_pylist()
    assert [*arrow.raw_rows(str(path), row_format())] == rows


# What Arrow and Parquet files share: seqline.rows.arrow_columns.

Write = Callable[[Path, Any], Path]


@pytest.fixture(params=["parquet", "arrow"])
def write(request: pytest.FixtureRequest) -> Write:
    """Writes a table, or its columns, into a folder."""

    def write_to(folder: Path, columns: Any) -> Path:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        return write_table(folder / f"a.{request.param}", table)

    return write_to


def test_fields_of_structs(tmp_path: Path, write: Write) -> None:
    reviews = [{"text": "a", "by": {"id": 7}}, None, {"text": "c", "by": None}]
    path = write(tmp_path, {"review": reviews, "label": ["x", "y", "x"]})
    rows = read_all(path, text="review.text", keep=("review.by.id", "review.by"))
    assert rows[0] == Row(b"a", b"x", str(path), 1, (7, {"id": 7}))
    assert reasons(rows) == [(2, "the text is None, not a string", "missing text")]
    assert rows[2] == Row(b"c", b"x", str(path), 3, (None, None))

    # The column of exactly this name comes first.
    path = write(tmp_path, {"review.text": ["1", "2", "3"], "review": reviews, "label": ["x"] * 3})
    assert usable(read_all(path, text="review.text")) == [(b"1", b"x"), (b"2", b"x"), (b"3", b"x")]

    for name in ("review.texts", "text"):
        with pytest.raises(UserError, match=r"has no column .* Did you mean 'review\.text'\?"):
            check(path, text=name)
    with pytest.raises(
        UserError,
        match=(
            r"the column 'review' \(example_gen\.text\) has fields of its own\. Set"
            r" example_gen\.text to one of them: 'review\.text', 'review\.by', 'review\.by\.id'"
        ),
    ):
        check(path, text="review")


def test_two_columns_of_one_name(tmp_path: Path, write: Write) -> None:
    table = pa.table(
        [pa.array(["a", "b"]), pa.array(["c", "d"]), pa.array(["x", "y"]), pa.array([1, 2])],
        names=["text", "text", "label", "n"],
    )
    path = write(tmp_path, table)
    for act in (check, read_all):
        with pytest.raises(
            UserError, match=rf"^{path} has 2 columns 'text'; rename all but the one that is meant"
        ):
            act(path)
    # Those that are not asked for do not matter.
    assert usable(read_all(path, text="label", label="n")) == [(b"x", b"1"), (b"y", b"2")]


def test_class_labels_of_hugging_face_are_names(tmp_path: Path, write: Write) -> None:
    table = pa.table({"text": list("abcd"), "label": [1, 0, -1, None], "n": [1, 2, 3, 4]})
    info = (
        b'{"info": {"features": {"text": {"dtype": "string", "_type": "Value"},'
        b' "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}'
    )
    path = write(tmp_path, table.replace_schema_metadata({b"huggingface": info}))
    rows = read_all(path)
    assert [row[:2] for row in rows[:2]] == [(b"a", b"pos"), (b"b", b"neg")]
    assert reasons(rows) == [
        (3, "the label is None, not a string or a whole number", "missing label"),
        (4, "the label is None, not a string or a whole number", "missing label"),
    ]
    assert usable(read_all(path, label="n"))[3] == (b"d", b"4")

    table = pa.table({"text": ["a"], "label": [2]})
    path = write(tmp_path, table.replace_schema_metadata({b"huggingface": info}))
    with pytest.raises(DataError, match="class label 'label' holds 2 and names 2 classes, from 0"):
        read_all(path)

    # What is not the metadata that `datasets` writes is passed over.
    path = write(tmp_path, table.replace_schema_metadata({b"huggingface": b"[[]"}))
    assert usable(read_all(path)) == [(b"a", b"2")]


def test_columns_that_the_path_names(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "label=pos"
    folder.mkdir()
    path = write(folder, {"text": ["a", "b"]})
    assert usable(read_all(path)) == [(b"a", b"pos"), (b"b", b"pos")]

    # All of them: the number of rows is all that the file says.
    folder = tmp_path / "text=t" / "label=pos"
    folder.mkdir(parents=True)
    path = write(folder, {"n": [1, 2, 3]})
    assert usable(read_all(path)) == [(b"t", b"pos")] * 3


def test_whole_decimals_are_integer_labels(tmp_path: Path, write: Write) -> None:
    decimals = pa.array(["3.00", "4.00"]).cast(pa.decimal128(5, 2))
    path = write(tmp_path, {"text": ["a", "b"], "label": decimals})
    assert usable(read_all(path)) == [(b"a", b"3"), (b"b", b"4")]


def test_times_are_kept_as_strings(tmp_path: Path, write: Write) -> None:
    days = pa.array([0, 10_000_000], pa.int32()).cast(pa.date32())
    moments = pa.array([1_000, 1], pa.timestamp("ns"))
    path = write(tmp_path, {"text": ["a", "b"], "label": ["x", "y"], "d": days, "t": moments})
    kept = [row.kept for row in read_all(path, keep=("d", "t")) if isinstance(row, Row)]
    assert kept == [
        ("1970-01-01", "1970-01-01 00:00:00.000001"),
        ("29349-01-26", "1970-01-01 00:00:00.000000001"),
    ]


def test_values_that_cannot_be_read(tmp_path: Path) -> None:
    struct = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    path = write_arrow(tmp_path / "a.arrow", pa.table({"text": ["a"], "label": ["x"], "s": struct}))
    with pytest.raises(
        UserError, match=r"the column 's' of the type struct<.*> cannot be read: it has two fields"
    ):
        read_all(path, keep=("s",))


def test_a_column_without_a_value(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, {"text": pa.nulls(2), "label": ["x", "y"]})
    assert [problem for _, _, problem in reasons(read_all(path))] == ["missing text"] * 2
