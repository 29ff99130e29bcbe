"""Tables on disk of how often byte strings occur, in buckets: no process has to hold a whole one.

A table is an Arrow IPC file whose record batches hold buckets (see `seqline.data.buckets`), in
ascending order of (bucket, entry):
  entry    binary
  count    int64
  bucket   uint8, of the entry
Tables of shards are summed to tables of spans, and tables of spans to any window, some buckets at a
time. The sum of tables is exactly the table of all their rows.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from seqline.data.buckets import NUM_BUCKETS, Place, num_batches, open_table

SCHEMA = pa.schema([("entry", pa.binary()), ("count", pa.int64()), ("bucket", pa.uint8())])

Counts = dict[bytes, int]


def bucket_of(entry: bytes) -> int:
    """An entry's bucket: the same in every process, unlike hash()."""
    return zlib.crc32(entry) % NUM_BUCKETS


def write(path: str | Path, batches: Iterable[Mapping[bytes, int]]) -> None:
    """Writes a table from its record batches, in their order."""
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
    ):
        for counts in batches:
            entries = sorted(counts)
            entries.sort(key=bucket_of)
            columns = [
                pa.array(entries, pa.binary()),
                pa.array([counts[entry] for entry in entries], pa.int64()),
                pa.array(map(bucket_of, entries), pa.uint8()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


def split(counts: Mapping[bytes, int]) -> list[Counts]:
    """Counts in memory, as the record batches of a table."""
    batches: list[Counts] = [{} for _ in range(num_batches(len(counts)))]
    width = NUM_BUCKETS // len(batches)
    for entry, count in counts.items():
        # bucket_of, without a call for each of millions of entries.
        batches[zlib.crc32(entry) % NUM_BUCKETS // width][entry] = count
    return batches


def read(place: Place) -> Counts:
    """Some buckets of a file."""
    counts: Counts = {}
    with open_table(place.path) as file:
        reader = pa.ipc.open_file(file)
        for number in place.batches(reader.num_record_batches):
            batch = reader.get_batch(number)
            chosen = place.slice_of(batch["bucket"].to_numpy())
            batch = batch.slice(chosen.start, chosen.stop - chosen.start)
            counts |= zip(batch["entry"].to_pylist(), batch["count"].to_pylist(), strict=True)
    return counts


def total(places: Sequence[Place]) -> Counts:
    """The sum of some buckets of files."""
    if not places:
        return {}

    counts = read(places[0])
    for place in places[1:]:
        for entry, count in read(place).items():
            counts[entry] = counts.get(entry, 0) + count
    return counts
