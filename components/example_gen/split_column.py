"""Splits that a column of the source names, row by row.

A row stays in the split that its column says, whatever other rows hold. Which splits the column has
is known only once all rows of the window are read: those that it lacks are taken from train by the
digest of the content, in a second pass.
"""

from components.example_gen import ExampleGenParams
from components.example_gen.row_counts import RowCounts
from components.example_gen.splits import SPLIT_NAMES
from seqline.data import features
from seqline.errors import DataError
from seqline.rows.row import BadRow, Row
from seqline.rows.values import short

# The problem of rows whose split is no name of a split, see `BadRow`.
PROBLEM = "split"


def named(row: Row | BadRow) -> Row | BadRow:
    """A row with our name of its split, or a bad row for a split that has no such name.

    Names are those of SPLIT_NAMES, in any case, with blanks around them or without.
    """
    if isinstance(row, BadRow):
        return row

    assert row.split is not None, "rows with a column of splits have one"
    split = SPLIT_NAMES.get(row.split.strip().lower())
    if split is None:
        reason = f"the split is {short(row.split)}, not one of {', '.join(SPLIT_NAMES)}"
        return BadRow(row.file, row.line, reason, PROBLEM)
    return row._replace(split=split)


def advice(counts: RowCounts, params: ExampleGenParams) -> str:
    """A sentence on what to do about rows without a known split; "" if there are none."""
    if params.split is None or not counts.num_bad.get(PROBLEM):
        return ""
    return (
        f"example_gen.split {params.split!r} has to name the split of each row. Where it numbers"
        " folds, add a column that says 'test' for one fold, 'eval' for another and 'train' for"
        " the rest, or remove example_gen.split to split rows by their content."
    )


def missing_splits(counts: RowCounts, params: ExampleGenParams) -> frozenset[str]:
    """The splits that no row of the window names; empty without a column of splits.

    Args:
        counts: Of the rows in the splits that they name.
        params: The column of splits.

    Raises:
        DataError: No row is of train.
    """
    if params.split is None:
        return frozenset()

    missing = frozenset(split for split in features.SPLITS if not counts.num_in(split))
    if features.TRAIN in missing:
        others = " and ".join(
            f"{counts.num_in(split):,} of {split}"
            for split in features.SPLITS
            if split not in missing
        )
        raise DataError(
            f"example_gen.split {params.split!r} names no row of train ({others or 'no row'})."
            " Write 'train' into the rows to train on, or name another column."
        )
    return missing
