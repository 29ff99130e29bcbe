"""Files cut into shards.

Bounded pieces, each of which one Beam element can stand for. Imports nothing heavy.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqline.errors import UserError
from seqline.rows.row import RowFormat
from seqline.storage import files
from seqline.storage.files import File

Kind = Literal["csv", "jsonl", "tfrecord", "parquet", "folder"]

# TFRecord files have no single suffix: a.tfrecord, a.tfrecords.gz, train.tfrecord-00000-of-00010,
# and our own and TFX's data_tfrecord-00000-of-00002.gz.
NAMES: dict[Kind, str] = {
    "csv": r".*\.(csv|tsv)(\.gz)?",
    "jsonl": r".*\.jsonl(\.gz)?",
    "tfrecord": r".*[._]tfrecords?(-\d+)*(-of-\d+)?(\.gz)?",
    "parquet": r".*\.parquet",
}
# In a folder; one listing finds both.
TEXT_SUFFIXES = (".txt", ".txt.gz")
# A shard of JSONL or Parquet is at most about this long, if it can be cut.
SHARD_BYTES = 32 << 20
# Smaller files share a shard: ten thousand tiny ones must not become ten thousand shards. On gs://
# each costs a request or two.
GROUP_BYTES = 4 << 20
GROUP_FILES = 1000


@dataclass(frozen=True)
class Shard:
    """A bounded piece of a source: what one Beam element stands for.

    split: the source's own split, None where the rows are split by their digest. paths: whole
    files, or one of which this is a part. start and end: bytes of a JSONL file (a row belongs to
    the shard in which it starts) or row groups of a Parquet file; 0 and 0 for whole files.
    num_lines: lines of a JSONL file that start before `start`; None where counting them would mean
    to download them: then a place is `<path>[from byte <start>]` and the number of the row among
    those that start there. tfds_shard: the number of the shard of a TFDS split (then `paths` is its
    name, version and split).
    """

    kind: Kind | Literal["tfds"]
    split: str | None
    paths: tuple[str, ...]
    start: int = 0
    end: int = 0
    num_lines: int | None = 0
    tfds_shard: int = 0


def kind_of(found: Sequence[File], pattern: str, section: str) -> Kind:
    """The kind of files by their names. Raises UserError for files of several kinds or of none."""
    kinds = {
        next(
            (kind for kind, name in NAMES.items() if re.fullmatch(name, file.path, re.DOTALL)), None
        )
        for file in found
    }
    if len(kinds) > 1:
        suffixes = sorted(
            {
                (
                    "".join(Path(file.path).suffixes[-2:])
                    if file.path.endswith(".gz")
                    else Path(file.path).suffix
                )
                for file in found
            }
        )
        raise UserError(
            f"{section}.source {pattern!r} matches files of several kinds, {suffixes}; name one"
            " kind."
        )
    kind = kinds.pop()
    if kind is None:
        raise UserError(
            f"{section}.source {found[0].path} is neither .csv nor .jsonl, .tfrecord (each also"
            " .gz) or .parquet, nor a folder of <class>/*.txt."
        )
    return kind


def check_encoding(format_: RowFormat) -> None:
    """Raises UserError for an encoding that Python does not know, or in which a line does not end
    as in ASCII.
    """
    try:
        codecs.lookup(format_.encoding)
        newline = "\n".encode(format_.encoding)
    except LookupError:
        raise UserError(
            f"{format_.section}.encoding {format_.encoding!r} is not an encoding that Python knows,"
            " such as utf-8 or latin-1."
        ) from None
    if newline != b"\n":
        raise UserError(
            f"{format_.section}.encoding {format_.encoding!r} has line ends of its own; convert the"
            f" file first: iconv -f {format_.encoding} -t utf-8"
        )


def cut(kind: Kind, found: Sequence[File], split: str | None = None) -> Iterator[Shard]:
    """The shards of files of one kind.

    Small ones together, large ones alone, and those that can be cut in pieces.
    """
    group: list[str] = []
    size = 0
    for file in found:
        if group and (size + file.size > GROUP_BYTES or len(group) == GROUP_FILES):
            yield Shard(kind, split, tuple(group))
            group, size = [], 0
        pieces = _pieces(file, kind, split) if file.size > SHARD_BYTES else []
        if pieces:
            yield from pieces
        else:
            group.append(file.path)
            size += file.size
    if group:
        yield Shard(kind, split, tuple(group))


def _pieces(file: File, kind: Kind, split: str | None) -> list[Shard]:
    """The shards of one file; none where only a reader from its start can tell where a row begins.

    That is so in gzipped files, in TFRecord, and in CSV, where a line end inside quotes is not a
    row's end.
    """
    if kind == "parquet":
        from seqline.rows.formats import parquet

        groups = parquet.group_row_groups(file.path, SHARD_BYTES)
        return [Shard("parquet", split, (file.path,), start, end) for start, end in groups]
    if kind == "jsonl" and not file.path.endswith(".gz"):
        starts = range(0, file.size, SHARD_BYTES)
        lines = _num_lines_before(file.path, starts)
        return [
            Shard("jsonl", split, (file.path,), start, min(start + SHARD_BYTES, file.size), before)
            for start, before in zip(starts, lines, strict=True)
        ]
    return []


def _num_lines_before(path: str, starts: range) -> list[int | None]:
    """How many rows begin before each of the starts.

    A row ends in \\n only. None for those behind the first on gs://.
    """
    if files.is_remote(path):
        return [0, *[None] * (len(starts) - 1)]
    counts: list[int | None] = []
    count = 0
    with files.translate_errors(path), files.open_file(path) as file:
        ends_a_row = True
        for _ in starts:
            counts.append(count if ends_a_row else count + 1)
            left = starts.step
            while left > 0 and (block := file.read(min(files.READ_BYTES, left))):
                count += block.count(b"\n")
                ends_a_row = block.endswith(b"\n")
                left -= len(block)
    return counts
