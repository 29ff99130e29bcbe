"""Tables of many shards: a span's tables are the same, however many runs and groups it takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from seqline.data import counts, table_merge
from seqline.data.buckets import NUM_BUCKETS, Place, files_of, places
from seqline.data.table_merge import MergeTables, num_groups_of, shard_path
from seqline.jobs.beam import job

# Table -> shard -> its counts. "few" has a single shard.
TABLES = {
    "many": {f"shard {number}": {b"in all": 1, b"%d" % number: number + 1} for number in range(7)},
    "few": {"shard 0": {b"once": 5}},
}


def write_sum(table: str, buckets: Iterator[list[Place]], path: str) -> None:
    assert table in TABLES
    counts.write(path, map(counts.sum_bucket, buckets))


def num_entries(files: dict[str, str], size: int) -> dict[str, int]:
    return {
        table: sum(len(counts.read_bucket(path, bucket)) for bucket in range(size))
        for table, path in files.items()
    }


def merged(folder: Path, groups: dict[int, dict[str, int]]) -> dict[str, dict[bytes, int]]:
    """Merges TABLES under a folder, and reads the sums."""
    entries = []
    for table, shards in TABLES.items():
        for shard, counted in shards.items():
            counts.write(shard_path(str(folder), table, shard), counts.split(counted))
            entries.append((str(folder), (table, shard)))

    with job([]) as pipeline:
        measured: Any = pipeline | beam.Create(entries) | MergeTables(write_sum, num_entries)
        expected = [(str(folder), group) for group in groups.items()]
        assert_that(measured, equal_to(expected))

    return {
        table: {
            entry: num
            for bucket in range(NUM_BUCKETS)
            for entry, num in counts.sum_bucket(places([files_of(folder, table)], bucket)).items()
        }
        for table in TABLES
    }


@pytest.mark.parametrize(
    ("num_in_run", "groups"),
    [
        (16, {0: {"many": 8, "few": 1}}),
        # Buckets are CRC-32 modulo 64, 16 in a group: 44 for "in all"; 33, 55, 13, 27, 56, 46 and
        # 20 for 0 to 6; 16 for "once".
        (
            2,
            {
                0: {"many": 1, "few": 0},
                1: {"many": 2, "few": 1},
                2: {"many": 3, "few": 0},
                3: {"many": 2, "few": 0},
            },
        ),
    ],
)
def test_sums_are_the_same_in_any_number_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_in_run: int, groups: dict[int, Any]
) -> None:
    monkeypatch.setattr(table_merge, "NUM_IN_RUN", num_in_run)
    assert merged(tmp_path, groups) == {
        "many": {b"in all": 7, **{b"%d" % number: number + 1 for number in range(7)}},
        "few": {b"once": 5},
    }
    assert len(files_of(tmp_path, "many")) == len(files_of(tmp_path, "few")) == len(groups)


def test_groups_follow_the_number_of_shards() -> None:
    # Runs of 16 shards, and as many groups as runs, or the next power of two.
    numbers = {1: 1, 16: 1, 17: 2, 33: 4, 64: 4, 600: 64, 60_000: 64}
    assert {num: num_groups_of(num) for num in numbers} == numbers


def test_a_bucket_is_found_in_tables_of_any_number_of_files() -> None:
    one, two, four = [Path("a")], [Path("b0"), Path("b1")], [Path(f"c{n}") for n in range(4)]
    assert places([one, two, [], four], 49) == [(one[0], 49), (two[1], 17), (four[3], 1)]
