"""The figures that follow from tables: of rows that repeat, and of tokens.

Each group of buckets of a span has its own, from the worker that has summed its tables. Those of
the span are the sum of its groups'; those of a window are counted over the tables of its spans.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.statistics_gen import row_tables
from components.statistics_gen.repeats import Repeats, SplitRepeats
from components.statistics_gen.vocabulary import Vocabularies
from seqline.data import counts, features
from seqline.data.buckets import (
    NUM_BUCKETS,
    Place,
    files_of,
    num_steps,
    places,
    places_in,
    steps,
)

# What tables hold. The name of a table is <split>.<what it holds>.
ROWS, TOKENS = "rows", "tokens"

# Split -> where some buckets of its tables are.
Step = Mapping[str, Sequence[Place]]


@dataclass
class TableFigures:
    """The figures of some buckets of all splits."""

    repeats: Repeats
    tokens: Vocabularies

    @classmethod
    def none(cls) -> "TableFigures":
        """Those of no rows."""
        repeats = Repeats({split: SplitRepeats() for split in features.SPLITS})
        figures = cls(repeats, Vocabularies.of(features.SPLITS))
        figures.add_rows({}, 0)
        return figures

    def add_rows(self, step: Step, num_top: int) -> None:
        """Adds buckets of row tables, with larger digests than those before them."""
        rows = {split: row_tables.sum_of(step.get(split, ())) for split in features.SPLITS}
        self.repeats.add(rows, num_top)

    def add_tokens(self, step: Step, num_top: int) -> None:
        """Adds buckets of count tables."""
        entries = {split: counts.total(step.get(split, ())) for split in features.SPLITS}
        self.tokens.add(entries, num_top)

    def merge(self, other: "TableFigures", num_top: int) -> None:
        """Adds buckets with larger digests."""
        self.repeats.merge(other.repeats, num_top)
        self.tokens.merge(other.tokens, num_top)


def of_group(files: Mapping[str, str], size: int, num_top: int) -> TableFigures:
    """The figures of a group of buckets.

    Args:
        files: name of a table -> the file of the group.
        size: how many buckets the group has.
        num_top: how many of the most frequent values are named.
    """

    def steps_of(kind: str) -> Iterator[Step]:
        by_split = {
            split: files[f"{split}.{kind}"]
            for split in features.SPLITS
            if f"{split}.{kind}" in files
        }
        num = num_steps([[path] for path in by_split.values()], size)
        for in_files in places_in(list(by_split.values()), size, range(size), num):
            yield {split: [place] for split, place in zip(by_split, in_files, strict=True)}

    figures = TableFigures.none()
    for step in steps_of(ROWS):
        figures.add_rows(step, num_top)
    for step in steps_of(TOKENS):
        figures.add_tokens(step, num_top)

    row_files = [path for table, path in files.items() if table.endswith(f".{ROWS}")]

    def places_of(bucket: int) -> list[Place]:
        start = bucket % size
        return [Place(path, start, start + 1, size) for path in row_files]

    figures.repeats.texts = row_tables.lookup(places_of, figures.repeats.shown)
    return figures


def of_window(parts: Sequence[Path], num_top: int) -> TableFigures:
    """The figures of the spans with these parts."""
    rows, tokens = [
        {split: [files_of(part, f"{split}.{kind}") for part in parts] for split in features.SPLITS}
        for kind in (ROWS, TOKENS)
    ]

    figures = TableFigures.none()
    for step in steps(rows):
        figures.add_rows(step, num_top)
    for step in steps(tokens):
        figures.add_tokens(step, num_top)

    of_all = [files for of_split in rows.values() for files in of_split]
    figures.repeats.texts = row_tables.lookup(
        lambda bucket: places(of_all, bucket, NUM_BUCKETS), figures.repeats.shown
    )
    return figures
