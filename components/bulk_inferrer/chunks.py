"""A shard's rows cut into chunks.

Bounded in rows and bytes, and the same each time that the shard is read.
"""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from seqline.rows.row import BadRow, Row

# Enough rows to find batches of similar length among, and a second or two of work that a kill can
# cost.
CHUNK_ROWS = 16_384
CHUNK_BYTES = 16 << 20
# What a Python object costs beside its content.
ROW_BYTES = 64


@dataclass
class Chunk:
    """Rows of a shard that follow each other. number.

    Of the chunk in its shard; last: whether the shard ends with it.
    """

    shard: int
    number: int
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    num_bytes: int = 0
    last: bool = False


def cut(rows: Iterable[Row | BadRow], shard: int, done: Set[int] = frozenset()) -> Iterator[Chunk]:
    """The chunks of a shard, but those that are done.

    A shard without a row has one chunk without a row.
    """
    chunk = Chunk(shard, 0)
    for row in rows:
        if len(chunk.rows) + len(chunk.bad) >= CHUNK_ROWS or chunk.num_bytes >= CHUNK_BYTES:
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
