"""Rows come back from Parquet, Arrow and TFRecord files of any types, chunks and shards."""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.errors import UserError
from seqline.rows.formats import format_of, kind_of_name
from seqline.rows.row import Row, RowFormat
from tests.support.source_files import read_all, write_arrow, write_tfrecord

STRINGS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view())
LISTS = (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
FLOATS = (pa.float16(), pa.float32(), pa.float64())
COMPRESSORS: tuple[Callable[[bytes], bytes], ...] = (bytes, gzip.compress, zlib.compress)

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: f"a{text}")
# Numbers that float16 holds, too.
NUMBERS = st.integers(-100, 100).map(float)
SEQUENCES = st.integers(1, 3).flatmap(
    lambda dim: st.lists(st.lists(NUMBERS, min_size=dim, max_size=dim), min_size=1, max_size=4)
)
CONTENTS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "tokens": st.lists(WORDS, min_size=1, max_size=4),
    "sequence": SEQUENCES,
}
Rows = list[tuple[Any, int]]


@st.composite
def sources(draw: st.DrawFn) -> tuple[str, Rows, list[Rows]]:
    """(content, rows, the same rows in shards, some of which may be empty)."""
    content = draw(st.sampled_from(sorted(CONTENTS)))
    rows = draw(st.lists(st.tuples(CONTENTS[content], st.integers(0, 3)), max_size=8))
    cuts = sorted(min(cut, len(rows)) for cut in draw(st.lists(st.integers(0, 8), max_size=3)))
    places = [0, *cuts, len(rows)]
    return content, rows, [rows[start:end] for start, end in pairwise(places)]


def of_strings(draw: st.DrawFn, values: Sequence[str]) -> pa.Array:
    """Strings in one of Arrow's types, also as a dictionary."""
    kind = draw(st.sampled_from(STRINGS))
    # Arrow does not write dictionaries of views to Parquet.
    is_view = kind in (pa.string_view(), pa.binary_view())
    if draw(st.booleans()) and not is_view:
        entries = sorted(set(values))
        indices = pa.array([entries.index(value) for value in values], pa.int16())
        return pa.DictionaryArray.from_arrays(indices, pa.array(entries, pa.string()).cast(kind))
    return pa.array(values, pa.string()).cast(kind)


def column(draw: st.DrawFn, content: str, values: list[Any]) -> pa.Array:
    """The contents of rows in one of the types that may hold them."""
    list_of = draw(st.sampled_from(LISTS))
    if content == "text":
        return of_strings(draw, values)
    if content == "tokens":
        kind = draw(st.sampled_from((pa.string(), pa.large_string(), pa.string_view())))
        return pa.array(values, list_of(kind))
    return pa.array(values, list_of(draw(st.sampled_from(LISTS))(draw(st.sampled_from(FLOATS)))))


@st.composite
def tables(draw: st.DrawFn, content: str, rows: Rows, in_struct: bool) -> pa.Table:
    texts = column(draw, content, [row[0] for row in rows])
    labels = [row[1] for row in rows]
    label = draw(
        st.sampled_from(
            [
                pa.array(labels, pa.int8()),
                pa.array(labels, pa.uint64()),
                pa.array(labels, pa.decimal128(5, 0)),
                pa.array(map(str, labels), pa.string()).dictionary_encode(),
            ]
        )
    )
    if in_struct:
        struct = pa.StructArray.from_arrays([texts, pa.nulls(len(rows))], names=["text", "no"])
        return pa.table({"row": struct, "label": label})
    return pa.table({"no": pa.nulls(len(rows)), "text": texts, "label": label})


def write_parquet(draw: Any, table: pa.Table, path: Path, row_group_size: int) -> None:
    options = {
        "compression": draw(st.sampled_from(["none", "zstd", "snappy"])),
        "use_dictionary": draw(st.booleans()),
        "store_schema": draw(st.booleans()),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
    }
    try:
        pq.write_table(table, path, row_group_size=row_group_size, **options)
    except pa.ArrowNotImplementedError:  # Parts of a struct of views.
        pq.write_table(table, path, **options)


def expected(content: str, rows: Rows) -> list[tuple[Any, bytes]]:
    """(content, label) by the rules of docs/data.md."""
    encode: dict[str, Callable[[Any], Any]] = {
        "text": str.encode,
        "tokens": lambda tokens: [token.encode() for token in tokens],
        "sequence": lambda sequence: sequence,
    }
    return [(encode[content](held), str(label).encode()) for held, label in rows]


