"""The files of a source without labels: found, checked, digested. Imports nothing heavy."""

import json
import os
import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from components.bulk_inferrer import BulkInferrerParams
from seqline.data.examples import Content
from seqline.errors import DataError, UserError
from seqline.rows.read import check_files
from seqline.rows.row import RowFormat
from seqline.rows.shards import TEXT_SUFFIXES, Kind, check_encoding, kind_of
from seqline.storage import files
from seqline.storage.files import File

SECTION = "bulk_inferrer"


def row_format(
    params: BulkInferrerParams, content: Content = "text", dim: int | None = None
) -> RowFormat:
    """How the rows are read. content and dim: what the model reads."""
    return RowFormat(
        SECTION,
        content=content,
        text=params.text or "text",
        dim=dim,
        dim_name="the model's",
        encoding=params.encoding or "utf-8",
        delimiter=params.delimiter or ",",
        keep=tuple(params.keep),
        empty_text=True,
    )


def find(params: BulkInferrerParams) -> tuple[Kind, list[File]]:
    """The files of the source in the order of their names.

    Raises UserError for a source that matches nothing, or files that are of several kinds or of
    none.
    """
    source = params.source or ""
    if source.startswith("tfds:") or ("://" in source and not files.is_remote(source)):
        raise UserError(
            f"{SECTION}.source {source!r}: only local files and gs:// can be read; write the rows"
            " into files first."
        )
    if found := files.match(source):
        return kind_of(found, source, SECTION), found
    root = source.rstrip("/")
    # A folder's own name first: it may hold brackets.
    escaped = re.sub(r"([*?[])", r"[\1]", root) if os.path.isdir(root) else root
    texts = {
        file
        for names in ("*.txt*", "*/*.txt*")
        for file in files.match(f"{escaped}/{names}")
        if file.path.endswith(TEXT_SUFFIXES)
    }
    if texts and source:
        return "folder", sorted(texts, key=lambda file: file.path)
    if source and os.path.isdir(root):
        raise UserError(
            f"{SECTION}.source {source!r} is a folder without .txt files; name other files by a"
            f" glob, such as {root}/*.jsonl."
        )
    raise UserError(
        f"{SECTION}.source {source!r} matches no"
        f" file{'' if files.is_remote(source) else f' under {Path.cwd()}'}."
    )


def check(params: BulkInferrerParams) -> None:
    """Raises UserError or DataError for what names, headers and first rows already show."""
    format_ = row_format(params)
    check_encoding(format_)
    kind, found = find(params)
    if kind == "folder" and params.keep:
        raise UserError(
            f"{SECTION}.keep {params.keep}: text files have no columns; `file` is in every"
            " prediction. Remove it."
        )
    if len(set(params.keep)) < len(params.keep):
        raise UserError(f"{SECTION}.keep {params.keep} names a column twice.")
    check_files([(kind, file) for file in found], format_)


def digest(found: Sequence[File], memory: Path | None, paths: bool = True) -> str:
    """A digest of the files' contents, in their order, and of their paths if these count.

    Raises DataError for one that is gone.
    """
    with files.digest_cache(memory) as cache:
        whole = [[file.path if paths else "", files.digest(file, cache)] for file in found]
    return blake2b(json.dumps(whole).encode(), digest_size=16).hexdigest()


def changed(source: str | None) -> DataError:
    return DataError(
        f"The files of {source!r} changed while they were read; the predictions are not complete."
        " Run again with --force."
    )
