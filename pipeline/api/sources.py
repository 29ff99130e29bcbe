"""Data in memory as sources: they are written under the root, by the digest of their content.

    <root>/sources/<digest>.parquet               a data frame or an Arrow table
    <root>/sources/hugging_face/<fingerprint>/    a data set of Hugging Face's `datasets`

Equal data have equal names, so that a second run finds every stage finished. `seqline gc` leaves
the folder alone.
"""

import io
from collections.abc import Mapping
from hashlib import blake2b
from os import PathLike, fspath
from typing import Any

from seqline.errors import UserError
from seqline.rows import hugging_face
from seqline.storage.staging import path_of, writing

FOLDER = "sources"
KINDS = (
    "a path, a pandas or polars DataFrame, an Arrow table, a Hugging Face dataset, or a dict with"
    " one of these for each split"
)


def with_files(source: Any, root: str) -> Any:
    """A source with paths in the place of data in memory.

    Args:
        source: A path, data in memory, or a table with one of them for each split.
        root: Where the run keeps its artifacts; local or in a bucket.

    Returns:
        What example_gen.source takes. A value of another kind is returned as it is, for the
        configuration's own error.

    Raises:
        UserError: The data cannot be written as a file.
    """
    if isinstance(source, PathLike):
        return fspath(source)
    if isinstance(source, str):
        return source

    place = f"{root.rstrip('/')}/{FOLDER}"
    try:
        saved = hugging_face.with_paths(source, place) if not _is_table(source) else source
    except ValueError as error:  # a stream, or a root in a bucket
        raise UserError(f"example_gen.{error}.") from None

    if isinstance(saved, Mapping):
        return {split: with_files(value, root) for split, value in saved.items()}
    if isinstance(saved, str):
        return saved
    if not _is_table(saved):
        raise UserError(f"example_gen.source is a {type(saved).__name__}; give {KINDS}.")
    return _write(_table(saved), place)


def _is_table(source: Any) -> bool:
    """Whether an object gives Arrow tables, as pandas, polars and pyarrow do."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


def _table(source: Any) -> Any:
    """The Arrow table of an object, without pandas' index."""
    import pyarrow as pa

    try:
        if type(source).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(source, preserve_index=False)
        if isinstance(source, pa.RecordBatch):
            return pa.Table.from_batches([source])
        return pa.table(source)
    except (pa.ArrowException, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(part) for part in error.args) or type(error).__name__
        raise UserError(
            f"example_gen.source, a {type(source).__name__}, is no table of rows: {reason}. Every"
            " column needs a name of its own and values of one type."
        ) from None


def _write(table: Any, place: str) -> str:
    """The path of the Parquet file with the rows of a table; it is written unless it exists."""
    import pyarrow.parquet as pq

    if not table.num_rows:
        raise UserError("example_gen.source has no row. Give a table of labelled rows.")

    # Without what pandas notes of itself, such as its version: equal rows have equal bytes.
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer)
    content = buffer.getvalue()

    path = f"{place}/{blake2b(content, digest_size=10).hexdigest()}.parquet"
    file = path_of(path)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as part, open(part, "wb") as opened:
            opened.write(content)
    return path