def read(folder: str, suffix: str, **fields: Any) -> list[tuple[Any, bytes]]:
    good = []
    for row in read_all(f"{folder}/*{suffix}", **fields):
        assert isinstance(row, Row), row
        is_array = isinstance(row.content, np.ndarray)
        good.append((row.content.tolist() if is_array else row.content, row.label))
    return good


@settings(max_examples=80, deadline=None)
@given(st.data(), sources(), st.sampled_from([".parquet", ".arrow"]), st.booleans())
def test_rows_in_any_table(
    data: st.DataObject, source: tuple[str, Rows, list[Rows]], suffix: str, in_struct: bool
) -> None:
    content, rows, shards = source
    with tempfile.TemporaryDirectory() as folder:
        for number, shard in enumerate(shards):
            path = Path(folder, f"{number}{suffix}")
            if not shard and data.draw(st.booleans()):
                path.touch()
                continue

            table = data.draw(tables(content, shard, in_struct))
            size = data.draw(st.integers(1, 5))
            if suffix == ".arrow":
                write_arrow(path, table, data.draw(st.booleans()), size)
            else:
                write_parquet(data.draw, table, path, size)

        name = "row.text" if in_struct else "text"
        assert read(folder, suffix, content=content, text=name) == expected(content, rows)


def record(content: str, held: Any, label: int, is_sequence: bool, in_list: bool) -> bytes:
    """A serialized Example, or a SequenceExample with the content in a feature list."""
    if not is_sequence:
        made: Any = tf.train.Example()
        features = made.features.feature
    else:
        made = tf.train.SequenceExample()
        features = made.context.feature

    features["label"].int64_list.value.append(label)
    if is_sequence and in_list and content != "text":
        for step in held:
            feature = made.feature_lists.feature_list["text"].feature.add()
            if content == "tokens":
                feature.bytes_list.value.append(step.encode())
            else:
                feature.float_list.value.extend(step)
    elif content == "sequence":
        features["text"].float_list.value.extend(np.ravel(held))
    else:
        tokens = [held] if content == "text" else held
        features["text"].bytes_list.value.extend(token.encode() for token in tokens)
    return bytes(made.SerializeToString())


@settings(max_examples=50, deadline=None)
@given(st.data(), sources())
def test_rows_in_any_tfrecord(data: st.DataObject, source: tuple[str, Rows, list[Rows]]) -> None:
    content, rows, shards = source
    if content == "sequence":  # All with the same dim, which flat lists do not say.
        rows = [row for row in rows if len(row[0][0]) == 2]
        shards = [[row for row in shard if len(row[0][0]) == 2] for shard in shards]

    with tempfile.TemporaryDirectory() as folder:
        for number, shard in enumerate(shards):
            records = [
                record(content, *row, data.draw(st.booleans()), data.draw(st.booleans()))
                for row in shard
            ]
            path = write_tfrecord(Path(folder, f"{number}.tfrecord"), records)
            path.write_bytes(data.draw(st.sampled_from(COMPRESSORS))(path.read_bytes()))

        dim = 2 if content == "sequence" else None
        assert read(folder, ".tfrecord", content=content, dim=dim) == expected(content, rows)


def has_row(path: Path) -> bool:
    format_ = format_of(kind_of_name(path.name) or "")
    return format_.check(str(path), RowFormat("example_gen", label="label"))


def test_a_frame_without_columns_is_an_empty_file(tmp_path: Path) -> None:
    row = Row(b"a", b"x", "", 1)
    nothing, frame = pd.DataFrame([]), pd.DataFrame({"text": ["a"], "label": ["x"]})
    for suffix, write in ((".parquet", "to_parquet"), (".feather", "to_feather")):
        for name, table in (("a", frame), ("b", nothing)):
            getattr(table, write)(tmp_path / f"{name}{suffix}")
        both = [tmp_path / f"{name}{suffix}" for name in ("a", "b")]
        assert [has_row(path) for path in both] == [True, False]
        assert [[each._replace(file="") for each in read_all(path)] for path in both] == [[row], []]


@pytest.mark.parametrize(
    ("name", "magic", "message"),
    [
        ("a.parquet", b"ARROW1\0\0", "is an Arrow file. Name it .arrow."),
        ("a.arrow", b"PAR1\x15\0\0\0", "is a Parquet file. Name it .parquet."),
        ("a.feather", b"Obj\x01\0\0\0\0", "is an Avro file. Convert it to Parquet or JSONL."),
        (
            "a.parquet",
            gzip.compress(b"PAR1", mtime=0),
            "is compressed as a whole, which such tables never are. Unpack it.",
        ),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, name: str, magic: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(magic.ljust(40, b"\0"))
    with pytest.raises(UserError) as raised:
        has_row(path)
    assert str(raised.value) == f"{path} {message}"
