"""The tables of a span's shards, summed to the tables of the span by as many workers as it needs.

A table has NUM_BUCKETS buckets (see `seqline.data.buckets`), and each shard has a file for each of
its tables. A span of few shards has one file for each table, too. In a span of many shards no
worker could hold all of them. There the buckets are cut into groups, one file each:

    shards           0    1    2  ...          a file each, with all buckets
    runs of shards   [0  ...  15] [16 ... ]    summed to a file for each group of buckets
    groups           [all runs' files of it]   summed to the group's file of the span

So a worker has the files of a run on disk, or those of a group, and one bucket in memory.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import apache_beam as beam

from seqline.data.buckets import NUM_BUCKETS, Place
from seqline.storage.staging import path_of, reading_all, writing

# The folder of a span's part with the files of its shards and runs.
SHARDS = "shards"
# Shards that are summed together: with 16 MiB of text each, some 100 MB of tables.
NUM_IN_RUN = 16

# (name of a table, the name of a shard)
Entry = tuple[str, str]
# Writes the sum of some buckets of a table: its name, the places of each bucket in all files that
# are summed, and the path to write to.
WriteSum = Callable[[str, Iterator[list[Place]], str], None]
# Measures the sums of a group: table -> its file, and how many buckets a file has.
Measure = Callable[[dict[str, str], int], Any]


def shard_path(folder: str, table: str, shard: str) -> str:
    """Where the table of a shard is written, before its part of the span cache is finished.

    Makes the folder.

    Args:
        folder: of the span's part.
        table: the table's name.
        shard: the shard's name, unique among those of this table.
    """
    path = path_of(folder) / SHARDS / table / shard
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)


class MergeTables(beam.PTransform):
    """PCollection[(folder of a span's part, Entry)] -> PCollection[(folder, (group, measured))].

    The tables lie at their `shard_path`; afterwards the span's are in
    <folder>/<table>/, see `seqline.data.buckets`.

    Args:
        write_sum: sums tables.
        measure: what to do with the tables of each group, when they are summed.
    """

    def __init__(self, write_sum: WriteSum, measure: Measure | None = None) -> None:
        super().__init__()
        self.write_sum = write_sum
        self.measure = measure

    def expand(self, entries: beam.PCollection) -> beam.PCollection:
        return (
            entries
            | "TablesOfSpan" >> beam.GroupByKey()
            | "Runs" >> beam.FlatMapTuple(_runs)
            | "SpreadRuns" >> beam.Reshuffle()
            | "SumRuns" >> beam.MapTuple(partial(_sum_run, write_sum=self.write_sum))
            | "RunsOfSpan" >> beam.GroupByKey()
            | "Groups" >> beam.FlatMapTuple(_groups)
            | "SpreadGroups" >> beam.Reshuffle()
            | "SumGroups"
            >> beam.MapTuple(partial(_sum_group, write_sum=self.write_sum, measure=self.measure))
        )


def num_groups_of(num_shards: int) -> int:
    """How many files a table has: a power of two, so that groups have as many buckets each."""
    num_runs = -(-num_shards // NUM_IN_RUN)
    return min(NUM_BUCKETS, 1 << (num_runs - 1).bit_length())


def _runs(folder: str, entries: Iterable[Entry]) -> Iterator[tuple[str, str, int, list[str], int]]:
    """The arguments of `_sum_run` for every run of shards."""
    by_table: dict[str, list[str]] = {}
    for table, shard in sorted(set(entries)):
        by_table.setdefault(table, []).append(shard)

    num_groups = num_groups_of(max(map(len, by_table.values())))
    for table, shards in by_table.items():
        for number, start in enumerate(range(0, len(shards), NUM_IN_RUN)):
            yield folder, table, number, shards[start : start + NUM_IN_RUN], num_groups


def _sum_run(
    folder: str,
    table: str,
    number: int,
    shards: list[str],
    num_groups: int,
    write_sum: WriteSum,
) -> tuple[str, tuple[str, list[str], int]]:
    """Sums a run of shards to a file for each group.

    Args:
        folder: of the span's part.
        table: the table's name.
        number: of the run.
        shards: the names of its shards.
        num_groups: of the span's tables. With one group the shards stay as they are.
        write_sum: see `MergeTables`.

    Returns:
        The folder, and the table with the names under which its files lie for each group.
    """
    if num_groups == 1:
        return folder, (table, shards, num_groups)

    name = f"run-{number:05d}"
    with reading_all([shard_path(folder, table, shard) for shard in shards]) as paths:
        for group in range(num_groups):
            size = NUM_BUCKETS // num_groups
            buckets = range(group * size, (group + 1) * size)
            with writing(_run_path(folder, table, name, group, num_groups)) as path:
                _sum(write_sum, table, paths, buckets, path)
    return folder, (table, [name], num_groups)


def _run_path(folder: str, table: str, name: str, group: int, num_groups: int) -> str:
    return shard_path(folder, table, name if num_groups == 1 else f"{name}-{group:05d}")


def _groups(
    folder: str, runs: Iterable[tuple[str, list[str], int]]
) -> Iterator[tuple[str, int, int, dict[str, list[str]]]]:
    """The arguments of `_sum_group` for every group of buckets."""
    num_groups = 1
    by_table: dict[str, list[str]] = {}
    for table, names, num_groups in runs:  # noqa: B007 - all runs of a span have the same
        by_table.setdefault(table, []).extend(names)

    tables = {table: sorted(names) for table, names in sorted(by_table.items())}
    for group in range(num_groups):
        yield folder, group, num_groups, tables


def _sum_group(
    folder: str,
    group: int,
    num_groups: int,
    tables: dict[str, list[str]],
    write_sum: WriteSum,
    measure: Measure | None,
) -> tuple[str, tuple[int, Any]]:
    """Sums one group of the buckets of all tables of a span.

    Args:
        folder: of the span's part.
        group: its number.
        num_groups: how many the tables have.
        tables: table -> the names under which its files lie.
        write_sum, measure: see `MergeTables`.
    """
    size = NUM_BUCKETS // num_groups
    sums: dict[str, str] = {}
    with ExitStack() as stack:
        for table, names in tables.items():
            target = path_of(folder) / table / f"{group:05d}.arrow"
            target.parent.mkdir(parents=True, exist_ok=True)
            sums[table] = stack.enter_context(writing(target))

            paths = [_run_path(folder, table, name, group, num_groups) for name in names]
            with reading_all(paths) as files:
                if len(files) == 1:
                    shutil.copyfile(files[0], sums[table])  # the bytes of a sum of one
                else:
                    _sum(write_sum, table, files, range(size), sums[table])

        return folder, (group, measure(sums, size) if measure else None)


def _sum(
    write_sum: WriteSum, table: str, files: Sequence[str], buckets: Iterable[int], path: str
) -> None:
    write_sum(table, ([(file, bucket) for file in files] for bucket in buckets), path)
