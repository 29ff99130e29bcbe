"""Finds, checks and digests the files of a source without labels. Imports nothing heavy."""

import json
import os
import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from components.bulk_inferrer import BulkInferrerParams
from seqline.data.examples import Content
from seqline.errors import DataError, UserError
from seqline.rows import hugging_face
from seqline.rows.encodings import check_encoding
from seqline.rows.formats import arrow, folder
from seqline.rows.read import check_files, kind_of
from seqline.rows.row import RowFormat
from seqline.storage import files
from seqline.storage.files import File

SECTION = "bulk_inferrer"


def row_format(
    params: BulkInferrerParams, content: Content = "text", dim: int | None = None
) -> RowFormat:
    """The format of the rows, for a model that reads `content` and `dim`.

    Raises:
        UserError: Sequences would have to be joined, or a column is named twice.
    """
    texts = params.texts
    if content == "sequence" and len(texts) > 1:
        raise UserError(
            f"{SECTION}.text {list(texts)} names several columns, and the model reads sequences of"
            " numbers, which cannot be joined. Name one."
        )
    if len(set(texts)) < len(texts):
        raise UserError(f"{SECTION}.text {list(texts)} names a column twice. Name it once.")

    return RowFormat(
        SECTION,
        content=content,
        text=texts,
        dim=dim,
        dim_name="the model's",
        encoding=params.encoding or "utf-8",
        delimiter=params.delimiter,
        quoting=params.quoting or "auto",
        header=tuple(params.columns or ()),
        keep=tuple(params.keep),
        empty_text=True,
    )


def find(params: BulkInferrerParams) -> tuple[str, list[File]]:
    """The files of the source in the order of their names, and their kind.

    Raises:
        UserError: The source matches nothing, or files of several kinds or of an unknown kind.
    """
    source = params.source or ""
    if source.startswith("tfds:") or ("://" in source and not files.is_remote(source)):
        raise UserError(
            f"{SECTION}.source {source!r}: only local files and gs:// can be read; write the rows "
            "into files first."
        )

    if matches := files.match(source):
        return kind_of(matches, source, SECTION), matches

    root = source.rstrip("/")
    if source and (saved := hugging_face.splits_of(root)) is not None:
        return arrow.NAME, _saved_files(saved, source)

    # A folder's own name may hold brackets.
    escaped = re.sub(r"([*?[])", r"[\1]", root) if os.path.isdir(root) else root
    texts = {
        file
        for names in ("*.txt*", "*/*.txt*")
        for file in files.match(f"{escaped}/{names}")
        if file.path.endswith(folder.SUFFIXES)
    }
    if texts and source:
        return folder.NAME, sorted(texts, key=lambda file: file.path)
    if source and os.path.isdir(root):
        raise UserError(
            f"{SECTION}.source {source!r} is a folder without .txt files; name other files by a "
            f"glob, such as {root}/*.jsonl."
        )

    place = "" if files.is_remote(source) else f" under {Path.cwd()}"
    raise UserError(f"{SECTION}.source {source!r} matches no file{place}.")


def _saved_files(saved: dict[str | None, list[File]], source: str) -> list[File]:
    """The files of a saved data set, see `hugging_face.splits_of`."""
    named = ", ".join(f"{source.rstrip('/')}/{split}" for split in saved if split is not None)
    if named:
        raise UserError(f"{SECTION}.source {source!r} has splits; name the folder of one: {named}.")
    if not saved.get(None):
        raise DataError(f"{SECTION}.source {source!r} is a data set without rows. Add some.")
    return saved[None]


def check(params: BulkInferrerParams) -> None:
    """Checks the source by its names, headers and first rows.

    Raises:
        UserError, DataError: The source cannot be used.
    """
    format_ = row_format(params)
    check_encoding(format_)
    kind, source_files = find(params)
    if kind == folder.NAME and params.keep:
        raise UserError(
            f"{SECTION}.keep {params.keep}: text files have no columns; `file` is in every "
            "prediction. Remove it."
        )

    if len(set(params.keep)) < len(params.keep):
        raise UserError(f"{SECTION}.keep {params.keep} names a column twice.")
    check_files([(kind, file) for file in source_files], format_)


def digest(source_files: Sequence[File], memory: Path | None, paths: bool = True) -> str:
    """A digest of the files in their order.

    Args:
        source_files: The files.
        memory: A file that remembers the digests of files that have not changed.
        paths: Whether the paths count, too, or only the contents.

    Raises:
        DataError: A file is gone.
    """
    with files.digest_cache(memory) as cache:
        contents = [
            [file.path if paths else "", files.digest(file, cache)] for file in source_files
        ]
    return blake2b(json.dumps(contents).encode(), digest_size=16).hexdigest()


def changed(source: str | None) -> DataError:
    """The error for a source whose files changed during the run."""
    return DataError(
        f"The files of {source!r} changed while they were read; the predictions are not complete. "
        "Run again with --force."
    )
