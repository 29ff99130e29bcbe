"""The figures that follow from tables: of rows that repeat, and of tokens.

Each group of buckets of a span has its own, from the worker that has summed its tables. Those of
the span are the sum of its groups'; those of a window are counted over the tables of its spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.statistics_gen import row_tables
from components.statistics_gen.repeats import Repeats, SplitRepeats
from components.statistics_gen.vocabulary import Vocabularies
from seqline.data import counts, features
from seqline.data.buckets import NUM_BUCKETS, Place, files_of, places

# What tables hold. The name of a table is <split>.<what it holds>.
ROWS, TOKENS = "rows", "tokens"

# Name of a table -> the places of a bucket.
Bucket = Mapping[str, Sequence[Place]]


@dataclass
class TableFigures:
    """The figures of some buckets of all splits."""

    repeats: Repeats
    tokens: Vocabularies

    @classmethod
    def none(cls) -> "TableFigures":
        """Those of no bucket."""
        repeats = Repeats({split: SplitRepeats() for split in features.SPLITS})
        return cls(repeats, Vocabularies.of(features.SPLITS))

    def add(self, bucket: Bucket, num_top: int) -> None:
        """Adds a bucket, with larger digests than those before it."""
        rows = {
            split: row_tables.sum_bucket(bucket.get(f"{split}.{ROWS}", ()))
            for split in features.SPLITS
        }
        self.repeats.add(rows, num_top)
        entries = {
            split: counts.sum_bucket(bucket.get(f"{split}.{TOKENS}", ()))
            for split in features.SPLITS
        }
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
    figures = TableFigures.none()
    for bucket in range(size):
        figures.add({table: [(path, bucket)] for table, path in files.items()}, num_top)

    row_files = [path for table, path in files.items() if table.endswith(f".{ROWS}")]
    figures.repeats.texts = row_tables.lookup(
        lambda bucket: [(path, bucket % size) for path in row_files], figures.repeats.shown
    )
    return figures


def of_window(parts: Sequence[Path], num_top: int) -> TableFigures:
    """The figures of the spans with these parts."""
    names = [f"{split}.{kind}" for split in features.SPLITS for kind in (ROWS, TOKENS)]
    tables = {name: [files_of(part, name) for part in parts] for name in names}

    figures = TableFigures.none()
    for bucket in range(NUM_BUCKETS):
        figures.add({name: places(of_name, bucket) for name, of_name in tables.items()}, num_top)

    row_tables_of_all = [
        files for name in names if name.endswith(f".{ROWS}") for files in tables[name]
    ]
    figures.repeats.texts = row_tables.lookup(
        lambda bucket: places(row_tables_of_all, bucket), figures.repeats.shown
    )
    return figures
