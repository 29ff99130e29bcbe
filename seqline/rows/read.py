"""From a shard to its rows.

Checked, encoded, and with their place. Plain Python, no TensorFlow, no Beam.
"""

import importlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from seqline.errors import DataError
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Kind, Shard
from seqline.storage import files
from seqline.storage.files import File

# Files whose first rows `check` looks at, the newest spans first.
CHECKED_FILES = 1000
CHECKED_REMOTE_FILES = 4


def read(shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """Every row of a shard, in order.

    Usable, or bad with its reason. Memory does not follow the size of the shard.

    Raises DataError for a file that is gone or damaged, and UserError for a column or feature that
    is not there.
    """
    reader = _reader(shard.kind).read
    return chain.from_iterable(reader(path, shard, format_) for path in shard.paths)


def check(kind: Kind, path: str, format_: RowFormat) -> None:
    """Looks at the beginning of a file.

    Raises what `read` would raise there, and DataError for a file without rows.
    """
    _reader(kind).check(path, format_)


def _reader(kind: str) -> Any:
    # A format is imported when files of it are read: Parquet and TFRecord need libraries that take
    # a while.
    return importlib.import_module(f"seqline.rows.formats.{kind}")


def check_files(found: Sequence[tuple[Kind, File]], format_: RowFormat) -> None:
    """Raises UserError or DataError for what sizes, headers and first rows already show, of the
    first files at least.
    """
    for kind, file in found:
        if not file.size and kind != "folder":
            raise DataError(
                f"{file.path} is empty. Remove it from {format_.section}.source or put rows"
                " into it."
            )
    remote = [each for each in found if files.is_remote(each[1].path)]
    local = [each for each in found if not files.is_remote(each[1].path)]
    for kind, file in [*local[:CHECKED_FILES], *remote[:CHECKED_REMOTE_FILES]]:
        check(kind, file.path, format_)
