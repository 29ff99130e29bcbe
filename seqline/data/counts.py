"""Tables on disk of how often byte strings occur, in buckets: no process has to hold a whole one.

A table is an Arrow IPC file with one record batch for each bucket (`entry` binary, `count` int64),
in ascending order of its entries. Tables of shards are summed to tables of spans, and tables of
spans to any window, one bucket at a time. The sum of tables is exactly the table of all their rows.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from seqline.data.buckets import NUM_BUCKETS, Place

SCHEMA = pa.schema([("entry", pa.binary()), ("count", pa.int64())])

Counts = dict[bytes, int]


def bucket_of(entry: bytes) -> int:
    """An entry's bucket: the same in every process, unlike hash()."""
    return zlib.crc32(entry) % NUM_BUCKETS


def write(path: str | Path, buckets: Iterable[Mapping[bytes, int]]) -> None:
    """Writes a table from its buckets, in their order."""
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
    ):
        for counts in buckets:
            entries = sorted(counts)
            columns = [
                pa.array(entries, pa.binary()),
                pa.array([counts[entry] for entry in entries], pa.int64()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


def split(counts: Mapping[bytes, int]) -> list[Counts]:
    """Counts in memory, as the buckets of a table."""
    buckets: list[Counts] = [{} for _ in range(NUM_BUCKETS)]
    for entry, count in counts.items():
        # bucket_of, without a call for each of millions of entries.
        buckets[zlib.crc32(entry) % NUM_BUCKETS][entry] = count
    return buckets


def read_bucket(path: str | Path, bucket: int) -> Counts:
    """One bucket of a table."""
    with pa.OSFile(str(path), "rb") as file:
        batch = pa.ipc.open_file(file).get_batch(bucket)
        return dict(zip(batch["entry"].to_pylist(), batch["count"].to_pylist(), strict=True))


def sum_bucket(places: Sequence[Place]) -> Counts:
    """One bucket of the sum of tables, whose files and place in each are given."""
    if not places:
        return {}

    total = read_bucket(*places[0])
    for place in places[1:]:
        for entry, count in read_bucket(*place).items():
            total[entry] = total.get(entry, 0) + count
    return total
