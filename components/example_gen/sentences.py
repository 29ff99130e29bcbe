"""The line of a run about its Examples. Imports nothing heavy."""

from seqline.component import Figures
from seqline.data.manifest import GATHERED, LEFT_OUT
from seqline.rows import unused
from seqline.rows.unused import Unused


def describe(figures: Figures) -> str:
    """`240 rows: 168 train, 24 eval, 48 test; 2 classes; 3 bad rows skipped`."""
    num_rows = {split: sum(labels.values()) for split, labels in figures["num_rows"].items()}
    by_split = ", ".join(f"{count:,} {split}" for split, count in num_rows.items())
    notes = [
        f"{sum(num_rows.values()):,} rows: {by_split}",
        f"{len(figures['num_rows']['train'])} classes",
    ]
    spans = figures["spans"]
    if len(spans) > 1:
        notes.append(
            f"spans {spans[0]} to {spans[-1]}, {figures['num_spans_read']} of {len(spans)} read now"
        )

    if figures["num_bad_rows"]:
        notes.append(f"{figures['num_bad_rows']:,} bad rows skipped")

    if figures["num_normalized_labels"]:
        notes.append(f"{figures['num_normalized_labels']:,} labels normalised")

    notes += _rare_notes(figures)
    notes += unused.notes(Unused(**record) for record in figures.get("unused_files", []))
    if figures["cut_splits"]:
        notes.append(f"{' and '.join(figures['cut_splits'])} taken from train")

    if figures["ignored_splits"]:
        notes.append(f"the source's splits {', '.join(figures['ignored_splits'])} not used")
    return "; ".join(notes)


def _rare_notes(figures: Figures) -> list[str]:
    notes = []
    for name, done in (("num_left_out_rows", LEFT_OUT), ("num_gathered_rows", GATHERED)):
        if num_rows := figures[name]:
            num_classes = sum(record["done"] == done for record in figures["rare_classes"])
            notes.append(
                f"{num_rows:,} row{'s' * (num_rows > 1)} of {num_classes:,} rare"
                f" class{'es' * (num_classes > 1)} {done}"
            )

    if num_moved := figures["num_moved_rows"]:
        theirs = "their" if num_moved > 1 else "its"
        notes.append(
            f"{num_moved:,} row{'s' * (num_moved > 1)} moved to train, which had none of"
            f" {theirs} class"
        )
    return notes
