"""Stores with runs, for the tests of reports."""

from pathlib import Path

import pytest

from pipeline.store.folder import Store
from tests.support.reports import write_three_runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")


@pytest.fixture
def three_runs(store: Store) -> Store:
    """See `write_three_runs`."""
    write_three_runs(store)
    return store
