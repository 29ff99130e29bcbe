"""Tells whether a CSV file has a header, and names the columns of one that has none."""

import statistics
from collections import Counter
from collections.abc import Sequence

from pipeline.init.column import (
    LABEL_NAMES,
    OTHER_NAMES,
    TEXT_NAMES,
    TITLE_NAMES,
    WEIGHT_NAMES,
    Column,
    is_title,
    label_score,
    text_score,
)
from seqline.rows.dialect import NUMBER, looks_like_row

KNOWN_NAMES = {*TEXT_NAMES, *LABEL_NAMES, *OTHER_NAMES, *TITLE_NAMES, *WEIGHT_NAMES}
# A value that is longer is no label.
MAX_LABEL = 60


def is_row(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the first line of a file is a row like the others, and no header.

    It is if it holds a label that others have, too, or a number where they all have one. Long
    fields alone do not tell: the columns of a survey are called by its questions.

    Args:
        first: The fields of the first line.
        others: Those of lines after it.
    """
    # Files may have been put one after the other, with their headers.
    rows = [row for row in others if len(row) == len(first) and [*row] != [*first]]
    if not rows or _is_numbered(first):
        return False

    names = [field.strip().lower() for field in first]
    for place, field in enumerate(first):
        if any(name in KNOWN_NAMES for name in names[:place] + names[place + 1 :]):
            continue
        values = [row[place] for row in rows if row[place]]
        if not field or not values:
            continue
        if NUMBER.fullmatch(field) and all(NUMBER.fullmatch(value) for value in values):
            return True
        if field in values and _is_label(values):
            return True
    return False


def looks_odd(names: Sequence[str]) -> bool:
    """Whether a header looks like a row, although it was not taken for one."""
    return looks_like_row(names) and not _is_numbered(names)


def _is_numbered(names: Sequence[str]) -> bool:
    """Whether names are 0, 1, ..., as pandas writes them, perhaps after its index."""
    numbers = [*names][1:] if names[0] == "" else [*names]
    return numbers == [str(place) for place in range(len(numbers))]


def _is_label(values: Sequence[str]) -> bool:
    """Whether values are as short and as frequent as labels are. A sorted file may show one."""
    counts = Counter(values)
    few = max(2, len(values) / 2)
    return len(counts) <= few and statistics.fmean(map(len, counts)) <= MAX_LABEL


def names_for(columns: Sequence[Column]) -> list[str]:
    """Names for columns that have none, by their values: label, text and title; `column_2`."""
    text = max(columns, key=text_score, default=None)
    if text is None or text_score(text) == 0:
        return [column.name for column in columns]

    others = [column for column in columns if column is not text]
    label = max(others, key=label_score, default=None)
    if label is not None and label_score(label) == 0:
        label = None

    # The title comes before the text and is shorter.
    before = columns[: columns.index(text)]
    titles = [column for column in before if column is not label and is_title(column)]
    names = []
    for column in columns:
        name = column.name
        if column is text:
            name = "text"
        elif column is label:
            name = "label"
        elif titles and column is titles[-1]:
            name = "title"
        names.append(name)
    return names
