"""From a source's files to their shards, and from a shard to its rows.

The rows are checked, encoded, and have their place. Plain Python, no TensorFlow, no Beam.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from seqline.errors import DataError, UserError
from seqline.rows import other_kinds, shards
from seqline.rows.formats import all_formats, format_of, kind_of_name
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.rows.unused import printable
from seqline.storage.files import File, is_remote

# Files whose first rows `check_files` looks at, at most.
CHECKED_FILES = 1000
CHECKED_REMOTE_FILES = 4
# Endings that say how a file is compressed, behind the one that says what it holds.
PACKED = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd", ".zip")


def kind_of(source_files: Sequence[File], pattern: str, section: str) -> str:
    """The kind of the files that a source's pattern matches.

    Raises:
        UserError: They are of several kinds, or a file is of none.
    """
    kinds = {kind_of_name(file.path) for file in source_files}
    if len(kinds) > 1:
        suffixes = sorted({suffix(file.path) for file in source_files})
        raise UserError(
            f"{section}.source {pattern!r} matches files of several kinds, {suffixes}; name one"
            " kind."
        )

    kind = kinds.pop()
    if kind is None and (way_out := other_kinds.way_out(source_files[0].path)):
        raise UserError(f"{section}.source {source_files[0].path} {way_out}")
    if kind is None:
        first = source_files[0].path
        raise UserError(
            f"{section}.source {pattern!r}: the ending of {printable(first)} does not tell what it"
            f" holds. Known are {known_kinds()}, and folders of such files or of <class>/*.txt."
            " Rename it if it is one of these, or convert it."
        )
    return kind


def suffix(path: str) -> str:
    """The end of a file's name, such as `.csv` or `.csv.gz`; empty for a name without a dot."""
    suffixes = Path(path).suffixes
    is_packed = bool(suffixes) and suffixes[-1].lower() in PACKED
    return "".join(suffixes[-2:] if is_packed else suffixes[-1:])


def known_kinds() -> str:
    """`.csv, .tsv, .jsonl, .tfrecord or .parquet`: the ends of the names that formats have."""
    suffixes = [
        ending
        for format_ in all_formats()
        if format_.PATTERN is not None
        for ending in format_.SUFFIXES
    ]
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def check_files(source_files: Sequence[tuple[str, File]], format_: RowFormat) -> None:
    """Checks the headers and first rows of the first CHECKED_FILES, and that a file has a row.

    Args:
        source_files: (kind, file). The first ones are looked at.
        format_: How their rows are read.

    Raises:
        UserError: A column or a setting cannot be right.
        DataError: A file is damaged, or no file has a row.
    """
    other = next((file for kind, file in source_files if kind != "csv"), None)
    if format_.header and other is not None:
        raise UserError(
            f"{format_.section}.columns names the columns of CSV files without a header, and"
            f" {other.path} is none. Remove it."
        )

    # An empty file has no row. A text file of a folder is one, and is judged when it is read.
    with_bytes = [(kind, file) for kind, file in source_files if file.size or kind == "folder"]
    remote = [(kind, file) for kind, file in with_bytes if is_remote(file.path)]
    local = [(kind, file) for kind, file in with_bytes if not is_remote(file.path)]
    checked = [*local[:CHECKED_FILES], *remote[:CHECKED_REMOTE_FILES]]
    have_rows = [format_of(kind).check(file.path, format_.at(file.path)) for kind, file in checked]

    if len(checked) == len(with_bytes) and not any(have_rows):
        others = f" and {len(source_files) - 1:,} others have" if len(source_files) > 1 else " has"
        raise DataError(
            f"{source_files[0][1].path}{others} no row. Name files with rows in"
            f" {format_.section}.source, or put rows into them."
        )


def cut(
    kind: str,
    source_files: Sequence[File],
    split: str | None = None,
    *,
    shard_bytes: int | None = None,
    group_bytes: int = shards.GROUP_BYTES,
    group_files: int = shards.GROUP_FILES,
) -> Iterator[Shard]:
    """The shards of files of one kind, in order.

    Small files share a shard, a large one is cut if its format can be, or is a shard of its own.

    Args:
        kind: The NAME of the files' format.
        source_files: The files, in the order in which they are read.
        split: The split that the rows of all of them have, if the source says so.
        shard_bytes: Longer files are cut. None for SHARD_BYTES.
        group_bytes: Bytes of the small files that share a shard, at most.
        group_files: Files that share a shard, at most.
    """
    shard_bytes = shards.SHARD_BYTES if shard_bytes is None else shard_bytes
    format_ = format_of(kind)
    group: list[str] = []
    size = 0

    for file in source_files:
        if group and (size + file.size > group_bytes or len(group) == group_files):
            yield Shard(kind, split, tuple(group))
            group, size = [], 0

        cut_up = format_.cut(file, split, shard_bytes) if file.size > shard_bytes else []
        if cut_up:
            yield from cut_up
        else:
            group.append(file.path)
            size += file.size

    if group:
        yield Shard(kind, split, tuple(group))


def read(shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """Reads the rows of a shard, in order, the bad ones with their reason.

    Memory does not follow the size of the shard.

    Raises:
        DataError: A file is gone or damaged.
        UserError: A file has no such column or feature.
    """
    reader = format_of(shard.kind).read
    return chain.from_iterable(reader(path, shard, format_.at(path)) for path in shard.paths)
