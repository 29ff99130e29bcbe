"""Readers: what each format's rows become, and what is said of those that cannot be used."""

import csv
import gzip
import json
import struct
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams, check, sources
from components.example_gen.rows import BadRow, Row, read
from seqline.data import tf_example_reader
from seqline.errors import DataError, UserError
from seqline.rows import shards


def read_all(source: object, **fields: Any) -> list[Row | BadRow]:
    params = ExampleGenParams(source=source if isinstance(source, dict) else str(source), **fields)
    return [
        row
        for span in sources.window(params)
        for shard in sources.shards(span, params)[0]
        for row in read(shard, params)
    ]


def read_bytes(path: Path, raw: bytes, **fields: Any) -> list[Row | BadRow]:
    path.write_bytes(raw)
    return read_all(path, **fields)


def usable(rows: Iterable[Row | BadRow]) -> list[tuple[Any, bytes]]:
    found = list(rows)
    assert all(isinstance(row, Row) for row in found), found
    return [(row[0], row[1]) for row in found]


def reasons(rows: Iterable[Row | BadRow]) -> list[tuple[int, str, str]]:
    return [(row.line, row.reason, row.problem) for row in rows if isinstance(row, BadRow)]


def write_tfrecord(path: Path, records: Iterable[bytes]) -> Path:
    def masked(content: bytes) -> bytes:
        crc = google_crc32c.value(content)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    content = b""
    for record in records:
        size = struct.pack("<Q", len(record))
        content += size + masked(size) + record + masked(record)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def example(**features: list[Any]) -> bytes:
    """A serialized tf.Example.

    The kind of a feature is that of its first value. One with `text` a and `label` x has 33 bytes.
    """
    made = tf.train.Example()
    for name, values in features.items():
        kind = (
            {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
            if values
            else "bytes_list"
        )
        getattr(made.features.feature[name], kind).value.extend(values)
    return made.SerializeToString()


# CSV


def test_csv_quoted_newlines_keep_their_text_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b'label,text\nx,"one\ntwo"\ny,"say ""so"", please"\nx,"a\r\nb"\ny,end'
    assert read_bytes(path, content) == [
        Row(b"one\ntwo", b"x", str(path), 2),
        Row(b'say "so", please', b"y", str(path), 4),
        Row(b"a\r\nb", b"x", str(path), 5),
        Row(b"end", b"y", str(path), 7),
    ]


def test_csv_only_line_feeds_and_carriage_returns_end_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = "text,label\na\u0085b\u2028c\x0bd,x\r\ne,y\r\n".encode()
    assert read_bytes(path, content) == [
        Row("a\u0085b\u2028c\x0bd".encode(), b"x", str(path), 2),
        Row(b"e", b"y", str(path), 3),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_8", "utf8", "U8"])
def test_csv_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"\xef\xbb\xbftext,label\na,x\n", encoding=encoding) == [
        Row(b"a", b"x", str(path), 2)
    ]
    check(ExampleGenParams(source=str(path), encoding=encoding))


def test_csv_wrong_number_of_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,b,x\nalone\ngood,x\n") == [
        BadRow(str(path), 2, "3 fields where the header has 2", "format"),
        BadRow(str(path), 3, "1 fields where the header has 2", "format"),
        Row(b"good", b"x", str(path), 4),
    ]


def test_csv_other_delimiter_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = b"id;topic;body\n1;x;one, two\n"
    assert read_bytes(path, content, delimiter=";", text="body", label="topic") == [
        Row(b"one, two", b"x", str(path), 2)
    ]


def test_csv_byte_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"text,label\na,x\ncaf\xe9,x\nb,\xe9\nc,y\n") == [
        Row(b"a", b"x", str(path), 2),
        BadRow(
            str(path), 3, "the text is not valid in the source's encoding: 'caf\\udce9'", "encoding"
        ),
        BadRow(
            str(path), 4, "the label is not valid in the source's encoding: '\\udce9'", "encoding"
        ),
        Row(b"c", b"y", str(path), 5),
    ]
    assert read_bytes(path, b"text,label\ncaf\xe9,x\n", encoding="latin-1") == [
        Row("caf\u00e9".encode(), b"x", str(path), 2)
    ]


