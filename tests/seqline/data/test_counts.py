"""Count tables sum bucket by bucket."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.data import counts
from seqline.data.buckets import NUM_BUCKETS, places

TABLES = st.lists(
    st.dictionaries(st.binary(max_size=3), st.integers(1, 2**40), max_size=30),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=30)
@given(TABLES, st.sampled_from([1, 4, 64]), st.sampled_from([1, 8, 64]))
def test_count_tables_sum_step_by_step(
    tables: list[dict[bytes, int]], num_steps: int, num_batches: int
) -> None:
    """Whatever the number of record batches that they have."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(counts, "num_batches", lambda _: num_batches)
                counts.write(path, counts.split(table))
        total: dict[bytes, int] = {}
        files = [[path] for path in paths]
        for step in range(num_steps):
            summed = counts.total(places(files, step, num_steps))
            width = NUM_BUCKETS // num_steps
            assert all(counts.bucket_of(entry) // width == step for entry in summed)
            total |= summed
    assert total == {
        entry: sum(table.get(entry, 0) for table in tables) for table in tables for entry in table
    }
