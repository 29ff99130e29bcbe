"""`seqline retrain` as CI calls it, in a folder with a small corpus that comes in spans."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest
from tests.support.command_line import environment
from tests.support.corpus import corpus_rows, write_jsonl

CONFIG = """
root = "artifacts"
[example_gen]
source = "data/{SPAN}/rows.jsonl"
[transform]
max_length = 8
min_frequency = 1
[trainer]
bidirectional = false
embedding_dim = 8
rnn_units = 8
wide = false
skip_dim = 8
batch_size = 16
num_epochs = 4
checkpoint_steps = 3
[evaluator]
min_accuracy = 0.5
min_macro_f1 = 0.5
baseline = "none"
[infra_validator]
max_model_mb = 50.0
server = "none"
[pusher]
verify = false
[retrain]
without = [
    "cross_entropy", "gain_over_linear", "slice_accuracy", "calibration", "latency", "server",
]
"""


def write_span(folder: Path, number: int, rows: list[dict[str, str]]) -> None:
    (folder / "data" / str(number)).mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "data" / str(number) / "rows.jsonl", rows)


def make(folder: Path) -> Path:
    """A folder with a configuration and the first span."""
    folder.mkdir(exist_ok=True)
    (folder / "c.toml").write_text(CONFIG)
    write_span(folder, 1, corpus_rows(240))
    return folder


def command(*more: str, name: str = "retrain") -> list[str]:
    return [sys.executable, "-m", "pipeline", name, "-c", "c.toml", *more]


def retrain(folder: Path, *more: str) -> tuple[int, list[str]]:
    """Runs `seqline retrain`; returns (exit code, the lines of its output)."""
    done = subprocess.run(
        command(*more), cwd=folder, capture_output=True, text=True, timeout=600, env=environment()
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, (done.stdout + done.stderr).splitlines()


def begin(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Starts `seqline retrain`; its standard error is in its standard output."""
    return subprocess.Popen(
        command(*more),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def wait_for(folder: Path, pattern: str) -> None:
    for _ in range(6000):
        if any(folder.glob(pattern)):
            return
        time.sleep(0.1)
    raise AssertionError(f"{pattern} did not come")


def last_run(folder: Path) -> dict[str, Any]:
    return json.loads((Store(folder / "artifacts").runs()[-1] / "run.json").read_text())


def digests(folder: Path) -> dict[str, str]:
    """The digests of the artifacts of the last run, by component."""
    store = Store(folder / "artifacts")
    return {
        stage["component"]: artifact_digest(store.path(stage["component"], stage["key"]))
        for stage in last_run(folder)["stages"]
    }
