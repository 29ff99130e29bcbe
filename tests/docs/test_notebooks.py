from pathlib import Path

import nbformat
import pytest

from tests.support.notebooks import NOTEBOOKS, absolute_paths, kinds_of, run_notebook


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_kept_as_it_ran(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert absolute_paths(content) == []


@pytest.mark.slow  # two or three trainings each
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_and_shows_what_is_kept(notebook: Path, tmp_path: Path) -> None:
    kept = nbformat.read(notebook, as_version=4)
    ran = run_notebook(notebook, tmp_path)
    assert kinds_of(ran) == kinds_of(kept)
    assert absolute_paths(ran) == []
