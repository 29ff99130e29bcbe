"""Measures on Beam. An element is a shard.

It is a module of its own so that an evaluation without Beam does not import it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.evaluator.measure import Measurer, MeasureTask, check_slices
from components.evaluator.tally import Calibration, Measured, Tally
from seqline.data.elements import elements
from seqline.errors import DataError
from seqline.jobs.beam import job
from seqline.storage.staging import path_of, writing

RESULT = "measured.json"


def measure(task: MeasureTask, shards: Sequence[str], beam_args: Sequence[str]) -> Measured:
    """Measures all shards together. Raises what `Measurer` raises."""
    target = f"{task.scores}/{RESULT}"
    folder = path_of(f"{task.scores}/elements")
    with elements(shards, folder) as source, job(beam_args) as pipeline:
        _ = (
            pipeline
            | "Shards" >> source
            | "Measure" >> beam.ParDo(MeasureShard(task))
            | "Merge" >> beam.CombineGlobally(Merge(task.num_examples))
            | "Write" >> beam.Map(partial(_write, path=target))
        )
    return read(path_of(target))


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
        Path(name).write_text(json.dumps(to_json(measured)), encoding="utf-8")


# The result as JSON, and not as a pickle, which would run what another user of a shared folder or
# bucket put in its place. A counter is a list of [key, count].


def read(path: Path) -> Measured:
    """The result that the job wrote.

    Raises:
        DataError: it is not what the job wrote.
    """
    try:
        return from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} is not what the evaluator's job wrote ({type(error).__name__}). Does another"
            " program write there? Run again."
        ) from None


def to_json(measured: Measured) -> dict[str, Any]:
    return {
        "num_examples": measured.num_examples,
        "num_not_finite": measured.num_not_finite,
        "overall": _sums(measured.overall),
        "slices": [[*name, _sums(tally)] for name, tally in measured.slices.items()],
        "ranks": list(measured.ranks.items()),
        "calibration": _sums(measured.calibration),
        "hardest": measured.hardest.examples,
        "confidently_wrong": measured.confidently_wrong.examples,
    }


def from_json(content: Mapping[str, Any]) -> Measured:
    measured = Measured(
        num_examples=content["num_examples"],
        overall=_tally(content["overall"]),
        slices={(feature, value): _tally(sums) for feature, value, sums in content["slices"]},
        ranks=_counter(content["ranks"]),
        calibration=Calibration(
            **{name: _counter(pairs) for name, pairs in content["calibration"].items()}
        ),
        num_not_finite=content["num_not_finite"],
    )
    for worst, examples in (
        (measured.hardest, content["hardest"]),
        (measured.confidently_wrong, content["confidently_wrong"]),
    ):
        worst.examples = [
            (badness, shard, row, dict(shown)) for badness, shard, row, shown in examples
        ]
    return measured


def _sums(sums: Tally | Calibration) -> dict[str, Any]:
    return {
        name: list(value.items()) if isinstance(value, Counter) else value
        for name, value in vars(sums).items()
    }


def _tally(content: Mapping[str, Any]) -> Tally:
    values = dict(content)
    for name in ("cells", "served_cells"):
        values[name] = Counter({(truth, answer): rows for (truth, answer), rows in values[name]})
    return Tally(**values)


def _counter(pairs: Iterable[tuple[int, int]]) -> Counter[int]:
    return Counter(dict(pairs))