def test_csv_blank_lines_are_no_rows_and_empty_fields_are_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b"\r\ntext,label\n\na,x\n\r\n \xe2\x80\x83 ,x\nb,\nc,y\n\n") == [
        Row(b"a", b"x", str(path), 4),
        BadRow(str(path), 6, "the text is empty", "empty text"),
        BadRow(str(path), 7, "the label is empty", "empty label"),
        Row(b"c", b"y", str(path), 8),
    ]


def test_csv_quoting_that_is_wrong_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert read_bytes(path, b'text,label\n"a"b,x\nc,y\n"open,x\n') == [
        BadRow(str(path), 2, "not CSV: ',' expected after '\"'", "format"),
        Row(b"c", b"y", str(path), 3),
        BadRow(str(path), 4, "not CSV: unexpected end of data", "format"),
    ]


def test_csv_a_quote_that_swallows_other_rows_does_not_pass_for_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(
        DataError,
        match=(
            rf"{path}:3: a quote opens here and is never closed, so the 2 lines behind it cannot be"
            r" read"
        ),
    ):
        read_bytes(path, b'text,label\na,x\n"open,x\nb,y\nc,y\n')
    assert read_bytes(path, b'text,label\n"open,x\nb,y\nc",y,z\nd,y\n') == [
        BadRow(str(path), 2, "3 fields where the header has 2 (up to line 4)", "format"),
        Row(b"d", b"y", str(path), 5),
    ]


def test_csv_with_two_columns_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"a\.csv has 2 columns 'text'; rename all but the one that is meant"
    ):
        read_bytes(tmp_path / "a.csv", b"text,text,label\na,b,x\n")


def test_csv_text_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    (row,) = read_bytes(tmp_path / "a.csv", b"text,label\n" + b"a" * 200_000 + b",x\n")
    assert isinstance(row, Row)
    assert row.content == b"a" * 200_000


# JSONL


def test_jsonl_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = (
        b'{"text": "a", "label": 1}\n{"text": "b", "label": true}\n{"text": "c", "label":'
        b' 1.5}\n{"text": "d", "label": null}\n{"text": "e", "label": "x\\u0000y"}\n'
    )
    assert read_bytes(path, content) == [
        Row(b"a", b"1", str(path), 1),
        Row(b"b", b"True", str(path), 2),
        BadRow(str(path), 3, "the label is 1.5, not a string or an integer", "type"),
        BadRow(str(path), 4, "the label is None, not a string or an integer", "missing label"),
        BadRow(str(path), 5, "the label 'x\\x00y' holds control characters", "format"),
    ]


def test_jsonl_bad_rows_name_their_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = (
        b'\xef\xbb\xbf{"text": "a", "label": "x"}\n{"label": "x"}\n{"text": "a"}\n\n[1,'
        b' 2]\n{"text": null, "label": "x"}\n{"text": "", "label": "x"}\n{"text": 7, "label":'
        b' "x"}\n{"text": "caf\xe9", "label": "x"}\n{"text": "\\ud800", "label": "x"}\nno\n'
        b' "text"\n {"text": "b", "label": "x"} \r\n{"text": "b", "label": "x"} {}\n'
    )
    assert read_bytes(path, content) == [
        Row(b"a", b"x", str(path), 1),
        BadRow(str(path), 2, "no field 'text'", "missing text"),
        BadRow(str(path), 3, "no field 'label'", "missing label"),
        BadRow(str(path), 5, "[1, 2] is not a JSON object", "format"),
        BadRow(str(path), 6, "the text is None, not a string", "missing text"),
        BadRow(str(path), 7, "the text is empty", "empty text"),
        BadRow(str(path), 8, "the text is 7, not a string", "type"),
        BadRow(str(path), 9, "not valid utf-8: byte 13 is 0xe9", "encoding"),
        BadRow(
            str(path), 10, "the text is not valid in the source's encoding: '\\ud800'", "encoding"
        ),
        BadRow(str(path), 11, "not JSON: Expecting value: line 1 column 1 (char 0)", "format"),
        BadRow(str(path), 12, "'text' is not a JSON object", "format"),
        Row(b"b", b"x", str(path), 13),
        BadRow(str(path), 14, "not JSON: Extra data: line 1 column 29 (char 28)", "format"),
    ]


