"""A small pipeline with every stage but the span validator, for the tests that break its runs."""

import subprocess
import sys
from pathlib import Path

from components.pusher.folder import Folder
from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest
from pipeline.store.records import RunRecord
from seqline.model.digest import MANIFEST
from seqline.storage.files import parse_object
from tests.support.command_line import environment
from tests.support.corpus import corpus_rows, write_jsonl

CONFIG = """
[example_gen]
source = "rows.jsonl"

[transform]
max_length = 8
min_frequency = 1

[tuner]
num_trials = 2
halving = false

[tuner.ranges.learning_rate]
low = 1e-3
high = 2e-2
log = true

[trainer]
bidirectional = false
embedding_dim = 8
rnn_units = 8
skip_dim = 8
batch_size = 16
num_epochs = 4
patience = 4
checkpoint_steps = 3

[evaluator]
min_accuracy = 0.5
min_macro_f1 = 0.5

[infra_validator]
max_model_mb = 50.0

[retrain]
without = [
    "cross_entropy", "gain_over_linear", "slice_accuracy", "calibration", "latency",
]

[bulk_inferrer]
source = "unlabelled.jsonl"
"""
CONFIG_FILE = "small.toml"
ROOT = "artifacts"
NAME = "small"  # of the model, after its configuration


def rows() -> list[dict[str, str]]:
    return corpus_rows(240)


def make(folder: Path) -> Path:
    """A folder with the configuration and its data."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "rows.jsonl", rows())
    write_jsonl(folder / "unlabelled.jsonl", [{"text": row["text"]} for row in rows()[:80]])
    (folder / CONFIG_FILE).write_text(CONFIG)
    return folder


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Starts `seqline ARGUMENTS` there, its standard error in its standard output."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )


def seqline(folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs `seqline ARGUMENTS` there; returns (exit code, output and errors)."""
    process = begin(folder, *arguments)
    out, _ = process.communicate()
    return process.returncode, out


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs the pipeline there; returns (exit code, output and errors)."""
    return seqline(folder, "run", "-c", CONFIG_FILE, *arguments)


def last_record(folder: Path) -> RunRecord:
    return RunRecord.read(Store(folder / ROOT).runs()[-1] / "run.json")


def stage_folders(folder: Path) -> dict[str, Path]:
    """Component -> the folder of the artifact that the last run made or used."""
    store = Store(folder / ROOT)
    return {
        stage.component: store.path(stage.component, stage.key)
        for stage in last_record(folder).stages
    }


def digests(folder: Path) -> dict[str, str]:
    """Component -> the digest of the artifact that the last run made or used."""
    return {
        component: artifact_digest(path) if path.is_dir() else "gone"
        for component, path in stage_folders(folder).items()
    }


def versions(folder: Path) -> dict[int, str]:
    """Version -> the digest of the model that its manifest names; "damaged" without one."""
    found = {}
    for version in (folder / "serving_dir" / NAME).glob("[0-9]*"):
        manifest = parse_object(Folder(version.parent).read(f"{version.name}/{MANIFEST}")) or {}
        found[int(version.name)] = str(manifest.get("digest", "damaged"))
    return found
