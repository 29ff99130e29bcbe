"""The store and the data of tests on small components."""

from pathlib import Path

import pytest

from pipeline.store.folder import Store


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_text("40")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")