def test_jsonl_row_nested_too_deep_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad, good = read_bytes(path, b"[" * 100_000 + b'\n{"text": "a", "label": "x"}\n')
    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert good == Row(b"a", b"x", str(path), 2)


SHARDED = (
    '\ufeff{"text": "a\u2028b", "label": "x"}\n\n{"text": "\u00fc\u0085", "label":'
    ' 1}\r\n{}\n{"text": "end", "label": "y"}'
)


@pytest.mark.parametrize("size", range(1, 61))
def test_jsonl_shards_of_any_size_give_each_row_once_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", size)
    path = tmp_path / "a.jsonl"
    assert read_bytes(path, SHARDED.encode()) == [
        Row("a\u2028b".encode(), b"x", str(path), 1),
        Row("\u00fc\u0085".encode(), b"1", str(path), 3),
        BadRow(str(path), 4, "no field 'text'", "missing text"),
        Row(b"end", b"y", str(path), 5),
    ]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8),
    size=st.integers(1, 80),
    ascii_only=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_jsonl_of_any_texts_reads_the_same_in_any_shards(
    texts: list[str], size: int, ascii_only: bool, newline: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", size)
        path = Path(folder, "a.jsonl")
        lines = [
            json.dumps({"text": text, "label": "x"}, ensure_ascii=ascii_only) for text in texts
        ]
        step = newline.count("\n")
        assert read_bytes(path, newline.join(lines).encode()) == [
            (
                Row(text.encode(), b"x", str(path), 1 + step * number)
                if text.strip()
                else BadRow(str(path), 1 + step * number, "the text is empty", "empty text")
            )
            for number, text in enumerate(texts)
        ]


# TFRecord


def test_tfrecord_of_another_system(tmp_path: Path) -> None:
    path = write_tfrecord(
        tmp_path / "a.tfrecord-00000-of-00001",
        [
            example(body=[b"caf\xc3\xa9"], topic=[b"x"], id=[7]),
            example(body=[b"two"], topic=[1]),
            example(body=[b"three"], topic=[1.5]),
            example(body=[b"caf\xe9"], topic=[b"x"]),
            example(topic=[b"x"]),
            example(body=[b"six"], topic=[]),
            example(body=[b"a", b"b"], topic=[b"x"]),
            b"\x0a\x7fno",
        ],
    )
    rows = read_all(path, text="body", label="topic")
    assert rows[:2] == [
        Row("caf\u00e9".encode(), b"x", str(path), 1),
        Row(b"two", b"1", str(path), 2),
    ]
    assert reasons(rows)[:-1] == [
        (3, "the label is 1.5, not a string or an integer", "type"),
        (4, "the text is not valid in the source's encoding: 'caf\\udce9'", "encoding"),
        (5, "no feature 'body'", "missing text"),
        (6, "no feature 'topic'", "missing label"),
        (7, "the text is ['a', 'b'], not a string", "type"),
    ]
    line, reason, problem = reasons(rows)[-1]
    assert (line, reason.startswith("not a tf.Example: "), problem) == (8, True, "format")


def test_tfrecord_without_the_named_feature(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord", [example(texts=[b"a"], label=[b"x"])] * 2)
    for act in (read_all, lambda source: check(ExampleGenParams(source=str(source)))):
        with pytest.raises(
            UserError,
            match=(
                r"has no feature 'text' \(example_gen.text\); it has 'label', 'texts'\. Did you"
                r" mean 'texts'\?"
            ),
        ):
            act(path)


def test_tfrecord_that_tensorflow_wrote(tmp_path: Path) -> None:
    path = tmp_path / "data_tfrecord-00000-of-00001.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number in range(3):
            writer.write(example(text=[b"t%d" % number], label=[b"x"]))
    assert usable(read_all(path)) == [(b"t0", b"x"), (b"t1", b"x"), (b"t2", b"x")]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda content: content[:-1],
            r"in record 2 \(byte 49\): the file ends after 36 of the record's 37 bytes",
        ),
        (
            lambda content: content[:54],
            r"in record 2 \(byte 49\): the file ends within the record's length",
        ),
        (
            lambda content: content[:66] + b"X" + content[67:],
            r"in record 2 \(byte 49\): the record's checksum is wrong",
        ),
        (
            lambda content: content[:49] + b"X" + content[50:],
            r"in record 2 \(byte 49\): the checksum of the record's length is wrong",
        ),
        (lambda _: b"text,label\na,x\nb,y\n", r"in record 1 \(byte 0\): this is no TFRecord file"),
    ],
    ids=["cut off", "cut off in the length", "record", "length", "csv"],
)
def test_tfrecord_that_is_damaged(
    tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    plain = write_tfrecord(tmp_path / "a.tfrecord", [example(text=[b"a"], label=[b"x"])] * 2)
    content = damage(plain.read_bytes())
    path = tmp_path / f"b.tfrecord{suffix}"
    with pytest.raises(
        DataError, match=rf"{path} is damaged {message}.* Make or copy the file again"
    ):
        read_bytes(path, gzip.compress(content) if suffix else content)


def test_tfrecord_that_is_gzipped_and_not_named_so(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord.gz", [example(text=[b"a"], label=[b"x"])] * 2)
    with pytest.raises(DataError, match=r"it is gzipped, so its name must end in \.gz"):
        check(ExampleGenParams(source=str(path.rename(tmp_path / "a.tfrecord"))))


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.lists(st.binary(max_size=200), max_size=3)
        | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)
        | st.lists(st.floats(width=32, allow_nan=False), max_size=3),
        max_size=4,
    )
)
def test_tf_examples_are_read_as_tensorflow_reads_them(features: dict[str, list[Any]]) -> None:
    found = tf_example_reader.parse(example(**features))
    assert sorted(found) == sorted(features)
    for name, values in features.items():
        assert list(tf_example_reader.values(found[name])) == values


