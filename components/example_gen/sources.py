"""What a source is made of: its spans with their digests, and the shards that Beam distributes. Imports nothing heavy."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from components import files
from components.base import DataError, UserError
from components.example_gen import ExampleGenParams, parts
from components.example_gen.parts import Part, Span
from components.files import File

TFDS = "tfds:"
# A shard of JSONL or Parquet is at most about this long, if it can be cut.
SHARD_BYTES = 32 << 20
# Smaller files share a shard: ten thousand tiny ones must not become ten thousand shards. On gs:// each costs a request or two.
GROUP_BYTES = 4 << 20
GROUP_FILES = 1000
# Files whose first rows `check` looks at, the newest spans first.
CHECKED_FILES = 1000
CHECKED_REMOTE_FILES = 4


@dataclass(frozen=True)
class Shard:
    """A bounded piece of a source: what one Beam element stands for.

    split: the source's own split, None where the rows are split by their digest.
    paths: whole files, or one of which this is a part. start and end: bytes of a JSONL file (a row belongs to the shard in which it
    starts) or row groups of a Parquet file; 0 and 0 for whole files. num_lines: lines of a JSONL file that start before `start`; None
    where counting them would mean to download them: then a place is `<path>[from byte <start>]` and the number of the row among those
    that start there.
    tfds_shard: the number of the shard of a TFDS split (then `paths` is its name, version and split).
    """

    kind: parts.Kind | Literal["tfds"]
    split: str | None
    paths: tuple[str, ...]
    start: int = 0
    end: int = 0
    num_lines: int | None = 0
    tfds_shard: int = 0


def tfds_name(params: ExampleGenParams) -> str | None:
    """`imdb_reviews` for the source `tfds:imdb_reviews`; None for files."""
    source = params.source
    return source.removeprefix(TFDS) if isinstance(source, str) and source.startswith(TFDS) else None


def check(params: ExampleGenParams) -> None:
    """Raises UserError or DataError for what the names, headers and first rows already show."""
    _check_encoding(params)
    if tfds_name(params):
        if params.span not in ("latest", 0):
            raise UserError(f"example_gen.span {params.span} is not there; {params.source!r} has the span 0.")
        return
    from components.example_gen import rows

    found = [(part.kind, file) for span in reversed(parts.find(params)) for part in span.parts for file in part.files]
    for kind, file in found:
        if not file.size and kind != "folder":
            raise DataError(f"{file.path} is empty. Remove it from example_gen.source or put rows into it.")
    remote = [each for each in found if files.is_remote(each[1].path)]
    local = [each for each in found if not files.is_remote(each[1].path)]
    for kind, file in [*local[:CHECKED_FILES], *remote[:CHECKED_REMOTE_FILES]]:
        rows.check(kind, file.path, params)


def _check_encoding(params: ExampleGenParams) -> None:
    try:
        codecs.lookup(params.encoding)
        newline = "\n".encode(params.encoding)
    except LookupError:
        raise UserError(
            f"example_gen.encoding {params.encoding!r} is not an encoding that Python knows, such as utf-8 or latin-1."
        ) from None
    if newline != b"\n":
        raise UserError(
            f"example_gen.encoding {params.encoding!r} has line ends of its own; convert the file first: iconv -f {params.encoding} -t utf-8"
        )


# Spans


def window(params: ExampleGenParams, memory: Path | None = None) -> list[Span]:
    """The spans of the window with their digests, in ascending order. memory: see `components.example_gen.outside`.

    Raises UserError for patterns that match nothing, unknown kinds and split names, and a span that is not there.
    """
    with files.remembering(memory) as remembered:
        if name := tfds_name(params):
            from components.example_gen import tfds_source

            content = tfds_source.digest(name, params.data_dir, remembered)
            if content is None:
                raise DataError(f"example_gen.source {params.source!r} is not prepared under {params.data_dir}: call prepare first.")
            return [Span(0, None, (), content)]
        return [replace(span, digest=_digest(span, remembered)) for span in parts.find(params)]


def digest(params: ExampleGenParams, memory: Path | None = None) -> str | None:
    """A digest of the content that a run would read; None for a TFDS set that is not prepared. It follows neither paths nor times."""
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        if not tfds_source.is_prepared(name, params.data_dir):
            return None
    whole = [[span.number, span.version, span.digest] for span in window(params, memory)]
    return blake2b(json.dumps(whole).encode(), digest_size=16).hexdigest()


def _digest(span: Span, remembered: files.Remembered) -> str:
    whole = blake2b(digest_size=16)
    for part in span.parts:
        for file in part.files:
            name = parts.class_and_name(file) if part.kind == "folder" else ""
            whole.update(json.dumps([part.split, part.kind, name, files.digest(file, remembered)]).encode())
    return whole.hexdigest()


# Shards


def shards(span: Span, params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of a span in order, and the names of the source's splits that are not used. Looks into large files to cut them.

    Raises UserError or DataError for files, columns or splits that are not there.
    """
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        return tfds_source.shards(name, params)
    return [shard for part in span.parts for shard in _shards(part)], []


def _shards(part: Part) -> Iterator[Shard]:
    """Small files together, large ones alone, and those that can be cut in pieces."""
    group: list[str] = []
    size = 0
    for file in part.files:
        if group and (size + file.size > GROUP_BYTES or len(group) == GROUP_FILES):
            yield Shard(part.kind, part.split, tuple(group))
            group, size = [], 0
        pieces = _pieces(file, part) if file.size > SHARD_BYTES else []
        if pieces:
            yield from pieces
        else:
            group.append(file.path)
            size += file.size
    if group:
        yield Shard(part.kind, part.split, tuple(group))


def _pieces(file: File, part: Part) -> list[Shard]:
    """The shards of one file; none where only a reader from its start can tell where a row begins.

    That is so in gzipped files, in TFRecord, and in CSV, where a line end inside quotes is not a row's end.
    """
    if part.kind == "parquet":
        from components.example_gen import parquet_rows

        groups = parquet_rows.group_row_groups(file.path, SHARD_BYTES)
        return [Shard("parquet", part.split, (file.path,), start, end) for start, end in groups]
    if part.kind == "jsonl" and not file.path.endswith(".gz"):
        starts = range(0, file.size, SHARD_BYTES)
        lines = _num_lines_before(file.path, starts)
        return [
            Shard("jsonl", part.split, (file.path,), start, min(start + SHARD_BYTES, file.size), before)
            for start, before in zip(starts, lines, strict=True)
        ]
    return []


def _num_lines_before(path: str, starts: range) -> list[int | None]:
    """How many rows begin before each of the starts: a row ends in \\n only. None for those behind the first on gs://."""
    if files.is_remote(path):
        return [0, *[None] * (len(starts) - 1)]
    counts: list[int | None] = []
    count = 0
    with files.explained(path), files.open_file(path) as file:
        ends_a_row = True
        for _ in starts:
            counts.append(count if ends_a_row else count + 1)
            left = starts.step
            while left > 0 and (block := file.read(min(files.READ_BYTES, left))):
                count += block.count(b"\n")
                ends_a_row = block.endswith(b"\n")
                left -= len(block)
    return counts
