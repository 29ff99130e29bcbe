"""A bucket on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seqline.storage.staging import path_of
from tests.support.fake_cloud.gcs import FakeGcs, serve


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcs]:
    with serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 2
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        yield store


@pytest.fixture
def place(cloud: FakeGcs) -> Path:
    return path_of("gs://bucket/some/place")
