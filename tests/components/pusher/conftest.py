"""Models to push, and a serving_dir to push them to."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def models(tmp_path: Path) -> Callable[[str], Path]:
    """Makes folders of files; each content is another model."""

    def make(content: str) -> Path:
        folder = tmp_path / "models" / content
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_text(content)
        (folder / "variables" / "variables.index").write_text(content * 2)
        return folder

    return make


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return tmp_path / "served"
