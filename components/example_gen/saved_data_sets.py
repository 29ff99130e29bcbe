"""Folders that Hugging Face's `datasets` wrote, as a source: their splits and spans."""

import glob
import os
from collections.abc import Mapping

from components.example_gen import spans
from components.example_gen.spans import SpanFiles
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows import hugging_face
from seqline.rows.formats import arrow, kind_of_name
from seqline.storage import files
from seqline.storage.files import File
from seqline.storage.listing import Entry

KIND = arrow.NAME

# Split -> number of a span -> its files.
Matched = dict[str | None, dict[int, SpanFiles]]


def match(pattern: str, split_names: Mapping[str, str]) -> tuple[Matched, tuple[str, ...]] | None:
    """The files of the data sets that a pattern names, split by split.

    Args:
        pattern: A folder, a glob of folders, or one with placeholders of spans.
        split_names: The names that data sets give their splits -> ours.

    Returns:
        The files, and the names of the splits that are not used. The split is None where the rows
        are split by their digest: a single Dataset, or one with nothing but train. None where the
        pattern names no such folder.

    Raises:
        UserError: The splits cannot be told.
        DataError: There is no train, or no row at all, or a folder is damaged.
    """
    if kind_of_name(pattern) is not None:  # It names files: folders need not be looked for.
        return None

    by_name = _by_name(pattern)
    if by_name is None:
        return None
    if not any(by_name.values()):
        raise DataError(f"example_gen.source {pattern!r} is a data set without rows. Add some.")
    if None in by_name and len(by_name) > 1:
        raise UserError(
            f"example_gen.source {pattern!r} matches data sets with splits and one without; name"
            " one kind."
        )

    splits: dict[str | None, list[File]] = {}
    unused = []
    for name, its_files in by_name.items():
        split = None if name is None else split_names.get(name)
        if name is not None and split is None:
            unused.append(name)
        elif split in splits:
            raise UserError(
                f"example_gen.source {pattern!r} has one split under two names, among"
                f" {', '.join(map(repr, by_name))}; name the folder of each split:"
                " {train = ..., test = ...}."
            )
        else:
            splits[split] = its_files

    if None not in splits and features.TRAIN not in splits:
        raise DataError(
            f"example_gen.source {pattern!r} has the splits {', '.join(map(repr, by_name))} and no"
            " train; name the folder of each split: {train = ..., test = ...}."
        )
    if list(splits) == [features.TRAIN]:
        splits = {None: splits[features.TRAIN]}

    tail = "/.*"
    matched: Matched = {
        split: spans.group(
            pattern.rstrip("/"),
            [Entry(file.path, file.size, content=file.content) for file in its],
            tail,
        )
        for split, its in splits.items()
    }
    return matched, tuple(sorted(unused))


def _by_name(pattern: str) -> dict[str | None, list[File]] | None:
    """Split, as the data sets call it -> the files of all data sets. None without data sets."""
    root = spans.to_glob(pattern).rstrip("/")
    if os.path.isdir(root):  # A folder's own name may hold brackets.
        root = glob.escape(root)
    marks = [file.path for name in hugging_face.MARKS for file in files.match(f"{root}/{name}")]
    by_name: dict[str | None, list[File]] = {}
    is_data_set = False
    for folder in sorted({mark.rpartition("/")[0] for mark in marks}):
        splits = hugging_face.splits_of(folder)
        is_data_set = is_data_set or splits is not None
        for name, its_files in (splits or {}).items():
            by_name.setdefault(name, []).extend(its_files)
    return by_name if is_data_set else None