def test_a_float_list_may_be_unpacked() -> None:
    unpacked = b"".join(b"\x0d" + struct.pack("<f", number) for number in (1.5, -2.0))
    feature = b"\x12" + bytes([len(unpacked)]) + unpacked
    entry = b"\x0a\x01s\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(features)]) + features
    assert list(tf.train.Example.FromString(record).features.feature["s"].float_list.value) == [
        1.5,
        -2.0,
    ]
    assert list(tf_example_reader.values(tf_example_reader.parse(record)["s"])) == [1.5, -2.0]


# Parquet


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


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


def test_parquet_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        {"text": [f"t{n}" for n in range(10)], "label": ["x"] * 10},
        row_group_size=3,
    )
    whole = read_all(path)
    assert [(row.content, row.line) for row in whole if isinstance(row, Row)] == [
        (b"t%d" % n, n + 1) for n in range(10)
    ]
    monkeypatch.setattr(shards, "SHARD_BYTES", 200)
    params = ExampleGenParams(source=str(path))
    (span,) = sources.window(params)
    assert [(shard.start, shard.end) for shard in sources.shards(span, params)[0]] == [
        (0, 2),
        (2, 4),
    ]
    assert read_all(path) == whole


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"texts": ["a"], "label": ["x"]})
    with pytest.raises(
        UserError,
        match=(
            r"has no column 'text' \(example_gen.text\); it has 'texts', 'label'\. Did you mean"
            r" 'texts'\?"
        ),
    ):
        check(ExampleGenParams(source=str(path)))
    path = write_parquet(
        tmp_path / "b.parquet",
        {"text": pa.array([], pa.string()), "label": pa.array([], pa.string())},
    )
    with pytest.raises(DataError, match="has a schema and no rows"):
        check(ExampleGenParams(source=str(path)))
    path = write_parquet(tmp_path / "c.parquet", {"text": ["a" * 1000], "label": ["x"]})
    path.write_bytes(path.read_bytes()[:-100])
    for act in (read_all, lambda source: check(ExampleGenParams(source=str(source)))):
        with pytest.raises(DataError, match=rf"{path} is damaged: Parquet magic bytes not found"):
            act(path)


