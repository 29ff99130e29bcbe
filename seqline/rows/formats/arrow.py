"""Arrow's IPC files and streams: also Feather files, and the data sets of Hugging Face on disk.

A row's line is its number in the file, from 1.
"""

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

NAME = "arrow"
PATTERN: str | None = r".*\.(arrow|arrows|feather|ipc)"
SUFFIXES: tuple[str, ...] = (".arrow", ".arrows", ".feather", ".ipc")
UNIT = "row"

FILE_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"
# How a stream ends: a message without a length.
STREAM_END = STREAM_MAGIC + bytes(4)
FEATHER_1_MAGIC = b"FEA1"

# Record batches, one after the other, and their schema.
Batches = tuple["pa.Schema", Iterator["pa.RecordBatch"]]


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    with _opened(path) as opened:
        if opened is None:
            return False
        schema, batches = opened
        if _is_empty(schema, batches):
            return False
        arrow_columns.find(schema, path, format_)
        return any(batch.num_rows for batch in batches)


def _is_empty(schema: "pa.Schema", batches: Iterator["pa.RecordBatch"]) -> bool:
    """Whether it has neither columns nor rows, as pandas writes a frame without any."""
    return not len(schema) and not any(batch.num_rows for batch in batches)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: a stream is read from its start, and the rows before a batch are not counted."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    judged = judge(format_)
    line = 0
    with _opened(path, format_, lambda: f" after row {line}" if line else "") as opened:
        if opened is None:
            return

        schema, batches = opened
        if _is_empty(schema, batches):
            return
        columns = arrow_columns.find(schema, path, format_)
        for whole in batches:
            size = arrow_columns.batch_rows(whole.num_rows, whole.nbytes)
            for start in range(0, whole.num_rows, size):
                for values in arrow_columns.rows(whole.slice(start, size), columns, path):
                    line += 1
                    yield judged(values, path, line)


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`."""
    with _opened(path) as opened:
        for whole in opened[1] if opened else ():
            size = arrow_columns.batch_rows(whole.num_rows, whole.nbytes)
            for start in range(0, whole.num_rows, size):
                yield from arrow_columns.raw_rows(whole.slice(start, size), path)


@contextmanager
def _opened(
    path: str, format_: RowFormat | None = None, place: Callable[[], str] = str
) -> Iterator[Batches | None]:
    """The record batches of a file, None for one without a byte. Damage is a DataError.

    Args:
        path: The file.
        format_: Says which columns are read. None for all.
        place: Says how far the reading got, such as ` after row 9`.
    """
    with files.translate_errors(path, place), files.open_file(path) as file:
        magic = file.read(len(FILE_MAGIC))
        if not magic:
            yield None
            return
        if magic.startswith(FEATHER_1_MAGIC):
            raise DataError(
                f"{path} is Feather version 1, which Arrow gave up. Write it again as version 2:"
                " pandas.read_feather(path).to_feather(path) does."
            )
        if not magic.startswith((FILE_MAGIC, STREAM_MAGIC)):
            file.seek(0)
            compression.check_packed(file, path)
            raise files.damaged(path, "", "it is neither an Arrow file nor an Arrow stream")

        with arrow_columns.translate_errors(path, place):
            yield _batches(file, magic == FILE_MAGIC, path, format_)


def _batches(file: Any, is_file: bool, path: str, format_: RowFormat | None) -> Batches:
    """See `_opened`.

    Args:
        file: The open file.
        is_file: Whether it is an IPC file, which ends in an index of its batches, or a stream.
        path: Its name.
        format_: Says which columns are read.
    """
    from pyarrow import ipc

    open_ipc = ipc.open_file if is_file else ipc.open_stream
    file.seek(0)
    reader = open_ipc(file)
    if format_ is not None and len(reader.schema):
        columns = arrow_columns.find(reader.schema, path, format_)
        names = {column.path[0] for column in columns}
        places = [place for place, field in enumerate(reader.schema) if field.name in names]
        file.seek(0)
        # No column is asked for where the path names them all: [] would mean every one.
        places = places or [0][: len(reader.schema)]
        options = ipc.IpcReadOptions(included_fields=places, use_threads=False)
        reader = open_ipc(file, options=options)

    batches: Iterator[pa.RecordBatch]
    if is_file:
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        batches = _to_the_end(reader, file)
    return reader.schema, map(_checked, batches)


def _to_the_end(reader: Any, file: Any) -> Iterator["pa.RecordBatch"]:
    """The batches of a stream.

    Raises:
        pa.ArrowInvalid: It was cut off between two batches, or another one follows it.
    """
    import pyarrow as pa

    yield from reader
    end = file.tell()
    file.seek(max(0, end - len(STREAM_END)))
    if file.read(len(STREAM_END)) != STREAM_END:
        raise pa.ArrowInvalid("the stream has no end: its writer did not close it, or it is cut")
    if file.read(1):
        raise pa.ArrowInvalid(f"something follows the end of the stream at byte {end}")


def _checked(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """A batch whose lists and strings lie within its bytes: reading others would crash.

    Raises:
        pa.ArrowInvalid: They do not.
    """
    import pyarrow as pa

    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):  # These are bad rows.
                raise
    return batch
