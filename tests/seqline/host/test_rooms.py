"""A file of the user's that has the name of one of seqline's packages is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CHECKOUT

CALLS = {
    "the API": ["-c", "import seqline; seqline.load('x')"],
    "scikit-learn": ["-c", "from seqline.sklearn import SequenceClassifier"],
    "the command": ["-m", "seqline", "--help"],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("own", ["pipeline.py", "serving/__init__.py", "components.py"])
def test_a_module_that_hides_a_package(call: str, own: str, tmp_path: Path) -> None:
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("print('my own')\n", encoding="utf-8")
    done = run(tmp_path, *CALLS[call])
    last = done.stderr.splitlines()[-1]
    name = own.partition("/")[0].removesuffix(".py")
    assert f"{tmp_path / own} hides seqline's package '{name}'. Rename it" in last
    assert (done.returncode, done.stdout) == (2 if call == "the command" else 1, "")


def test_a_folder_that_is_no_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    done = run(tmp_path, *CALLS["the command"])
    assert (done.returncode, done.stderr) == (0, "")


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PYTHONPATH": f":{CHECKOUT}", "PATH": "/usr/bin:/bin", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
