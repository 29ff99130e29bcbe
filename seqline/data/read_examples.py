"""Examples as the elements of a Beam pipeline."""

from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam

from seqline.data.examples import Content, ExampleShard, read
from seqline.host import progress


class ReadExamples(beam.PTransform):
    """The shards of Examples -> PCollection[ExampleShard].

    One element is a whole shard, which example_gen bounds by SHARD_BYTES.

    Args:
        paths: the shards' files.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        is_weighted: whether each row has a weight.
    """

    def __init__(
        self, paths: Iterable[Path], content: Content, dim: int | None, is_weighted: bool
    ) -> None:
        super().__init__()
        self.paths = [str(path) for path in paths]
        progress.begin("reading", len(self.paths), "shards")
        self.content = content
        self.dim = dim
        self.is_weighted = is_weighted

    def expand(self, begin: beam.Pipeline) -> beam.PCollection:
        return (
            begin
            | "Files" >> beam.Create(self.paths)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read, self.content, self.dim, self.is_weighted)
        )


def _read(path: str, content: Content, dim: int | None, is_weighted: bool) -> ExampleShard:
    shard = read(path, content, dim, is_weighted)
    progress.advance()
    return shard
