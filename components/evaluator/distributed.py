"""Measures on Beam.

An element is a shard, and what is known of it is merged into what is known of the others.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import apache_beam as beam

from components.evaluator.measure import Measurer, Task, check_slices
from components.evaluator.tally import Measured
from seqline.jobs.beam import job
from seqline.storage.staging import path_of, writing

RESULT = "measured"


def measure(task: Task, shards: Sequence[str], beam_args: Sequence[str]) -> Measured:
    """All shards together. Raises what measuring raises."""
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
    """The path of a shard -> Measured. A second try writes its probabilities anew."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @cached_property
    def measurer(self) -> Measurer:
        """The models, loaded once by every worker."""
        return Measurer(self.task)

    def process(self, path: str) -> Iterator[Measured]:
        yield self.measurer.measure(path)


class Merge(beam.CombineFn):
    """Measured of shards -> Measured of all. The order does not matter."""

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples

    def create_accumulator(self) -> Measured:
        return Measured(self.num_examples)

    def add_input(self, accumulator: Measured, element: Measured) -> Measured:
        check_slices(accumulator.merge(element))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Measured]) -> Measured:
        whole = Measured(self.num_examples)
        for each in accumulators:
            check_slices(whole.merge(each))
        return whole

    def extract_output(self, accumulator: Measured) -> Measured:
        return accumulator


def _write(found: Measured, path: str) -> None:
    with writing(path) as name:
        Path(name).write_bytes(pickle.dumps(found))
