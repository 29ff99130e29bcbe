"""Examples as the elements of a Beam pipeline."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam

from seqline.data.elements import elements
from seqline.data.examples import Content, ExampleShard, read
from seqline.host import progress


@contextmanager
def examples_of(
    paths: Sequence[Path], content: Content, dim: int | None, is_weighted: bool, folder: Path
) -> Iterator["ReadExamples"]:
    """The shards of Examples -> PCollection[ExampleShard], for a pipeline that runs in the block.

    One element is a whole shard, which example_gen bounds by SHARD_BYTES.

    Args:
        paths: the shards' files.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        is_weighted: whether each row has a weight.
        folder: see `elements`.
    """
    progress.begin("reading", len(paths), "shards")
    with elements(map(str, paths), folder) as files:
        yield ReadExamples(files, content, dim, is_weighted)


class ReadExamples(beam.PTransform):
    """The beginning of a pipeline; see `examples_of`."""

    def __init__(
        self, files: beam.PTransform, content: Content, dim: int | None, is_weighted: bool
    ) -> None:
        super().__init__()
        self.files = files
        self.content = content
        self.dim = dim
        self.is_weighted = is_weighted

    def expand(self, begin: beam.Pipeline) -> beam.PCollection:
        return (
            begin
            | "Files" >> self.files
            | "Read" >> beam.Map(_read, self.content, self.dim, self.is_weighted)
        )


def _read(path: str, content: Content, dim: int | None, is_weighted: bool) -> ExampleShard:
    shard = read(path, content, dim, is_weighted)
    progress.advance()
    return shard
