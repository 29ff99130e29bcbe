"""`seqline run --runner=DataflowRunner`.

Every component, root and serving_dir under gs://, beside the same run in folders.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest
from seqline.model.digest import MANIFEST
from seqline.storage.files import is_remote
from seqline.storage.staging import path_of
from tests.support import CHECKOUT, fake_cloud
from tests.support.corpus import SMALL_SETTINGS, corpus_rows, set_flags, write_jsonl
from tests.support.fake_cloud import FakeCloud
from tests.support.fake_cloud.dataflow import DONE

pytestmark = pytest.mark.slow

SETTINGS = {
    "example_gen.source": '"gs://bucket/rows.jsonl"',
    **SMALL_SETTINGS,
    "trainer.num_epochs": 4,
    "evaluator.slices": '["length"]',
    "evaluator.min_accuracy": 0.5,
    # The thresholds that the shipped configuration sets for another data set.
    "evaluator.min_macro_f1": 0.5,
    "evaluator.max_cross_entropy": 2.0,
    "evaluator.max_ece": 1.0,
    "evaluator.min_gain_over_linear": -1.0,
    "evaluator.min_slice_accuracy": 0.0,
    "infra_validator.max_p99_seconds": 60.0,
    "bulk_inferrer.source": '"gs://bucket/new.jsonl"',
    "bulk_inferrer.keep": '["id"]',
}
# Beside the artifact: where a version lies, and when it came there.
PLACES = {"pusher"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[FakeCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    with fake_cloud.serve_here(folder, corpus, PYTHONPATH=str(CHECKOUT)) as cloud:
        new = [{"id": number, "text": row["text"]} for number, row in enumerate(corpus_rows(30))]
        cloud.gcs.put(
            "bucket",
            "new.jsonl",
            write_jsonl(tmp_path_factory.mktemp("new") / "new.jsonl", new).read_bytes(),
        )
        yield cloud


def seqline(folder: Path, command: str, *arguments: str, code: int = 0) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    whole = [sys.executable, "-m", "pipeline", command, *arguments]
    done = subprocess.run(
        whole, cwd=folder, capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def run(folder: Path, root: str, serving_dir: str, *more: str) -> str:
    places = ["--root", root, "--serving-dir", serving_dir]
    return seqline(folder, "run", "bbc_news", *places, *set_flags(SETTINGS), *more)


def digests(store: Store) -> dict[str, str]:
    record = json.loads((store.runs()[-1] / "run.json").read_text())
    return {
        stage["component"]: artifact_digest(store.path(stage["component"], stage["key"]))
        for stage in record["stages"]
        if stage["component"] not in PLACES
    }


def version(place: str) -> dict[str, bytes]:
    folder = path_of(place)
    files = [path for path in folder.rglob("*") if is_remote(str(path)) or path.is_file()]
    return {
        name: path.read_bytes()
        for path in files
        if (name := str(path.relative_to(folder))) != MANIFEST
    }


def test_the_whole_pipeline_by_the_dataflow_runner(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.faults.retry_bundles = True
    killed = cloud.faults.add(
        "GET /download/.*exporter.*saved_model.pb", action=cloud.executor.kill_workers
    )  # asked by the evaluator's workers
    flags = cloud.flags
    said = run(tmp_path, "gs://bucket/root", "gs://bucket/served", *flags[:4], "--", *flags[4:])
    assert "11 of 11 stages ran" in said
    assert killed.met == 1

    jobs = [
        (job.description["labels"]["seqline_component"], job.state) for job in cloud.dataflow.jobs
    ]
    assert jobs == [
        (component, DONE)
        for component in ("example_gen", "transform", "evaluator", "bulk_inferrer")
    ]

    local = tmp_path / "local"
    local.mkdir()
    run(local, "artifacts", "served")
    expected = digests(Store(local / "artifacts"))
    assert len(expected) == 10
    assert digests(open_store("gs://bucket/root")) == expected
    assert version("gs://bucket/served/1") == version(str(local / "served" / "1"))

    again = run(tmp_path, "gs://bucket/root", "gs://bucket/served", *flags[:4], "--", *flags[4:])
    assert "0 of 11 stages ran" in again
    assert len(cloud.dataflow.jobs) == len(jobs)
    asked = seqline(tmp_path, "predict", "--model", "gs://bucket/served", "gold and silver")
    assert json.loads(asked)["label"] == "metals"
    assert seqline(local, "predict", "--model", "served", "gold and silver") == asked


def test_bulk_predictions_by_the_dataflow_runner(
    cloud: FakeCloud, saved_model: Path, tmp_path: Path
) -> None:
    places = ["gs://bucket/new.jsonl", "--keep", "id", "--model"]
    for path in (saved_model / "saved_model").rglob("*"):
        if path.is_file():
            cloud.gcs.put(
                "bucket",
                f"other/1/{path.relative_to(saved_model / 'saved_model')}",
                path.read_bytes(),
            )

    before = len(cloud.dataflow.jobs)
    seqline(
        tmp_path,
        "infer",
        *places,
        "gs://bucket/other",
        "--output",
        "gs://bucket/predictions",
        "--",
        *cloud.flags,
    )

    assert [job.state for job in cloud.dataflow.jobs[before:]] == [DONE]
    seqline(tmp_path, "infer", *places, str(saved_model / "saved_model"), "--output", "predictions")
    made = {
        name: content
        for name, content in version("gs://bucket/predictions").items()
        if name.startswith("predictions-")
    }

    assert made == {
        name: content
        for name, content in version(str(tmp_path / "predictions")).items()
        if name.startswith("predictions-")
    }

    refused = seqline(
        tmp_path, "infer", *places, "served", "--output", "here", "--", *cloud.flags, code=2
    )
    assert (
        "output 'here' is a folder of this machine, where workers cannot write:"
        " --output=gs://bucket/path" in refused
    )
    assert (
        "model 'served' is a folder of this machine, which workers cannot read: name it under gs://"
        in refused
    )
