"""Measures on Beam. An element is a shard.

It is a module of its own so that an evaluation without Beam does not import it.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import apache_beam as beam

from components.evaluator.measure import Measurer, MeasureTask, check_slices
from components.evaluator.tally import Measured
from seqline.jobs.beam import job
from seqline.storage.staging import path_of, writing

RESULT = "measured"


def measure(task: MeasureTask, shards: Sequence[str], beam_args: Sequence[str]) -> Measured:
    """Measures all shards together. Raises what `Measurer` raises."""
    target = f"{task.scores}/{RESULT}"
    with job(beam_args) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(list(shards))
            | "Spread" >> beam.Reshuffle()
            | "Measure" >> beam.ParDo(MeasureShard(task))
            | "Merge" >> beam.CombineGlobally(Merge(task.num_examples))
            | "Write" >> beam.Map(partial(_write, path=target))
        )
    return pickle.loads(path_of(target).read_bytes())


class MeasureShard(beam.DoFn):
    """The path of a shard -> Measured. A second try rewrites the file of its probabilities."""

    def __init__(self, task: MeasureTask) -> None:
        self.task = task

    @cached_property
    def measurer(self) -> Measurer:
        """The models, loaded once by each worker."""
        return Measurer(self.task)

    def process(self, path: str) -> Iterator[Measured]:
        yield self.measurer.measure(path)


class Merge(beam.CombineFn):
    """Adds up the Measured of shards, in any order."""

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples

    def create_accumulator(self) -> Measured:
        return Measured(self.num_examples)

    def add_input(self, accumulator: Measured, element: Measured) -> Measured:
        check_slices(accumulator.merge(element))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Measured]) -> Measured:
        total = Measured(self.num_examples)
        for measured in accumulators:
            check_slices(total.merge(measured))
        return total

    def extract_output(self, accumulator: Measured) -> Measured:
        return accumulator


def _write(measured: Measured, path: str) -> None:
    with writing(path) as name:
        Path(name).write_bytes(pickle.dumps(measured))
