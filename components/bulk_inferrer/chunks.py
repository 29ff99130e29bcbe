"""Cuts the rows of a shard into chunks.

A chunk is bounded in rows and bytes. The chunks are the same each time that the shard is read.
"""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from seqline.rows.row import BadRow, Row

# Enough rows to find batches of similar length, and a second or two of work that a kill can cost.
CHUNK_ROWS = 16_384
CHUNK_BYTES = 16 << 20
# The most probabilities of a chunk: up to 1,024 classes it has CHUNK_ROWS rows.
CHUNK_PROBABILITIES = 1 << 24
# The cost of a Python object, besides its content.
ROW_BYTES = 64


@dataclass
class Chunk:
    """Consecutive rows of a shard.

    Attributes:
        shard: The number of the shard.
        number: The number of the chunk in its shard.
        rows: The rows to predict.
        bad: The rows that could not be used.
        num_bytes: Memory of the rows.
        last: Whether the shard ends with this chunk.
    """

    shard: int
    number: int
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    num_bytes: int = 0
    last: bool = False


def most_rows(num_classes: int) -> int:
    """The greatest number of rows of a chunk, by the number of classes."""
    return max(1, min(CHUNK_ROWS, CHUNK_PROBABILITIES // num_classes))


def cut(
    rows: Iterable[Row | BadRow],
    shard: int,
    done: Set[int] = frozenset(),
    max_rows: int = CHUNK_ROWS,
    max_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk]:
    """The chunks of a shard, without those that are done.

    A shard without rows has one chunk, which is empty.

    Args:
        rows: The rows of the shard in order.
        shard: Its number.
        done: The numbers of the chunks to leave out.
        max_rows: Rows of a chunk, at most.
        max_bytes: Memory of a chunk; its last row may go beyond it.
    """
    chunk = Chunk(shard, 0)
    for row in rows:
        if len(chunk.rows) + len(chunk.bad) >= max_rows or chunk.num_bytes >= max_bytes:
            if chunk.number not in done:
                yield chunk
            chunk = Chunk(shard, chunk.number + 1)

        if isinstance(row, Row):
            chunk.rows.append(row)
            chunk.num_bytes += _num_bytes(row.content)
        else:
            chunk.bad.append(row)
            chunk.num_bytes += ROW_BYTES

    chunk.last = True
    if chunk.number not in done:
        yield chunk


def _num_bytes(content: Any) -> int:
    if isinstance(content, bytes):
        return ROW_BYTES + len(content)
    if isinstance(content, list):
        return ROW_BYTES + sum(ROW_BYTES + len(token) for token in content)
    return ROW_BYTES + int(content.nbytes)
