import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.retrain import thresholds
from tests.support import CHECKOUT
from tests.support.command_line import environment

EXAMPLES = ("messages", "news", "sequences")


@pytest.mark.parametrize("name", EXAMPLES)
def test_has_a_threshold_for_every_gate(name: str) -> None:
    thresholds.check(configuration.load(str(CHECKOUT / "examples" / name / "seqline.toml"), []))


def test_the_messages_are_what_their_script_writes(tmp_path: Path) -> None:
    folder = CHECKOUT / "examples" / "messages"
    runpy.run_path(str(folder / "make_data.py"))["write"](tmp_path / "messages.csv")
    assert (tmp_path / "messages.csv").read_bytes() == (folder / "messages.csv").read_bytes()


@pytest.mark.slow  # a whole run each
@pytest.mark.parametrize("name", EXAMPLES)
def test_runs_and_is_pushed(name: str, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples")
    run = ["-m", "pipeline", "run", f"examples/{name}/seqline.toml"]
    if (script := tmp_path / "examples" / name / "make_data.py").exists():
        in_folder(tmp_path, str(script))
    in_folder(tmp_path, *run)

    (report,) = (tmp_path / "artifacts" / "runs").glob("*/report.json")
    assert json.loads(report.read_text())["verdict"]["name"] == "pushed"
    assert in_folder(tmp_path, *run).count("cached") == 10


def in_folder(folder: Path, *arguments: str) -> str:
    """Runs Python in a folder and returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
