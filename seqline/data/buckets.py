"""Tables in buckets: where a bucket of a span's table is.

A table of counts is cut into NUM_BUCKETS buckets, so that no process holds a whole one. A span's
table is a folder with one file, or in a large span with several, which hold as many buckets each.
`seqline.data.table_merge` makes them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

# 100 million distinct entries are 1.6 million a bucket: some 300 MB as Python objects.
NUM_BUCKETS = 64

# A file, and which of its buckets is meant.
Place = tuple[str | Path, int]


def files_of(part: Path, table: str) -> list[Path]:
    """The files of a table in a span's part, in the order of their buckets.

    None if no shard had rows for it.
    """
    return sorted((part / table).glob("*.arrow"))


def places(tables: Iterable[Sequence[Path]], bucket: int) -> list[Place]:
    """Where a bucket is in some tables, each given by its files."""
    found: list[Place] = []
    for files in tables:
        if files:
            group, within = divmod(bucket, NUM_BUCKETS // len(files))
            found.append((files[group], within))
    return found
