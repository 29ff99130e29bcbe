"""The Beam side.

Shard by shard to files, then span by span to a piece. Every file appears whole; a second try
rewrites it.

A span's piece holds, for each split: `<split>.json` (Totals), `<split>.rows` (a row table),
`<split>.tokens` (a count table; none for sequences); and what the artifact takes over:
`statistics.json` and `Split-<split>/FeatureStats.pb`.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.statistics_gen import protos, row_tables, summary, totals
from components.statistics_gen.measure import measure
from seqline.data import counts, features
from seqline.data.examples import Content, ExampleShard
from seqline.storage.staging import local_folder, path_of, remove, writing

SHARDS = "shards"

# (span, (split, the shard's name))
Measured = tuple[int, tuple[str, str]]


class Collect(beam.PTransform):
    """PCollection[ExampleShard] -> the span_cache of some spans.

    The shards of other spans are passed over.

    folders: span -> the empty folder of its piece.
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
    """Writes what is known of a shard under its span's folder."""
    folder = path_of(folders[shard.span]) / SHARDS / shard.split
    folder.mkdir(parents=True, exist_ok=True)
    found, tokens, table = measure(shard, content, dim)
    _write(folder / f"{shard.name}.json", lambda path: totals.write(found, path))
    _write(
        folder / f"{shard.name}.rows",
        lambda path: row_tables.write(path, row_tables.buckets(table)),
    )
    if content != features.SEQUENCE:
        _write(
            folder / f"{shard.name}.tokens", lambda path: counts.write(path, counts.split(tokens))
        )
    return shard.span, (shard.split, shard.name)


def merge_span(
    span: int,
    names: Iterable[tuple[str, str]],
    folders: Mapping[int, str],
    content: Content,
    dim: int | None,
    num_top: int,
) -> None:
    """Sums a span's shards to its piece. names: (split, shard) of all of them."""
    by_split: dict[str, list[str]] = {split: [] for split in features.SPLITS}
    for split, name in sorted(set(names)):
        by_split[split].append(name)
    with local_folder(folders[span]) as folder:
        for split, shards in by_split.items():
            _merge_split(
                folder, split, [folder / SHARDS / split / name for name in shards], content
            )
        found = {split: totals.read(folder / f"{split}.json") for split in features.SPLITS}
        statistics = summary.summarise([folder], found, content, dim, num_top)
        protos.write(statistics, found, folder, num_top)
        _write(
            folder / features.STATISTICS,
            lambda path: path.write_text(json.dumps(statistics), encoding="utf-8"),
        )


def _merge_split(folder: Path, split: str, shards: list[Path], content: Content) -> None:
    found = totals.total([totals.read(Path(f"{path}.json")) for path in shards])
    _write(folder / f"{split}.json", lambda path: totals.write(found, path))
    _write(
        folder / f"{split}.rows",
        lambda path: _sum_rows(path, [f"{shard}.rows" for shard in shards]),
    )
    if content != features.SEQUENCE:
        _write(
            folder / f"{split}.tokens",
            lambda path: _sum_tokens(path, [f"{shard}.tokens" for shard in shards]),
        )


def _sum_rows(path: Path, tables: list[str]) -> None:
    if len(tables) == 1:
        shutil.copyfile(tables[0], path)  # the bytes that a sum of one would have
    else:
        row_tables.write(
            path,
            (
                row_tables.sum_bucket(tables, bucket, texts=True)
                for bucket in range(row_tables.NUM_BUCKETS)
            ),
        )


def _sum_tokens(path: Path, tables: list[str]) -> None:
    if len(tables) == 1:
        shutil.copyfile(tables[0], path)
    else:
        counts.write(
            path, (counts.sum_bucket(tables, bucket) for bucket in range(counts.NUM_BUCKETS))
        )


def finish(collect: Collect) -> None:
    """After the job: a piece for each span without a row, too, and nothing of the shards left."""
    assert collect.applied, "no job counted the rows: the span_cache would say that there are none"
    for span, name in collect.folders.items():
        folder = path_of(name)
        if not (folder / features.STATISTICS).exists():
            merge_span(
                span, [], collect.folders, collect.content, collect.dim, collect.num_top_values
            )
        remove(folder / SHARDS)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    with writing(path) as name:
        write(Path(name))
