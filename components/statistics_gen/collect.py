"""The Beam side: shards are counted into files, then each span's files are summed to its part.

Every file appears whole, and a second try rewrites it.

A span's part in the span cache holds, for each split:
  <split>.json     its Totals
  <split>.rows     its row table
  <split>.tokens   its count table; not for sequences
and what the artifact takes over: statistics.json and Split-<split>/FeatureStats.pb.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import apache_beam as beam

from components.statistics_gen import protos, row_tables, summary, totals
from components.statistics_gen.measure import measure
from seqline.data import counts, features
from seqline.data.examples import Content, ExampleShard
from seqline.storage.staging import local_folder, path_of, remove, writing

SHARDS = "shards"

# (span, (split, the name of the shard))
Measured = tuple[int, tuple[str, str]]


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
        return (
            shards
            | "Wanted" >> beam.Filter(_is_wanted, frozenset(self.folders))
            | "Measure" >> beam.Map(measure_shard, self.folders, self.content, self.dim)
            | "BySpan" >> beam.GroupByKey()
            | "Merge"
            >> beam.MapTuple(
                partial(
                    merge_span,
                    folders=self.folders,
                    content=self.content,
                    dim=self.dim,
                    num_top=self.num_top_values,
                )
            )
        )


def _is_wanted(shard: ExampleShard, spans: frozenset[int]) -> bool:
    return shard.span in spans


def measure_shard(
    shard: ExampleShard, folders: Mapping[int, str], content: Content, dim: int | None
) -> Measured:
    """Writes the measures of a shard under its span's folder."""
    folder = path_of(folders[shard.span]) / SHARDS / shard.split
    folder.mkdir(parents=True, exist_ok=True)
    shard_totals, tokens, table = measure(shard, content, dim)

    with _whole(folder / f"{shard.name}.json") as path:
        totals.write(shard_totals, path)

    with _whole(folder / f"{shard.name}.rows") as path:
        row_tables.write(path, row_tables.buckets(table))

    if content != features.SEQUENCE:
        with _whole(folder / f"{shard.name}.tokens") as path:
            counts.write(path, counts.split(tokens))
    return shard.span, (shard.split, shard.name)


def merge_span(
    span: int,
    names: Iterable[tuple[str, str]],
    folders: Mapping[int, str],
    content: Content,
    dim: int | None,
    num_top: int,
) -> None:
    """Sums the shards of a span to its part.

    Args:
        span: the span's number.
        names: (split, the name of the shard) of all of them.
        folders: span -> the folder of its part.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        num_top: how many of the most frequent values are named.
    """
    by_split: dict[str, list[str]] = {split: [] for split in features.SPLITS}
    for split, name in sorted(set(names)):
        by_split[split].append(name)

    with local_folder(folders[span]) as folder:
        for split, shards in by_split.items():
            _merge_split(
                folder, split, [folder / SHARDS / split / name for name in shards], content
            )

        split_totals = {split: totals.read(folder / f"{split}.json") for split in features.SPLITS}
        statistics = summary.summarise([folder], split_totals, content, dim, num_top)
        protos.write(statistics, split_totals, folder, num_top)
        with _whole(folder / features.STATISTICS) as path:
            path.write_text(json.dumps(statistics), encoding="utf-8")


def _merge_split(folder: Path, split: str, shards: list[Path], content: Content) -> None:
    total = totals.total([totals.read(Path(f"{shard}.json")) for shard in shards])
    with _whole(folder / f"{split}.json") as path:
        totals.write(total, path)
    with _whole(folder / f"{split}.rows") as path:
        _sum_rows(path, [f"{shard}.rows" for shard in shards])
    if content != features.SEQUENCE:
        with _whole(folder / f"{split}.tokens") as path:
            _sum_tokens(path, [f"{shard}.tokens" for shard in shards])


def _sum_rows(path: Path, tables: list[str]) -> None:
    if len(tables) == 1:
        shutil.copyfile(tables[0], path)  # the bytes that a sum of one would have
        return
    buckets = (
        row_tables.sum_bucket(tables, bucket, texts=True)
        for bucket in range(row_tables.NUM_BUCKETS)
    )
    row_tables.write(path, buckets)


def _sum_tokens(path: Path, tables: list[str]) -> None:
    if len(tables) == 1:
        shutil.copyfile(tables[0], path)
        return
    buckets = (counts.sum_bucket(tables, bucket) for bucket in range(counts.NUM_BUCKETS))
    counts.write(path, buckets)


def finish(collect: Collect) -> None:
    """After the job: makes the parts of spans without rows, and removes the shards' files."""
    assert collect.applied, "no job counted the rows: the parts would say that there are none"
    for span, name in collect.folders.items():
        folder = path_of(name)
        if not (folder / features.STATISTICS).exists():
            merge_span(
                span, [], collect.folders, collect.content, collect.dim, collect.num_top_values
            )
        remove(folder / SHARDS)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write that appears at `path`, whole, when the block ends."""
    with writing(path) as name:
        yield Path(name)
