"""Whether a model can be trained and measured on the rows that were read."""

from collections import Counter
from collections.abc import Set

from components.example_gen import ExampleGenParams, split_column
from components.example_gen.row_counts import ENOUGH_CONTENTS, RowCounts, total
from seqline.data import features
from seqline.data.labels import folded
from seqline.errors import DataError
from seqline.rows import unused

# Labels that a message names.
NUM_NAMED = 3


def validate_rows(counts: RowCounts, params: ExampleGenParams) -> None:
    """Checks what holds for rows before anything is decided about rare classes.

    Raises:
        DataError: No file has a row, more rows are bad than max_bad_fraction allows, or time steps
            differ in length.
    """
    note = split_column.advice(counts, params) or _encoding_advice(counts, params)
    if not counts.num_read and counts.num_empty_files:
        empty = unused.unused(unused.EMPTY, counts.empty_files, counts.num_empty_files)
        raise DataError(unused.no_rows(empty, "example_gen"))

    counts.bad_rows.check("example_gen", params.max_bad_fraction, note)
    if len(counts.dims) > 1:
        (dim, place), (other, other_place) = list(counts.dims.items())[:2]
        raise DataError(
            f"A time step holds {dim} numbers at {place} and {other} at {other_place}; every one"
            " must hold as many."
        )


def _encoding_advice(counts: RowCounts, params: ExampleGenParams) -> str:
    """A sentence about the encoding if it is what is wrong with most bad rows."""
    if counts.num_bad.get("encoding", 0) * 2 <= sum(counts.num_bad.values()):
        return ""
    return (
        f"Most of them are not {params.encoding}: set example_gen.encoding to the files' own, such"
        " as 'cp1252' (Windows), 'gb18030' (Chinese) or 'shift_jis' (Japanese)."
    )


def validate(counts: RowCounts, params: ExampleGenParams, own: Set[str | None]) -> None:
    """Checks the rows as they are used.

    Args:
        counts: Of them.
        params: Those of the component.
        own: The splits that the source itself has.

    Raises:
        DataError: A split is empty, all rows have one label, or fewer than two classes of train
            have rows that weigh something.
    """
    for split in features.SPLITS:
        if not counts.num_in(split):
            raise DataError(
                f"The {split} split has no row {_why_empty(split, counts, params, own)}"
            )

    labels = counts.labels
    if len(labels) < 2:
        left_out = ""
        if counts.left_out:
            left_out = f" ({total(counts.left_out):,} rows of rare classes are left out)"
        raise DataError(
            f"All {total(counts.num_rows):,} rows have the label {labels[0]!r}{left_out}; "
            "a classifier needs two classes. Is example_gen.label the right column?"
        )

    _check_weights(counts, params)


def _check_weights(counts: RowCounts, params: ExampleGenParams) -> None:
    weightless = weightless_classes(counts)
    weighted = sorted(set(counts.num_rows[features.TRAIN]) - set(weightless))
    if not weightless or len(weighted) > 1:
        return

    which = f"All {counts.num_in(features.TRAIN):,} rows of train have the weight 0"
    if weighted:
        which = f"All rows of train with a weight above 0 have the label {weighted[0]!r}"
    raise DataError(
        f"{which}; a classifier learns from rows of two classes. Is example_gen.weight"
        f" {params.weight!r} the right column?"
    )


def weightless_classes(counts: RowCounts) -> list[str]:
    """The labels whose rows of train all have the weight 0, in ascending order."""
    num_rows = counts.num_rows.get(features.TRAIN, {})
    weightless = counts.weightless.get(features.TRAIN, {})
    return sorted(label for label, count in weightless.items() if count == num_rows[label])


def _why_empty(
    split: str, counts: RowCounts, params: ExampleGenParams, own: Set[str | None]
) -> str:
    """The rest of the sentence "The eval split has no row", and the way out."""
    if split in counts.left_out:
        return _why_left_out(sorted(counts.left_out[split]), counts, params)

    num_rows: Counter[str] = Counter()
    for labels in counts.num_rows.values():
        num_rows.update(labels)

    num_single = sum(count == 1 for count in num_rows.values())
    read = f"({counts.num_read:,} rows were read)."
    if 2 * num_single > len(num_rows) > 2:
        return (
            f"{read} {num_single:,} of {len(num_rows):,} labels occur once: "
            "is example_gen.label the right column?"
        )

    num_contents = len(counts.contents)
    if 0 < num_contents < ENOUGH_CONTENTS:
        have = "one content" if num_contents == 1 else "two contents between them"
        return (
            f"({counts.num_read:,} rows were read): the rows that are split by their content have"
            f" {have}, and equal contents are never in two splits. Is example_gen.text the right"
            " column? Otherwise say the splits: example_gen.source = {train = ..., eval = ..., test"
            " = ...}, or a column with example_gen.split."
        )
    if split in own:
        return f"{read} Add rows to it: it is a split of the source's own."
    if split == features.TRAIN:
        return f"{read} Add rows, or lower example_gen.eval_fraction or example_gen.test_fraction."
    return f"{read} Add rows, or raise example_gen.{split}_fraction."


def named(labels: list[str]) -> str:
    """The first labels, as a message names them."""
    return ", ".join(map(repr, labels[:NUM_NAMED])) + (", ..." if len(labels) > NUM_NAMED else "")


def _why_left_out(labels: list[str], counts: RowCounts, params: ExampleGenParams) -> str:
    similar = {folded(label): label for label in counts.num_rows.get(features.TRAIN, {})}
    shown = [
        f"{label!r} (train has {similar[folded(label)]!r})"
        if folded(label) in similar
        else repr(label)
        for label in labels[:NUM_NAMED]
    ]
    listed = ", ".join(shown) + (", ..." if len(labels) > NUM_NAMED else "")

    few = "no row"
    if params.min_class_rows > 1:
        few = f"fewer than {params.min_class_rows:,} rows (example_gen.min_class_rows)"

    which = "its only label" if len(labels) == 1 else "every label in it"
    return (
        f"left: train has {few} of {which} ({listed}). "
        "Is example_gen.label the right column in every file? Add such rows to train."
    )
