"""Parquet files. A row's line is its number in the file, from 1."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seqline.errors import DataError
from seqline.rows import arrow_columns
from seqline.rows.judge import judge
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import compression, files
from seqline.storage.files import File

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NAME = "parquet"
PATTERN: str | None = r".*\.(parquet|parq|pq)"
SUFFIXES: tuple[str, ...] = (".parquet", ".parq", ".pq")
UNIT = "row"

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"
# Bytes of a column that are read at once.
READ_BYTES = 1 << 20


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    with _opened(path) as file:
        if file is None:
            return False
        if _is_empty(file):
            return False
        arrow_columns.find(file.schema_arrow, path, format_)
        return bool(file.metadata.num_rows)


def _is_empty(file: "pq.ParquetFile") -> bool:
    """Whether it has neither columns nor rows, as pandas writes a frame without any."""
    return not len(file.schema_arrow) and not file.metadata.num_rows


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """Shards of whole row groups, each of about `shard_bytes` before compression.

    None for a file without rows.
    """
    with _opened(file.path) as opened:
        sizes = [size for _, size in _row_groups(opened)]

    shards = []
    start = total = 0
    for group, size in enumerate(sizes):
        total += size
        if total >= shard_bytes or group == len(sizes) - 1:
            shards.append(Shard(NAME, split, (file.path,), start, group + 1))
            start, total = group + 1, 0
    return shards


def _row_groups(file: "pq.ParquetFile | None") -> list[tuple[int, int]]:
    """(rows, bytes before compression) of each row group."""
    if file is None:
        return []
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    return [(group.num_rows, group.total_byte_size) for group in groups]


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a shard's row groups."""
    judged = judge(format_)
    line = 0
    with _opened(path, lambda: f" after row {line}" if line else "") as file:
        if file is None or _is_empty(file):
            return

        columns = arrow_columns.find(file.schema_arrow, path, format_)
        groups = _row_groups(file)
        end = shard.end or len(groups)
        line = sum(num_rows for num_rows, _ in groups[: shard.start])
        num_rows, num_bytes = map(sum, zip((0, 0), *groups[shard.start : end], strict=True))
        batches = _batches(
            file,
            range(shard.start, end),
            arrow_columns.batch_rows(num_rows, num_bytes),
            [".".join(column.path) for column in columns],
        )

        for batch in batches:
            for values in arrow_columns.rows(batch, columns, path):
                line += 1
                yield judged(values, path, line)


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`."""
    with _opened(path) as file:
        if file is None:
            return
        num_rows, num_bytes = map(sum, zip((0, 0), *_row_groups(file), strict=True))
        size = arrow_columns.batch_rows(num_rows, num_bytes)
        for batch in _batches(file, range(file.metadata.num_row_groups), size):
            yield from arrow_columns.raw_rows(batch, path)


def _batches(
    file: "pq.ParquetFile", groups: range, size: int, columns: list[str] | None = None
) -> "Iterator[pa.RecordBatch]":
    """The rows of row groups, in batches of at most `size`, of some columns or of all."""
    from pyarrow import types

    # Arrow does not join a struct's dictionaries from several row groups: "Nested data conversions
    # not implemented for chunked array outputs".
    has_structs = any(types.is_struct(field.type) for field in file.schema_arrow)
    for part in [[group] for group in groups] if has_structs else [list(groups)]:
        yield from file.iter_batches(size, row_groups=part, columns=columns, use_threads=False)


@contextmanager
def _opened(path: str, place: Callable[[], str] = str) -> Iterator["pq.ParquetFile | None"]:
    """An open file, None for one without a byte. Damage is a DataError.

    Args:
        path: The file.
        place: Says how far the reading got, such as ` after row 9`.
    """
    import pyarrow.parquet as pq

    with files.translate_errors(path, place), files.open_file(path) as file:
        magic = file.read(4)
        if not magic:
            yield None
            return
        if magic == ENCRYPTED_MAGIC:
            raise DataError(f"{path} is encrypted. Write it again without encryption.")

        file.seek(0)
        if magic != MAGIC:
            compression.check_packed(file, path)
        with (
            arrow_columns.translate_errors(path, place),
            # Not pre-buffered, and in pieces: a row group need not fit into memory.
            pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as parquet,
        ):
            yield parquet
