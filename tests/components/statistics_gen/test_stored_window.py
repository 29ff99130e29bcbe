"""A window whose parts are in a bucket: tables are read in steps, and none for a single span."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from seqline.data import buckets
from seqline.data.span_cache import SpanCache
from seqline.storage.staging import path_of
from tests.support import s3
from tests.support.examples import TWENTY, Splits, statistics_of, write_spans
from tests.support.fake_cloud.gcs import FakeGcs

# Tables of a span: the rows and the tokens of each split.
NUM_TABLES = 6


def write(folder: Path, num_spans: int) -> Path:
    spans: dict[int, Splits] = {
        number: {name: rows[number - 1 :: 2] for name, rows in TWENTY.items()}
        for number in range(1, num_spans + 1)
    }
    return write_spans(folder, spans)


def reads(cloud: FakeGcs) -> Counter[str]:
    """The contents of tables that were asked for, by name."""
    names = [
        unquote(request.rpartition("/o/")[2])
        for request in cloud.requests
        if request.startswith("GET /download/")
    ]
    return Counter(name for name in names if name.endswith(".arrow"))


def cached() -> list[Path]:
    return [path for path in Path(os.environ["SEQLINE_CACHE"]).rglob("*") if path.is_file()]


def test_one_span_needs_none_of_its_tables(place: Path, cloud: FakeGcs, tmp_path: Path) -> None:
    examples = write(tmp_path / "examples", 1)
    cache = SpanCache(place / "cache", owner="key")
    first = statistics_of(examples, tmp_path / "first", span_cache=cache)

    cloud.requests.clear()
    assert statistics_of(examples, tmp_path / "again", span_cache=cache) == first
    assert first == statistics_of(examples, tmp_path / "local")
    stored = [name for name in cloud.buckets["bucket"] if name.endswith(".arrow")]
    assert len(stored) == NUM_TABLES
    assert reads(cloud) == Counter()


def test_the_tables_of_a_window_are_fetched_once(
    place: Path, cloud: FakeGcs, tmp_path: Path
) -> None:
    examples = write(tmp_path / "examples", 2)
    cache = SpanCache(place / "cache", owner="key")
    window = statistics_of(examples, tmp_path / "remote", span_cache=cache)
    assert window == statistics_of(examples, tmp_path / "local")

    stored = [name for name in cloud.buckets["bucket"] if name.endswith(".arrow")]
    assert len(stored) == 2 * NUM_TABLES
    cloud.requests.clear()
    assert statistics_of(examples, tmp_path / "cached", span_cache=cache) == window
    assert reads(cloud) == Counter()

    for path in cached():
        path.unlink()
    assert statistics_of(examples, tmp_path / "again", span_cache=cache) == window
    assert reads(cloud) == Counter(stored)


@pytest.fixture(params=["gs", "s3"])
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    if request.param == "gs":
        yield request.getfixturevalue("place")
        return
    with s3.serve():
        yield path_of("s3://bucket/some/place")


def test_large_tables_are_read_where_they_are(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(buckets, "CACHED_BYTES", 0)
    examples = write(tmp_path / "examples", 2)
    span_cache = SpanCache(root / "cache", owner="key")
    window = statistics_of(examples, tmp_path / "remote", span_cache=span_cache)
    assert window == statistics_of(examples, tmp_path / "local")

    # The small files of both parts are on this machine, and no table is.
    assert len(cached()) > 0
    assert not any(path.parent.name == "files" for path in cached())
    assert not any(path.name.endswith(".arrow") for path in cached())