# Contents


TOKENS = [["New", "York", "is", "caf\u00e9"], ["one"]]
SEQUENCES = [[[0.1, 2.0], [3.0, -4.5], [1e-3, 7.0]], [[5.0, 6.0]]]


def write_flat(path: Path, cells: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(cells, "xy", strict=True)])
    return path


def write_folder(root: Path, cells: list[str]) -> Path:
    for cell, label in zip(cells, "xy", strict=True):
        path = root / label / "1.txt"
        path.parent.mkdir(parents=True)
        path.write_text(cell, encoding="utf-8")
    return root


def in_all_formats(
    root: Path, values: list[Any], cells: list[str], examples: list[bytes]
) -> list[Path]:
    jsonl = root / "a.jsonl"
    jsonl.write_text(
        "".join(
            json.dumps({"text": value, "label": label}) + "\n"
            for value, label in zip(values, "xy", strict=True)
        )
    )
    paths = [
        jsonl,
        write_flat(root / "a.csv", cells),
        write_tfrecord(root / "a.tfrecord", examples),
        write_parquet(root / "a.parquet", {"text": values, "label": ["x", "y"]}),
        write_folder(root / "folder", cells),
    ]
    for path in paths[:3]:
        paths.append(root / f"{path.name}.gz")
        paths[-1].write_bytes(gzip.compress(path.read_bytes()))
    return paths


def test_text_is_the_same_from_all_formats(tmp_path: Path) -> None:
    texts = ['one\n"two", caf\u00e9 \u2028\u0085', " b\t"]
    records = [
        example(text=[text.encode()], label=[label.encode()])
        for text, label in zip(texts, "xy", strict=True)
    ]
    for path in in_all_formats(tmp_path, texts, texts, records):
        assert usable(sorted(read_all(path), key=lambda row: row[1])) == [
            (texts[0].encode(), b"x"),
            (texts[1].encode(), b"y"),
        ], path


def test_tokens_are_the_same_from_all_formats(tmp_path: Path) -> None:
    encoded = [[token.encode() for token in tokens] for tokens in TOKENS]
    records = [
        example(text=tokens, label=[label.encode()])
        for tokens, label in zip(encoded, "xy", strict=True)
    ]
    for path in in_all_formats(tmp_path, TOKENS, ["New York\tis  caf\u00e9", " one\n"], records):
        check(ExampleGenParams(source=str(path), content="tokens"))
        assert usable(sorted(read_all(path, content="tokens"), key=lambda row: row[1])) == [
            (encoded[0], b"x"),
            (encoded[1], b"y"),
        ], path


