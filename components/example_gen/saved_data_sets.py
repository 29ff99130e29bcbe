"""Folders that Hugging Face's `datasets` wrote, as a source: their splits and spans."""

import glob
import os
from collections.abc import Mapping
from typing import NamedTuple

from components.example_gen import spans
from components.example_gen.spans import SpanFiles
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows import hugging_face, unused
from seqline.rows.formats import arrow, kind_of_name
from seqline.rows.unused import Unused
from seqline.storage import files
from seqline.storage.files import File
from seqline.storage.listing import Entry

KIND = arrow.NAME

# Split -> number of a span -> its files.
Matched = dict[str | None, dict[int, SpanFiles]]


class SavedSplits(NamedTuple):
    """What a pattern of data sets matches.

    Attributes:
        matched: The files, split by split. The split is None where the rows are split by their
            digest: a single Dataset, or one with nothing but train.
        unused_splits: The names of the splits that are not used.
        unused: Other data files beside them.
    """

    matched: Matched
    unused_splits: tuple[str, ...]
    unused: list[Unused]


def match(pattern: str, split_names: Mapping[str, str]) -> SavedSplits | None:
    """The files of the data sets that a pattern names, split by split.

    Args:
        pattern: A folder, a glob of folders, or one with placeholders of spans.
        split_names: The names that data sets give their splits -> ours.

    Returns:
        None where the pattern names no such folder.

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
    unused_splits = []
    for name, its_files in by_name.items():
        split = None if name is None else split_names.get(name)
        if name is not None and split is None:
            unused_splits.append(name)
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
    return SavedSplits(matched, tuple(sorted(unused_splits)), _unused(by_name))


def _unused(by_name: dict[str | None, list[File]]) -> list[Unused]:
    """The data files in the same folders that are not of the data set."""
    paths = {file.path for its_files in by_name.values() for file in its_files}
    folders = sorted({path.rpartition("/")[0] for path in paths})
    found = [file for folder in folders for file in files.match(f"{glob.escape(folder)}/*.arrow")]
    others = (file.path for file in found if file.path not in paths)
    return unused.unused(unused.NOT_OF_DATA_SET, others)


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
