"""The notebooks of the documentation, run in a folder that looks like a checkout.

python -m tests.support.notebooks      # runs them and keeps what they show
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support import CHECKOUT
from tests.support.command_line import environment

NOTEBOOKS = sorted((CHECKOUT / "docs" / "notebooks").glob("*.ipynb"))
# A notebook reads these, by paths from its own folder.
NEEDED = ("examples/messages/messages.csv",)


def run_notebook(notebook: Path, folder: Path) -> Any:
    """Runs all cells of a notebook.

    Args:
        notebook: a file under docs/notebooks.
        folder: an empty folder, which gets what the notebook reads and writes.

    Returns:
        The notebook with what its cells showed; paths in it begin at its folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(CHECKOUT / name, folder / name)

    place = folder / "docs" / "notebooks"
    place.mkdir(parents=True)
    content = nbformat.read(notebook, as_version=4)
    variables = environment()
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    client = NotebookClient(
        content,
        timeout=580,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(place)}},
    )
    client.execute(env=variables)
    return _without(content, f"{place}/")


def _without(notebook: Any, place: str) -> Any:
    """The notebook without a terminal's styles; paths within its folder begin there."""
    written = re.sub(r"\\u001b\[[0-9;]*m", "", nbformat.writes(notebook))
    return nbformat.reads(written.replace(place, ""), as_version=4)


def kinds_of(notebook: Any) -> list[list[str]]:
    """The kinds of what each cell of code shows, such as ["text/html", "text/plain"].

    What libraries print as errors, such as TensorFlow's notes, does not count.
    """
    return [
        sorted({kind for output in cell.outputs for kind in _kinds(output)})
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _kinds(output: Any) -> list[str]:
    if output.output_type == "stream":
        return [] if output.name == "stderr" else ["stdout"]
    return list(output.get("data", [output.output_type]))


def absolute_paths(notebook: Any) -> list[str]:
    """The paths of the machine that a notebook's outputs hold."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return re.findall(r"(?<![\w.:<])/(?:tmp|home|root|work|Users|var)/[^\s<'\"]*", repr(outputs))


def main() -> None:
    """Runs every notebook and writes it back with what it showed."""
    for notebook in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            content = run_notebook(notebook, Path(folder))
        nbformat.write(content, notebook)
        print(notebook.name, absolute_paths(content) or "holds no path of this machine")


if __name__ == "__main__":
    main()
