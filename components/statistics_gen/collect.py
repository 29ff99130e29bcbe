"""The Beam side: shards are counted into tables, and each span's are summed to its part.

Every file appears whole, and a second try rewrites it.

A span's part in the span cache holds, for each split:
  <split>.json      its Totals
  <split>.rows/     its row table
  <split>.tokens/   its count table; not for sequences
and what the artifact takes over: statistics.json and Split-<split>/FeatureStats.pb.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.statistics_gen import protos, row_tables, summary, table_figures, totals
from components.statistics_gen.measure import measure
from components.statistics_gen.table_figures import ROWS, TOKENS, TableFigures
from components.statistics_gen.totals import Totals
from seqline.data import counts, features
from seqline.data.buckets import Place
from seqline.data.examples import Content, ExampleShard
from seqline.data.table_merge import SHARDS, Entry, MergeTables, shard_path
from seqline.storage.staging import path_of, remove, writing

# The tag of the Totals among the outputs of MeasureShard.
TOTALS = "totals"


class Collect(beam.PTransform):
    """PCollection[ExampleShard] -> the parts of some spans. Shards of other spans are ignored.

    Args:
        folders: span -> the empty folder of its part.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        num_top_values: how many of the most frequent values are named.
    """

    def __init__(
        self, folders: Mapping[int, Path], content: Content, dim: int | None, num_top_values: int
    ) -> None:
        super().__init__()
        self.folders = {span: str(folder) for span, folder in folders.items()}
        self.content = content
        self.dim = dim
        self.num_top_values = num_top_values
        self.applied = False

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        self.applied = True
        measured = shards | "Measure" >> beam.ParDo(
            MeasureShard(self.folders, self.content, self.dim)
        ).with_outputs(TOTALS, main="tables")

        groups = measured.tables | "Tables" >> MergeTables(
            write_sum, MeasureGroup(self.num_top_values)
        )
        of_spans = measured[TOTALS] | "Totals" >> beam.CombinePerKey(SumTotals())
        return (
            {"groups": groups, "totals": of_spans}
            | "BySpan" >> beam.CoGroupByKey()
            | "Finish"
            >> beam.MapTuple(
                partial(
                    finish_span, content=self.content, dim=self.dim, num_top=self.num_top_values
                )
            )
        )


class MeasureShard(beam.DoFn):
    """Writes the tables of a shard.

    Yields (the folder of its span's part, (name of a table, name of the shard)) for each, and
    (folder, {split: Totals}) with the tag TOTALS.
    """

    def __init__(self, folders: Mapping[int, str], content: Content, dim: int | None) -> None:
        self.folders = folders
        self.content = content
        self.dim = dim

    def process(self, shard: ExampleShard) -> Iterator[Any]:
        if shard.span not in self.folders:
            return

        folder = self.folders[shard.span]
        shard_totals, tokens, table = measure(shard, self.content, self.dim)
        yield beam.pvalue.TaggedOutput(TOTALS, (folder, {shard.split: shard_totals}))

        rows: Entry = (f"{shard.split}.{ROWS}", shard.name)
        with writing(shard_path(folder, *rows)) as path:
            row_tables.write(path, row_tables.buckets(table))
        yield folder, rows

        if self.content != features.SEQUENCE:
            of_tokens: Entry = (f"{shard.split}.{TOKENS}", shard.name)
            with writing(shard_path(folder, *of_tokens)) as path:
                counts.write(path, counts.split(tokens))
            yield folder, of_tokens


def write_sum(table: str, buckets: Iterable[list[Place]], path: str) -> None:
    """Writes the sum of some buckets of a table, see `MergeTables`."""
    if table.endswith(f".{ROWS}"):
        row_tables.write(path, (row_tables.sum_bucket(places, texts=True) for places in buckets))
    else:
        counts.write(path, (counts.sum_bucket(places) for places in buckets))


class MeasureGroup:
    """`table_figures.of_group` for MergeTables."""

    def __init__(self, num_top: int) -> None:
        self.num_top = num_top

    def __call__(self, files: dict[str, str], size: int) -> TableFigures:
        return table_figures.of_group(files, size, self.num_top)


class SumTotals(beam.CombineFn):
    """{split: Totals} -> the sum for each split."""

    def create_accumulator(self) -> dict[str, list[Totals]]:
        return {}

    def add_input(
        self, waiting: dict[str, list[Totals]], shard: dict[str, Totals]
    ) -> dict[str, list[Totals]]:
        for split, part in shard.items():
            parts = waiting.setdefault(split, [])
            parts.append(part)
            if len(parts) == totals.NUM_AT_ONCE:
                waiting[split] = [totals.total(parts)]
        return waiting

    def merge_accumulators(
        self, accumulators: Iterable[dict[str, list[Totals]]]
    ) -> dict[str, list[Totals]]:
        whole: dict[str, list[Totals]] = {}
        for waiting in accumulators:
            for split, parts in waiting.items():
                whole[split] = [totals.total([*whole.get(split, []), *parts])]
        return whole

    def extract_output(self, waiting: dict[str, list[Totals]]) -> dict[str, Totals]:
        return {split: totals.total(parts) for split, parts in waiting.items()}


def finish_span(
    folder: str,
    measured: Mapping[str, Iterable[Any]],
    content: Content,
    dim: int | None,
    num_top: int,
) -> None:
    """Writes the figures of a span to its part.

    Args:
        folder: of the part.
        measured: "groups": (number, TableFigures) of every group of its tables; "totals": at most
            one, split -> its Totals.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        num_top: how many of the most frequent values are named.
    """
    figures = TableFigures.none()
    figures.add({}, num_top)  # a span without rows has figures, too
    for _, of_group in sorted(measured["groups"], key=lambda group: group[0]):
        figures.merge(of_group, num_top)

    counted: dict[str, Totals] = next(iter(measured["totals"]), {})
    split_totals = {split: counted.get(split, totals.total([])) for split in features.SPLITS}
    statistics = summary.summarise(figures, split_totals, content, dim, num_top)

    part = path_of(folder)
    for split, total in split_totals.items():
        with _whole(part / f"{split}.json") as path:
            totals.write(total, path)
    protos.write(statistics, split_totals, part, num_top)
    with _whole(part / features.STATISTICS) as path:
        path.write_text(json.dumps(statistics), encoding="utf-8")


def finish(collect: Collect) -> None:
    """After the job: makes the parts of spans without rows, and removes the shards' files."""
    assert collect.applied, "no job counted the rows: the parts would say that there are none"
    for folder in collect.folders.values():
        part = path_of(folder)
        if not (part / features.STATISTICS).exists():
            nothing: dict[str, Iterable[Any]] = {"groups": [], "totals": []}
            finish_span(folder, nothing, collect.content, collect.dim, collect.num_top_values)
        remove(part / SHARDS)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write that appears at `path`, whole, when the block ends."""
    with writing(path) as name:
        yield Path(name)
