"""Where Beam runs: from the flags of a command line to Beam's PipelineOptions."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from components.base import UserError
from components.examples import Content, ExampleShard, read

# "DirectRunner" would first look for Prism, a binary that it downloads: another engine with a network than without.
LOCAL_RUNNER = "--runner=FnApiRunner"


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's own flags, e.g. ["--direct_num_workers=2"]; the local runner where none is named."""
    named = any(arg == "--runner" or arg.startswith("--runner=") for arg in beam_args)
    return PipelineOptions([*beam_args] if named else [LOCAL_RUNNER, *beam_args])


@contextmanager
def job(beam_args: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that has run when the block ends. Raises a worker's UserError as it is: Beam wraps it in one of its own."""
    try:
        with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
            yield pipeline
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        raise


class ReadExamples(beam.PTransform):
    """The shards of Examples -> PCollection[ExampleShard]: one element is a whole shard, bounded by SHARD_BYTES."""

    def __init__(self, paths: Iterable[Path], content: Content, dim: int | None) -> None:
        super().__init__()
        self.paths = [str(path) for path in paths]
        self.content = content
        self.dim = dim

    def expand(self, begin: beam.Pipeline) -> beam.PCollection:
        return begin | "Files" >> beam.Create(self.paths) | "Spread" >> beam.Reshuffle() | "Read" >> beam.Map(_read, self.content, self.dim)


def _read(path: str, content: Content, dim: int | None) -> ExampleShard:
    return read(path, content, dim)
