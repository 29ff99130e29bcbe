"""Rows of a source's shards.

Of files as every component reads them, of TFDS as only this one does.
"""

from collections.abc import Iterator

from components.example_gen import ExampleGenParams
from seqline.rows.row import BadRow, Row
from seqline.rows.shards import Shard


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """Every row of a shard. See `seqline.rows.read.read`."""
    if shard.kind == "tfds":
        from components.example_gen import tfds_source

        return tfds_source.read(shard, params)
    from seqline.rows.read import read as read_files

    return read_files(shard, params.row_format)
