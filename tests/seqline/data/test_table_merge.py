"""Tables of many shards: a span's tables are the same, however many runs and groups it takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from seqline.data import counts, table_merge
from seqline.data.buckets import Place, files_of, num_batches, num_steps, places, steps
from seqline.data.table_merge import MergeTables, num_groups_of, shard_path
from seqline.jobs.beam import job

# Table -> shard -> its counts. "few" has a single shard.
TABLES = {
    "many": {f"shard {number}": {b"in all": 1, b"%d" % number: number + 1} for number in range(7)},
    "few": {"shard 0": {b"once": 5}},
}


def write_sum(table: str, steps: Iterator[list[Place]], path: str) -> None:
    assert table in TABLES
    counts.write(path, map(counts.total, steps))


def num_entries(files: dict[str, str], size: int) -> dict[str, int]:
    return {table: len(counts.read(Place(path, 0, size, size))) for table, path in files.items()}


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
            for step in steps({table: [files_of(folder, table)]})
            for entry, num in counts.total(step[table]).items()
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
    assert places([one, two, [], four], 12, 16) == [  # 48 to 51 of the 64 buckets
        (one[0], 48, 52, 64),
        (two[1], 16, 20, 32),
        (four[3], 0, 4, 16),
    ]


def test_a_place_knows_its_record_batches_and_its_entries_there() -> None:
    place = Place("file", 5, 7, 16)
    assert [list(place.batches(num)) for num in (1, 4, 16)] == [[0], [1], [5, 6]]
    # Buckets of all 64; those of this file are 16 to 31.
    assert place.slice_of(np.array([20, 20, 21, 22, 22, 23])) == slice(2, 5)


def test_the_number_of_steps_follows_the_entries(tmp_path: Path) -> None:
    """A record batch has some 2,048 entries, and a step about 16 batches."""
    assert [num_batches(num) for num in (0, 2048, 2049, 10_000, 10**9)] == [1, 1, 2, 8, 64]

    path = tmp_path / "table"
    counts.write(path, counts.split({b"%d" % number: 1 for number in range(5000)}))
    assert num_steps([[path]]) == 4
    assert num_steps([[path]] * 16) == 4
    assert num_steps([[path]] * 17) == 8  # 68 batches
    assert num_steps([[path, path]]) == 8
    assert num_steps([[path]] * 17, 4) == 4
    assert num_steps([[]]) == 1
