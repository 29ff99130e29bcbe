"""A model to ask, and small shards."""

from pathlib import Path

import pytest

from seqline.rows import shards


@pytest.fixture
def served(saved_model: Path) -> Path:
    return saved_model / "saved_model"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes shards small, so that a small file has several."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 2000)
