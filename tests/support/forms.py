"""Rows written in every form that a source may have, by libraries other than ours."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# (text, label)
Rows = Sequence[tuple[str, str]]


def as_csv(rows: Rows, delimiter: str, quoting: int, header: bool, line_end: str) -> str:
    """What Python's csv module writes."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    if header:
        writer.writerow(["text", "label"])
    writer.writerows(rows)
    return out.getvalue()


def unquoted(rows: Rows, delimiter: str, header: bool) -> str:
    """Fields as they are: a quote is text."""
    lines = [("text", "label"), *rows] if header else rows
    return "".join(f"{text}{delimiter}{label}\n" for text, label in lines)


def objects(rows: Rows) -> list[dict[str, str]]:
    return [{"text": text, "label": label} for text, label in rows]


def json_lines(rows: Rows, ascii_only: bool) -> str:
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in objects(rows))


def json_array(rows: Rows, indent: int | None) -> str:
    return json.dumps(objects(rows), indent=indent)


def nested_lines(rows: Rows) -> str:
    return "".join(
        json.dumps({"review": {"text": text}, "meta": {"own": {"label": label}}}) + "\n"
        for text, label in rows
    )


def table(rows: Rows, kind: pa.DataType) -> pa.Table:
    """A table of strings of one of Arrow's types."""
    texts, labels = ([row[place] for row in rows] for place in (0, 1))
    schema = pa.schema([("text", kind), ("label", kind)])
    columns = [pa.array(values, pa.string()).cast(kind) for values in (texts, labels)]
    return pa.Table.from_arrays(columns, schema=schema)


def write_parquet(rows: Rows, path: Path, kind: pa.DataType, group: int) -> None:
    pq.write_table(table(rows, kind), path, row_group_size=group)


def write_arrow(rows: Rows, path: Path, kind: pa.DataType, is_stream: bool) -> None:
    made = table(rows, kind)
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, new(sink, made.schema) as writer:
        writer.write_table(made, max_chunksize=3)


def write_tfrecord(rows: Rows, path: Path, compression: str) -> None:
    import tensorflow as tf

    def feature(value: str) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for text, label in rows:
            own = {"text": feature(text), "label": feature(label)}
            example = tf.train.Example(features=tf.train.Features(feature=own))
            writer.write(example.SerializeToString())


def zstd(content: bytes) -> bytes:
    compressed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return compressed


# Suffix -> how its content is compressed.
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


@dataclass(frozen=True)
class Form:
    """A way to write rows.

    Attributes:
        suffix: The end of the files' names.
        write: (rows, path) writes one file.
        settings: Of example_gen, for rows in this form.
        lossless: Whether a row can be written in it.
    """

    suffix: str
    write: Callable[[Rows, Path], None]
    settings: dict[str, Any] = field(default_factory=dict)
    lossless: Callable[[str, str], bool] = lambda text, label: True


def text_form(
    suffix: str,
    content: Callable[[Rows], str],
    settings: dict[str, Any],
    encoding: str = "utf-8",
    compression: str = "",
    lossless: Callable[[str, str], bool] = lambda text, label: True,
) -> Form:
    """A form of text in an encoding, compressed or not."""

    def write(rows: Rows, path: Path) -> None:
        path.write_bytes(COMPRESSIONS[compression](content(rows).encode(encoding)))

    def can_be_encoded(text: str, label: str) -> bool:
        try:
            # Some encodings have one byte for two characters.
            is_same = (text + label).encode(encoding).decode(encoding) == text + label
        except UnicodeEncodeError:
            return False
        return is_same and lossless(text, label)

    return Form(suffix + compression, write, settings, can_be_encoded)
