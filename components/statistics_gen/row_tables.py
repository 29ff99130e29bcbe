"""Row tables on disk: which contents occur under which labels, and how often.

They are in buckets, so that no process holds all rows.

A table is an Arrow IPC file whose record batches hold buckets (see `seqline.data.buckets`), in
ascending order of (digest, label):
  digest   uint64, of the content
  label    uint64, the digest of the label
  count    int64, the rows with both
  text     the content, shortened to be shown
A bucket holds the digests with the same leading bits. Tables of shards are summed to tables of
spans, and those to tables of any window, some buckets at a time. Two contents with the same 8-byte
digest are taken for equal: one pair in 2^64.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqline.data.buckets import NUM_BUCKETS, Place, num_batches, open_table

# The leading 6 bits: 100 million rows are 1.6 million a bucket, some 150 MB with their texts.
SHIFT = 64 - (NUM_BUCKETS - 1).bit_length()

SCHEMA = pa.schema(
    [
        ("digest", pa.uint64()),
        ("label", pa.uint64()),
        ("count", pa.int64()),
        ("text", pa.large_string()),
    ]
)


@dataclass(frozen=True)
class Rows:
    """A part of a table in memory."""

    digest: np.ndarray  # uint64 [n]
    label: np.ndarray  # uint64 [n]
    count: np.ndarray  # int64 [n]
    text: pa.Array | None = None  # large_string [n]; None if the texts were not read


def digests(contents: Iterable[bytes]) -> np.ndarray:
    """The digests of contents: BLAKE2b of 8 bytes, as uint64 [n]."""
    return np.frombuffer(
        b"".join([blake2b(content, digest_size=8).digest() for content in contents]), "<u8"
    )


def total(parts: Sequence[Rows]) -> Rows:
    """The sum of tables: their rows in order, those with equal digest and label as one."""
    digest = np.concatenate([part.digest for part in parts])
    label = np.concatenate([part.label for part in parts])
    count = np.concatenate([part.count for part in parts])
    order = np.lexsort((label, digest))
    digest = digest[order]
    label = label[order]

    first = np.ones(len(order), bool)
    first[1:] = (digest[1:] != digest[:-1]) | (label[1:] != label[:-1])
    starts = np.flatnonzero(first)
    text = None
    if parts[0].text is not None:
        texts = pa.chunked_array([part.text for part in parts], pa.large_string())
        text = texts.take(pa.array(order[starts])).combine_chunks()

    sums = np.add.reduceat(count[order], starts) if len(starts) else count
    return Rows(digest[starts], label[starts], sums, text)


def split(rows: Rows) -> Iterator[Rows]:
    """The record batches of a table in memory whose rows are in order."""
    assert rows.text is not None
    width = NUM_BUCKETS // num_batches(len(rows.digest))
    firsts = np.arange(width, NUM_BUCKETS, width, dtype=np.uint64)  # the first buckets but of one
    ends = np.searchsorted(rows.digest, firsts << np.uint64(SHIFT)).tolist()
    for start, end in zip([0, *ends], [*ends, len(rows.digest)], strict=True):
        yield Rows(
            rows.digest[start:end],
            rows.label[start:end],
            rows.count[start:end],
            rows.text.slice(start, end - start),
        )


def write(path: str | Path, parts: Iterable[Rows]) -> None:
    """Writes a table from its record batches, in their order."""
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
    ):
        for part in parts:
            # Slices are copied: the file must not depend on their place in a longer array.
            text = pc.take(part.text, pa.array(np.arange(len(part.digest))))
            columns = [pa.array(part.digest), pa.array(part.label), pa.array(part.count), text]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


def sum_of(places: Sequence[Place], texts: bool = False) -> Rows:
    """The sum of some buckets of files. The texts are read only with `texts`."""
    no_digests = np.zeros(0, np.uint64)
    no_texts = pa.array([], pa.large_string()) if texts else None
    parts = [Rows(no_digests, no_digests, np.zeros(0, np.int64), no_texts)]
    for place in places:
        parts += _read(place, texts)
    return total(parts) if len(parts) > 2 else parts[-1]


def _read(place: Place, texts: bool) -> Iterator[Rows]:
    """Some buckets of a file."""
    options = pa.ipc.IpcReadOptions(included_fields=[0, 1, 2, 3] if texts else [0, 1, 2])
    with open_table(place.path) as file:
        reader = pa.ipc.open_file(file, options=options)
        for number in place.batches(reader.num_record_batches):
            batch = reader.get_batch(number)
            digest = batch["digest"].to_numpy()
            chosen = place.slice_of((digest >> np.uint64(SHIFT)).astype(np.int64))
            text = batch["text"] if texts else None
            yield Rows(
                digest[chosen],
                batch["label"].to_numpy()[chosen],
                batch["count"].to_numpy()[chosen],
                None if text is None else text.slice(chosen.start, chosen.stop - chosen.start),
            )


def lookup(places_of: Callable[[int], Sequence[Place]], wanted: Iterable[int]) -> dict[int, str]:
    """The shortened texts of some digests.

    Args:
        places_of: a bucket -> its places in tables that hold all of these digests.
        wanted: the digests.
    """
    by_bucket: dict[int, list[int]] = {}
    for digest in sorted(set(wanted)):
        by_bucket.setdefault(digest >> SHIFT, []).append(digest)

    texts: dict[int, str] = {}
    for bucket, in_bucket in by_bucket.items():
        rows = sum_of(places_of(bucket), texts=True)
        assert rows.text is not None
        positions = np.searchsorted(rows.digest, np.array(in_bucket, np.uint64)).tolist()
        for digest, position in zip(in_bucket, positions, strict=True):
            texts[digest] = rows.text[position].as_py()
    return texts
