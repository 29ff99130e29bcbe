"""Tables in buckets: where the buckets of a span's table are.

A table of counts is cut into NUM_BUCKETS buckets by a hash of its entries, so that no process holds
a whole one. A span's table is a folder with one file, or in a large span with several, which hold
as many buckets each. A file is an Arrow IPC file. Each of its record batches has as many buckets as
the others, in ascending order: one bucket where there are many entries, all in a small table.
`seqline.data.table_merge` makes them.

In a bucket the tables of a window stay where they are: a step reads what it needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seqline.data import span_cache
from seqline.storage import staging
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.objects import at_once, open_object

# 100 million distinct entries are 1.6 million a bucket: some 300 MB as Python objects.
NUM_BUCKETS = 64
# Entries of a record batch, about, until it has one bucket.
BATCH_ENTRIES = 2048
# Record batches of different tables that are in memory together.
NUM_AT_ONCE = 16
# A larger file in a bucket is read where it is, step by step. A smaller one, of which several steps
# need the same record batch, is kept in the cache for single files, which has a limit.
CACHED_BYTES = 32 << 20


class Place(NamedTuple):
    """Some buckets of a file.

    Attributes:
        path: The file.
        start: The first of the buckets, of those of the file.
        stop: The one after the last.
        size: How many buckets the file has.
    """

    path: str | Path
    start: int
    stop: int
    size: int

    def batches(self, num_batches: int) -> range:
        """The record batches that hold the buckets.

        Args:
            num_batches: of the file.
        """
        width = self.size // num_batches
        return range(self.start // width, -(-self.stop // width))

    def slice_of(self, buckets: np.ndarray) -> slice:
        """The entries in these buckets.

        Args:
            buckets: the bucket of each entry of a record batch, in ascending order.
        """
        start, stop = np.searchsorted(buckets % self.size, [self.start, self.stop]).tolist()
        return slice(start, stop)


def num_batches(num_entries: int) -> int:
    """How many record batches a table gets: a power of two."""
    wanted = -(-num_entries // BATCH_ENTRIES)
    return min(NUM_BUCKETS, 1 << max(0, wanted - 1).bit_length())


def num_batches_of(path: str | Path) -> int:
    """How many record batches a file has."""
    with open_table(path) as file:
        return int(pa.ipc.open_file(file).num_record_batches)


@contextmanager
def open_table(path: str | Path) -> Iterator[pa.NativeFile]:
    """A file of a table: a local one, or one of a finished part in a bucket."""
    name = str(path)
    if not is_remote(name):
        with pa.OSFile(name, "rb") as file:
            yield file
        return

    content = span_cache.digest_of(staging.path_of(name))
    with translate_errors(name):
        if content.size <= CACHED_BYTES:
            with pa.OSFile(staging.fetch(name, content.digest), "rb") as file:
                yield file
        else:
            with open_object(name) as stored, pa.PythonFile(stored, "r") as file:
                yield file


def files_of(part: Path, table: str) -> list[Path]:
    """The files of a table in a span's part, in the order of their buckets.

    None if no shard had rows for it.
    """
    return sorted((part / table).glob("*.arrow"))


def fetch_small(tables: Iterable[Sequence[Path]]) -> None:
    """Fetches the first files of tables in a bucket that the cache keeps, several at once."""
    first = [files[0] for files in tables if files and is_remote(str(files[0]))]
    contents = [(str(path), span_cache.digest_of(path)) for path in first]
    small = [(path, file) for path, file in contents if file.size <= CACHED_BYTES]

    # More than fit into the cache are fetched when they are needed.
    if sum(file.size for _, file in small) <= staging.cache_limit() / 2:
        at_once(staging.fetch, [(path, file.digest) for path, file in small])


def num_steps(tables: Iterable[Sequence[str | Path]], num_buckets: int = NUM_BUCKETS) -> int:
    """In how many steps some tables are summed, so that one step fits into memory.

    Args:
        tables: the files of each.
        num_buckets: that their files hold together.
    """
    sizes = [len(files) * num_batches_of(files[0]) for files in tables if files]
    together = -(-sum(sizes) // NUM_AT_ONCE)
    return min(num_buckets, max([1, 1 << max(0, together - 1).bit_length(), *sizes]))


def steps(tables: Mapping[str, Sequence[Sequence[Path]]]) -> Iterator[dict[str, list[Place]]]:
    """The buckets of some tables, step by step.

    Args:
        tables: any name -> the files of each of its tables.

    Yields:
        Name -> where the next buckets are in its tables.
    """
    fetch_small(files for of_name in tables.values() for files in of_name)
    num = max(num_steps(of_name) for of_name in tables.values())
    for step in range(num):
        yield {name: places(of_name, step, num) for name, of_name in tables.items()}


def places(tables: Iterable[Sequence[Path]], step: int, num_steps: int) -> list[Place]:
    """Where the buckets of a step are in some tables, each given by its files."""
    width = NUM_BUCKETS // num_steps
    found: list[Place] = []
    for files in tables:
        if files:
            size = NUM_BUCKETS // len(files)
            group, start = divmod(step * width, size)
            found.append(Place(files[group], start, start + width, size))
    return found


def places_in(
    paths: Sequence[str | Path], size: int, buckets: range, num_steps: int
) -> Iterator[list[Place]]:
    """Where some buckets are in files that all hold the same `size` buckets, step by step."""
    width = len(buckets) // num_steps
    for start in range(buckets.start, buckets.stop, width):
        yield [Place(path, start, start + width, size) for path in paths]
