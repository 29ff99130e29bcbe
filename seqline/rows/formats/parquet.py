"""Parquet files; a row's line is its number in the file, from 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqline.errors import DataError
from seqline.rows.judge import decoded, judge, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files

BATCH_ROWS = 1024


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a shard's row groups."""
    judged = judge(format_)
    line = 0
    with _opened(path, lambda: f" after row {line}" if line else "") as file:
        require(file.schema_arrow.names, path, format_)
        groups = range(shard.start, shard.end or file.metadata.num_row_groups)
        line = sum(file.metadata.row_group(group).num_rows for group in range(shard.start))
        columns = list(dict.fromkeys(format_.columns))
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=list(groups), columns=columns, use_threads=False
        ):
            contents = (
                _sequences(batch[format_.text])
                if format_.content == "sequence"
                else _values(batch[format_.text])
            )
            others = [_values(batch[name]) for name in format_.columns[1:]]
            for values in zip(contents, *others, strict=True):
                line += 1
                yield judged(values, path, line)


def _values(column: pa.Array) -> list[Any]:
    """Python values.

    Strings that are not UTF-8, which Arrow does not check, with lone surrogates.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[Any] = decoded(column.cast(_as_binary(column.type)).to_pylist())
    return values


def _as_binary(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(_as_binary(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_binary(kind.value_type))
    return kind


def _sequences(column: pa.Array) -> Iterator[Any]:
    """Rows of numbers as arrays [time, dim] (or [n], if they are flat), without a Python object for
    each; others as they are.
    """
    for row in column:
        yield _array(row)


def _array(row: Any) -> Any:
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


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def check(path: str, format_: RowFormat) -> None:
    """See `read.check`."""
    with _opened(path) as file:
        require(file.schema_arrow.names, path, format_)
        if not file.metadata.num_rows:
            raise DataError(f"{path} has a schema and no rows.")


def group_row_groups(path: str, size: int) -> list[tuple[int, int]]:
    """(first, behind the last) of runs of row groups that hold about `size` bytes before
    compression; an empty file has none.
    """
    with _opened(path) as file:
        sizes = [
            file.metadata.row_group(group).total_byte_size
            for group in range(file.metadata.num_row_groups)
        ]
    runs = []
    start = total = 0
    for group, bytes_ in enumerate(sizes):
        total += bytes_
        if total >= size or group == len(sizes) - 1:
            runs.append((start, group + 1))
            start, total = group + 1, 0
    return runs


@contextmanager
def _opened(path: str, place: Any = str) -> Iterator[pq.ParquetFile]:
    with files.translate_errors(path, place), files.open_file(path) as file:
        try:
            # Not pre-buffered: that would hold all row groups at once.
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                yield parquet
        except pa.ArrowException as error:
            raise files.damaged(path, place(), str(error).splitlines()[0]) from error
