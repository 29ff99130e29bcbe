"""What example_gen says of the rows and files of a window: its figures and warnings."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from components.example_gen.row_counts import RowCounts, total
from components.example_gen.splits import SourceSpan
from components.example_gen.validate import named, weightless_classes
from seqline.component import Figures
from seqline.data import features
from seqline.data.labels import normal
from seqline.data.manifest import RareClass
from seqline.rows import unused
from seqline.rows.unused import Unused
from seqline.rows.values import short

# Labels as they were written that a warning names.
NUM_FORMS = 5


def unused_files(window: Iterable[SourceSpan], counts: RowCounts) -> tuple[Unused, ...]:
    """The files of spans that are not read, and those that hold no row."""
    empty = unused.unused(unused.EMPTY, counts.empty_files, counts.num_empty_files)
    return unused.merge([*(record for span in window for record in span.unused), *empty])


def figures_of(
    counts: RowCounts,
    rare_classes: Sequence[RareClass],
    not_read: Sequence[Unused],
    about_files: Sequence[str],
) -> Figures:
    """The figures of the rows. Logs the warnings among them.

    Args:
        counts: The rows of the window.
        rare_classes: What was decided about rare classes.
        not_read: The files that are not read.
        about_files: Other warnings about the files.
    """
    bad_rows = counts.bad_rows
    # example_validator warns of rare classes.
    warnings = [*unused.warnings(not_read, "example_gen.source"), *about_files]
    if bad_rows.num_bad:
        warnings.append(f"{bad_rows.share} cannot be used and are skipped: {bad_rows.listed}.")
    if counts.num_normalized:
        warnings.append(_normalized(counts))

    if labels := weightless_classes(counts):
        warnings.append(
            f"All rows of train of {len(labels):,} of {len(counts.labels):,} classes have the"
            f" weight 0, so that no model learns them: {named(labels)}."
        )

    for sentence in warnings:
        logging.getLogger("seqline.example_gen").warning("%s", sentence)

    return {
        "num_rows": {
            split: dict(sorted(counts.num_rows[split].items())) for split in features.SPLITS
        },
        "num_read": counts.num_read,
        "num_bad_rows": bad_rows.num_bad,
        "num_left_out_rows": total(counts.left_out),
        "num_gathered_rows": total(counts.gathered),
        "num_moved_rows": total(counts.moved),
        "num_normalized_labels": counts.num_normalized,
        "labels_as_written": counts.written,
        "rare_classes": [asdict(record) for record in rare_classes],
        "unused_files": [asdict(record) for record in not_read],
        "warnings": warnings,
    }


def _normalized(counts: RowCounts) -> str:
    """A sentence on labels that were not written in their normal form, with the first of them."""
    forms = [
        f"{short(form)} as {short(normal(form))} ({count:,})"
        for form, count in list(counts.written.items())[:NUM_FORMS]
    ]

    num_named = sum(list(counts.written.values())[:NUM_FORMS])
    num_more = counts.num_normalized - num_named
    more = f", and {num_more:,} more rows" if num_more else ""
    return (
        f"{counts.num_normalized:,} of {counts.num_read:,} rows have labels with white space at an"
        f" end or in another Unicode form than NFC; they count as the normal form:"
        f" {', '.join(forms)}{more}."
    )