def test_sequences_are_the_same_from_all_formats(tmp_path: Path) -> None:
    flat = [[number for step in sequence for number in step] for sequence in SEQUENCES]
    records = [
        example(text=numbers, label=[label.encode()])
        for numbers, label in zip(flat, "xy", strict=True)
    ]
    for path in in_all_formats(
        tmp_path, SEQUENCES, [json.dumps(sequence) for sequence in SEQUENCES], records
    ):
        dim = 2 if ".tfrecord" in path.name else None
        check(ExampleGenParams(source=str(path), content="sequence", dim=dim))
        rows = usable(sorted(read_all(path, content="sequence", dim=dim), key=lambda row: row[1]))
        assert [
            (content.tobytes(), content.dtype, content.shape, label) for content, label in rows
        ] == [
            (np.array(SEQUENCES[0], np.float32).tobytes(), np.float32, (3, 2), b"x"),
            (np.array(SEQUENCES[1], np.float32).tobytes(), np.float32, (1, 2), b"y"),
        ], path


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        (None, "the tokens are None, not a list of strings", "missing text"),
        ("a b", "the tokens are 'a b', not a list of strings", "type"),
        ([], "the list of tokens is empty", "empty text"),
        (["a", ""], "token 2 is empty", "format"),
        (["a", 1], "token 2 is 1, not a string", "type"),
        (["a\n"], "token 1, 'a\\n', holds control characters or line ends", "format"),
        (["a", "b\u2028"], "token 2, 'b\\u2028', holds control characters or line ends", "format"),
        (["\u0085"], "token 1, '\\x85', holds control characters or line ends", "format"),
        (["\ud800"], "token 1 is not valid in the source's encoding: '\\ud800'", "encoding"),
    ],
)
def test_tokens_that_cannot_be_used(tmp_path: Path, value: Any, reason: str, problem: str) -> None:
    content = json.dumps({"text": value, "label": "x"}).encode()
    assert reasons(read_bytes(tmp_path / "a.jsonl", content, content="tokens")) == [
        (1, reason, problem)
    ]


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        (
            "null",
            "the sequence is None, not a list of equally long lists of numbers",
            "missing text",
        ),
        ("7", "the sequence is 7, not a list of equally long lists of numbers", "type"),
        ("[]", "the sequence is empty", "empty text"),
        ("[[], []]", "the sequence is empty", "empty text"),
        ("[[1, 2], [3]]", "the sequence has time steps of different lengths", "format"),
        (
            "[[1, 2], [3, NaN]]",
            "time step 2 holds a number that is not finite in float32",
            "format",
        ),
        (
            "[[1, 2], [3, 1e39]]",
            "time step 2 holds a number that is not finite in float32",
            "format",
        ),
        ("[[1, 2], [3, null]]", "the sequence holds None, not only numbers", "type"),
        ('[[1, "2"]]', "the sequence holds '2', not only numbers", "type"),
        ("[[true, false]]", "the sequence holds True, not only numbers", "type"),
        ("[[1, 2, 3]]", "a time step has 3 numbers, not example_gen.dim 2", "format"),
        (
            "[1, 2, 3]",
            "3 numbers are not a whole number of time steps of example_gen.dim 2",
            "format",
        ),
        ("[[[1, 2]]]", "the sequence has 3 dimensions, not [time, dim]", "format"),
    ],
)
def test_sequences_that_cannot_be_used(
    tmp_path: Path, value: str, reason: str, problem: str
) -> None:
    content = f'{{"text": {value}, "label": "x"}}'.encode()
    assert reasons(read_bytes(tmp_path / "a.jsonl", content, content="sequence", dim=2)) == [
        (1, reason, problem)
    ]


def test_flat_sequences_need_dim(tmp_path: Path) -> None:
    rows = read_bytes(tmp_path / "a.jsonl", b'{"text": [1, 2], "label": "x"}', content="sequence")
    assert reasons(rows) == [
        (
            1,
            (
                "the sequence has 1 dimensions, not [time, dim]; set example_gen.dim to cut a flat"
                " list into time steps"
            ),
            "format",
        )
    ]
    path = write_tfrecord(tmp_path / "a.tfrecord", [example(text=[1, 2, 3, 4], label=[b"x"])])
    with pytest.raises(UserError, match=r"holds flat lists of numbers: set example_gen\.dim"):
        check(ExampleGenParams(source=str(path), content="sequence"))
    ((content, _),) = usable(read_all(path, content="sequence", dim=2))
    assert content.tolist() == [[1, 2], [3, 4]]


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


# tensorflow-datasets


