"""Shards: bounded parts of a source, each small enough to be one Beam element."""

from dataclasses import dataclass

# A shard of a file that can be cut is about this long.
SHARD_BYTES = 32 << 20
# Smaller files share a shard: ten thousand tiny ones must not become ten thousand shards. On gs://
# each costs a request or two.
GROUP_BYTES = 4 << 20
GROUP_FILES = 1000


@dataclass(frozen=True)
class Shard:
    """Whole files, or a part of one file.

    Attributes:
        kind: The format's NAME, or `tfds`.
        split: The source's own split. None where the rows are split by their digest.
        paths: The files; of a TFDS data set its name and version, and the split there.
        start: Where a part begins: a byte of a JSONL file (a row belongs to the shard in which it
            begins), or a row group of a Parquet file.
        end: Where it ends, exclusive. 0 for the end of the file.
        num_lines: Lines of a JSONL file that begin before `start`. None where counting them would
            mean downloading them: then a place is `<path>[from byte <start>]` and the number of the
            row among those that begin there.
        tfds_shard: The number of the shard of a TFDS split.
    """

    kind: str
    split: str | None
    paths: tuple[str, ...]
    start: int = 0
    end: int = 0
    num_lines: int | None = 0
    tfds_shard: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is whole files. A part of a file may hold no row while others do."""
        return not self.start and not self.end and self.kind != "tfds"
