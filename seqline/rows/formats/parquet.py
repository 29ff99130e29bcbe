"""Parquet files. A row's line is its number in the file, from 1."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from seqline.rows.judge import decoded, judge, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files
from seqline.storage.files import File

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NAME = "parquet"
PATTERN: str | None = r".*\.parquet"
SUFFIXES: tuple[str, ...] = (".parquet",)
UNIT = "row"

BATCH_ROWS = 1024


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    with _opened(path) as file:
        require(file.schema_arrow.names, path, format_)
        return bool(file.metadata.num_rows)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """Shards of whole row groups, each of about `shard_bytes` before compression.

    None for a file without rows.
    """
    with _opened(file.path) as opened:
        metadata = opened.metadata
        sizes = [
            metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)
        ]

    shards = []
    start = total = 0
    for group, size in enumerate(sizes):
        total += size
        if total >= shard_bytes or group == len(sizes) - 1:
            shards.append(Shard(NAME, split, (file.path,), start, group + 1))
            start, total = group + 1, 0
    return shards


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a shard's row groups."""
    judged = judge(format_)
    line = 0
    with _opened(path, lambda: f" after row {line}" if line else "") as file:
        require(file.schema_arrow.names, path, format_)
        groups = list(range(shard.start, shard.end or file.metadata.num_row_groups))
        line = sum(file.metadata.row_group(group).num_rows for group in range(shard.start))
        columns = list(dict.fromkeys(format_.columns))
        batches = file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False
        )
        read_content = _sequences if format_.content == "sequence" else _values

        for batch in batches:
            read_columns = [
                (read_content if name in format_.text else _values)(batch[name])
                for name in format_.columns
            ]
            for values in zip(*read_columns, strict=True):
                line += 1
                yield judged(values, path, line)


def first_rows(path: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """See `Format.first_rows`."""
    with _opened(path) as file:
        batch = next(file.iter_batches(limit, use_threads=False), None)
        rows: list[dict[str, Any]] = [] if batch is None else batch.to_pylist()
        return rows, len(rows) == file.metadata.num_rows


@contextmanager
def _opened(path: str, place: Callable[[], str] = str) -> Iterator["pq.ParquetFile"]:
    """An open file. Damage is a DataError.

    Args:
        path: The file.
        place: Says how far the reading got, such as ` after row 9`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with files.translate_errors(path, place), files.open_file(path) as file:
        try:
            # Not pre-buffered: that would hold all row groups at once.
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                yield parquet
        except pa.ArrowException as error:
            raise files.damaged(path, place(), str(error).splitlines()[0]) from error


def _values(column: "pa.Array") -> list[Any]:
    """Python values.

    Arrow does not check that strings are UTF-8: other bytes become lone surrogates.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[Any] = decoded(column.cast(_as_binary(column.type)).to_pylist())
    return values


def _as_binary(kind: "pa.DataType") -> "pa.DataType":
    """The type with bytes in the place of strings."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(_as_binary(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_binary(kind.value_type))
    return kind


def _sequences(column: "pa.Array") -> Iterator[Any]:
    """Rows of numbers as arrays [time, dim], or [n] where they are flat; other rows as they are.

    No number becomes a Python object.
    """
    for row in column:
        yield _array(row)


def _array(row: Any) -> Any:
    import pyarrow as pa

    steps = row.values if isinstance(row, pa.ListScalar) else None
    if steps is None or steps.null_count:
        return row.as_py()
    if _is_number(steps.type):
        return steps.to_numpy(zero_copy_only=False)
    if not _is_list(steps.type) or not _is_number(steps.type.value_type):
        return row.as_py()

    numbers = steps.flatten()
    if not len(steps) or not len(numbers) or numbers.null_count or len(numbers) % len(steps):
        return row.as_py()

    lengths = np.asarray(steps.value_lengths())
    if (lengths != lengths[0]).any():
        return row.as_py()
    return numbers.to_numpy(zero_copy_only=False).reshape(len(steps), -1)


def _is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))