def prepare_a_data_set(data_dir: Path) -> None:
    import tensorflow_datasets as tfds

    class SeqlineRows(tfds.core.GeneratorBasedBuilder):
        """One row of each kind of content."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "text": tfds.features.Text(),
                "tokens": tfds.features.Sequence(tfds.features.Text()),
                "steps": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                "number": np.int64,
                "name": tfds.features.ClassLabel(names=["x", "y"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, _: Any) -> Any:
            row = {
                "text": "caf\u00e9",
                "tokens": ["New York", "one"],
                "steps": np.array([[1, 2], [3, 4]], np.float32),
                "number": 7,
            }
            return {"train": iter([(0, {**row, "name": "y"}), (1, {**row, "name": -1})])}

        def _generate_examples(self) -> Any:
            raise NotImplementedError

    SeqlineRows(data_dir=str(data_dir)).download_and_prepare()


def test_rows_of_a_data_set(tmp_path: Path) -> None:
    fields = {"source": "tfds:seqline_rows", "data_dir": str(tmp_path), "label": "name"}
    with pytest.raises(
        DataError, match=r"'tfds:seqline_rows' is not prepared under .*: call prepare first"
    ):
        read_all(**fields)
    prepare_a_data_set(tmp_path)
    place = "tfds:seqline_rows/train[shard 0]"
    assert sorted(read_all(**fields), key=str) == [
        (place, 2, "the label is None, not a string or an integer", "missing label"),
        Row("caf\u00e9".encode(), b"y", place, 1),
    ]
    assert (
        usable(read_all(**fields | {"label": "number"}, content="tokens", text="tokens"))
        == [([b"New York", b"one"], b"7")] * 2
    )
    for dim in (None, 2):
        rows = usable(
            read_all(**fields | {"label": "number"}, content="sequence", text="steps", dim=dim)
        )
        assert [content.tolist() for content, _ in rows] == [[[1, 2], [3, 4]]] * 2
    (records,) = tmp_path.glob("seqline_rows/1.0.0/*.tfrecord*")
    records.write_bytes(records.read_bytes()[:-1])
    with pytest.raises(
        DataError,
        match=(
            r"shard 0\] cannot be read after row 1: .*\. Delete .*/seqline_rows/1\.0\.0 and run"
            r" again"
        ),
    ):
        read_all(**fields | {"label": "number"})


# Damage


@pytest.mark.parametrize(("name", "last"), [("a.csv.gz", 2), ("a.jsonl.gz", 1)])
def test_gzip_that_is_damaged(tmp_path: Path, name: str, last: int) -> None:
    # Two members: what is whole is read, and the damage in the second is placed behind it.
    first = b"text,label\na,x\n" if "csv" in name else b'{"text": "a", "label": "x"}\n'
    second = gzip.compress(b"b" * 10)
    path = tmp_path / name
    for damaged in (
        second[:-9],
        second[:-8] + b"XXXX" + second[-4:],
        second[:10] + b"\xff" + second[11:],
    ):
        with pytest.raises(
            DataError,
            match=rf"{path} is damaged after line {last}: .*\. Make or copy the file again",
        ):
            read_bytes(path, gzip.compress(first) + damaged)
    with pytest.raises(DataError, match=rf"{path} is damaged: Not a gzipped file"):
        read_bytes(path, first)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.jsonl", "a.tfrecord", "a.parquet", "a.jsonl.gz", "f/x/1.txt"]
)
def test_file_that_disappears(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")
    (tmp_path / "f" / "y").mkdir(parents=True)
    (tmp_path / "f" / "y" / "1.txt").write_text("b")
    params = ExampleGenParams(source=str(tmp_path / "f" if name.endswith(".txt") else path))
    (span,) = sources.window(params)
    found, _ = sources.shards(span, params)
    path.unlink()
    with pytest.raises(
        DataError,
        match=(
            rf"{path} does not exist\. "
            r"Was it moved while it was needed\? Put it back and run again\."
        ),
    ):
        [row for shard in found for row in read(shard, params)]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.tfrecord.gz"])
def test_gzip_of_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(
        DataError, match=rf"{path} (is empty|holds blank lines only|holds no record)\."
    ):
        check(ExampleGenParams(source=str(path)))
