"""Finds, checks and digests the files of a source without labels. Imports nothing heavy."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from components.bulk_inferrer import BulkInferrerParams
from seqline.data import features
from seqline.data.examples import Content
from seqline.errors import DataError, UserError
from seqline.model.served import ANSWERS, RowSignature, signatures_of
from seqline.rows import hugging_face, unused
from seqline.rows.encodings import check_encoding
from seqline.rows.find import Selection, location, match, select
from seqline.rows.formats import arrow, folder
from seqline.rows.read import check_files
from seqline.rows.row import RowFormat
from seqline.storage import files
from seqline.storage.files import File

SECTION = "bulk_inferrer"


def row_format(
    params: BulkInferrerParams, content: Content = "text", dim: int | None = None
) -> RowFormat:
    """The format of the rows, for a model that reads `content` and `dim`.

    Sequences that are written with their predictions are kept, too: the model reads float32, and
    what is written are the numbers of the source.

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

    is_written = content == features.SEQUENCE and params.with_content
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
        keep=(*params.keep, *(texts if is_written else ())),
        empty_text=True,
    )


def find(params: BulkInferrerParams) -> Selection:
    """The files of the source in the order of their names, and their kind.

    Raises:
        UserError: The source matches nothing, or files of several kinds or of an unknown kind.
        DataError: All files are empty, or a link leads nowhere.
    """
    source = params.source or ""
    if source.startswith("tfds:"):
        raise UserError(
            f"{SECTION}.source {source!r}: only files can be read; write the rows into files first."
        )

    path = location(source, SECTION)
    if source and (saved := hugging_face.splits_of(path)) is not None:
        return Selection(arrow.NAME, _saved_files(saved, source), [])

    matches = match(path, source, SECTION)
    selection = select(matches.entries, matches, source, SECTION, labelled=False)
    selection.unused = list(unused.merge([*matches.unused, *selection.unused]))
    if not selection.files:
        raise DataError(unused.no_rows(selection.unused, SECTION))
    return selection


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
    selection = find(params)
    if selection.kind == folder.NAME and params.keep:
        raise UserError(
            f"{SECTION}.keep {params.keep}: text files have no columns; `file` is in every "
            "prediction. Remove it."
        )

    if len(set(params.keep)) < len(params.keep):
        raise UserError(f"{SECTION}.keep {params.keep} names a column twice.")
    check_files([(selection.kind, file) for file in selection.files], format_)


def read_signature(model: Path, name: str) -> RowSignature:
    """The rows that a signature reads. Does not load the model.

    Raises:
        UserError: The model has no signature of this name that classifies rows.
    """
    signatures = signatures_of(model)
    if name not in signatures:
        raise UserError(
            f"{model} has no signature {name!r} that reads rows and answers with"
            f" {', '.join(ANSWERS)} (bulk_inferrer.signature); it has {', '.join(signatures)}."
        )
    return signatures[name]


def digest(
    source_files: Sequence[File],
    params: BulkInferrerParams,
    memory: Path | None,
    paths: bool = True,
) -> str:
    """A digest of the files in their order.

    Args:
        source_files: The files.
        params: They say which columns are read; a path may name some.
        memory: A file that remembers the digests of files that have not changed.
        paths: Whether the paths count, too, or only the contents.

    Raises:
        DataError: A file is gone.
    """
    format_ = row_format(params)
    with files.digest_cache(memory) as cache:
        contents = [
            [
                file.path if paths else format_.at(file.path).constants or "",
                files.digest(file, cache),
            ]
            for file in source_files
        ]
    return blake2b(json.dumps(contents).encode(), digest_size=16).hexdigest()


def changed(source: str | None) -> DataError:
    """The error for a source whose files changed during the run."""
    return DataError(
        f"The files of {source!r} changed while they were read; the predictions are not complete. "
        "Run again with --force."
    )
