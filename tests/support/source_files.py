"""Source files for tests, and what is read of them."""

import gzip
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from seqline.rows import read
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.storage import files
from seqline.storage.files import File


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


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def write_arrow(
    path: Path, table: pa.Table, is_stream: bool = True, batch_rows: int | None = None
) -> Path:
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return path


def write_table(path: Path, table: pa.Table) -> Path:
    """Writes a Parquet or an Arrow file, as its name says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return path
    return write_arrow(path, table)


def row_format(**fields: Any) -> RowFormat:
    """The format of rows as example_gen reads them. `text` may be the name of one column."""
    if isinstance(fields.get("text"), str):
        fields["text"] = (fields["text"],)
    return RowFormat("example_gen", **{"label": "label", "dim_name": "example_gen.dim", **fields})


def find(source: str | Path) -> tuple[str, list[File]]:
    """(kind, files) of a file or of a folder of classes."""
    if os.path.isdir(source):
        return "folder", files.match(f"{source}/*/*.txt*")
    matched = files.match(str(source))
    return read.kind_of(matched, str(source), "example_gen"), matched


def check(source: str | Path, **fields: Any) -> None:
    kind, matched = find(source)
    read.check_files([(kind, file) for file in matched], row_format(**fields))


def read_all(
    source: str | Path, shard_bytes: int | None = None, **fields: Any
) -> list[Row | BadRow]:
    """The rows of a file or of a folder of classes."""
    kind, matched = find(source)
    format_ = row_format(**fields)
    shards = read.cut(kind, matched, shard_bytes=shard_bytes)
    return [row for shard in shards for row in read.read(shard, format_)]


def read_bytes(path: Path, raw: bytes, **fields: Any) -> list[Row | BadRow]:
    """The rows of a file with this content."""
    path.write_bytes(raw)
    return read_all(path, **fields)


def usable(rows: Iterable[Row | BadRow]) -> list[tuple[Any, bytes]]:
    """(content, label) of rows, all of which must be usable."""
    good = []
    for row in rows:
        assert isinstance(row, Row), row
        good.append((row.content, row.label))
    return good


def reasons(rows: Iterable[Row | BadRow]) -> list[tuple[int, str, str]]:
    """(line, reason, problem) of the bad rows."""
    return [(row.line, row.reason, row.problem) for row in rows if isinstance(row, BadRow)]
