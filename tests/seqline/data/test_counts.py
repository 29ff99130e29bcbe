"""Count tables sum bucket by bucket."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from seqline.data import counts
from seqline.data.buckets import NUM_BUCKETS

TABLES = st.lists(
    st.dictionaries(st.binary(max_size=3), st.integers(1, 2**40), max_size=30),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=30)
@given(TABLES)
def test_count_tables_sum_bucket_by_bucket(tables: list[dict[bytes, int]]) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            counts.write(path, counts.split(table))
        total: dict[bytes, int] = {}
        for bucket in range(NUM_BUCKETS):
            summed = counts.sum_bucket([(path, bucket) for path in paths])
            assert all(counts.bucket_of(entry) == bucket for entry in summed)
            total |= summed
    assert total == {
        entry: sum(table.get(entry, 0) for table in tables) for table in tables for entry in table
    }
