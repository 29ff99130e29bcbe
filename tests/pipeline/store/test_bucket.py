"""The whole pipeline with `--root gs://...`, on loopback, compared with a run in a folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest
from tests.support import CHECKOUT
from tests.support.corpus import SMALL_SETTINGS, set_flags
from tests.support.fake_cloud.gcs import FakeGcs, serve

pytestmark = pytest.mark.slow

ROOT = "gs://bucket/some/root"
LEADERBOARD = ("index.html", "index.json")
STAGES = [
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "transform",
    "trainer",
    "exporter",
    "evaluator",
]
SETTINGS = {
    **SMALL_SETTINGS,
    "trainer.num_epochs": 4,
    "trainer.checkpoint_steps": 5,
    "evaluator.baseline": "none",
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[FakeGcs]:
    with serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 7
        yield store


@pytest.fixture(autouse=True)
def emulator(cloud: FakeGcs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))


def command(corpus: Path, root: str, *more: str) -> list[str]:
    settings = set_flags({"example_gen.source": json.dumps(str(corpus)), **SETTINGS})
    return [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "bbc_news",
        "--root",
        root,
        "--to",
        "evaluator",
        *settings,
        *more,
    ]


def environment(cloud: FakeGcs, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    (folder / "tmp").mkdir(exist_ok=True)
    more = {
        "STORAGE_EMULATOR_HOST": cloud.url,
        "SEQLINE_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder / "tmp"),
    }
    return {**kept, **more, "PYTHONPATH": str(CHECKOUT)}


def seqline(cloud: FakeGcs, folder: Path, arguments: list[str]) -> str:
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        env=environment(cloud, folder),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def digests(store: Store) -> dict[str, str]:
    record = json.loads((store.runs()[-1] / "run.json").read_text())
    return {
        stage["component"]: artifact_digest(store.path(stage["component"], stage["key"]))
        for stage in record["stages"]
    }


def objects(cloud: FakeGcs, part: str) -> list[str]:
    return sorted(name for name in list(cloud.buckets["bucket"]) if part in name)


@pytest.fixture(scope="module")
def finished(cloud: FakeGcs, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under gs:// that was killed while it uploaded its second checkpoint.

    It was continued as on another machine, with nothing on its disk. Now and then the service
    answers 503.
    """
    first = tmp_path_factory.mktemp("first")
    uploads: list[str] = []
    reached = threading.Event()
    number = 0

    def fault(method: str, path: str) -> int:
        nonlocal number
        number += 1
        return 503 if number % 50 == 0 else 0

    def block(method: str, path: str) -> int:
        if (
            method == "POST"
            and path.startswith("/upload")
            and reached.is_set() is False
            and objects(cloud, "/checkpoint-")
        ):
            uploads.append(path)
            reached.set()
            time.sleep(3)
            return 503
        return fault(method, path)

    cloud.fault = block
    process = subprocess.Popen(
        command(corpus, ROOT), cwd=first, env=environment(cloud, first), stdout=subprocess.DEVNULL
    )
    assert reached.wait(550)

    process.send_signal(signal.SIGKILL)
    process.wait()
    cloud.fault = fault
    assert [name for name in objects(cloud, "/trainer/") if "execution.json" in name] == []
    second = tmp_path_factory.mktemp("second")
    (second / "out.txt").write_text(seqline(cloud, second, command(corpus, ROOT, "-v")))
    cloud.fault = lambda method, path: 0
    return second


def test_training_went_on_from_the_last_whole_checkpoint(finished: Path) -> None:
    assert "going on from step 5 of 44" in (finished / "out.txt").read_text()


def test_artifacts_are_those_of_a_local_run(
    finished: Path, cloud: FakeGcs, corpus: Path, tmp_path: Path
) -> None:
    seqline(cloud, tmp_path, command(corpus, "artifacts"))
    expected = digests(Store(tmp_path / "artifacts"))
    assert list(expected) == STAGES
    assert digests(open_store(ROOT)) == expected


def test_nothing_but_artifacts_records_and_pieces_is_left(finished: Path, cloud: FakeGcs) -> None:
    assert objects(cloud, "/work/") == objects(cloud, "/partial-") == []
    killed = min(name.split("/")[3] for name in objects(cloud, "/runs/"))
    assert objects(cloud, "/locks/") == [f"some/root/locks/run-{killed}"]
    out = seqline(
        cloud, finished, [sys.executable, "-m", "pipeline", "gc", "--root", ROOT, "--yes"]
    )
    assert out.splitlines()[-2].startswith(f"{ROOT}: 1 lock can be deleted, ")
    assert out.splitlines()[-1] == "deleted 1"
    assert objects(cloud, "/locks/") == []
    kinds = {name.split("/")[2] for name in cloud.buckets["bucket"]}
    assert kinds == {*STAGES, *LEADERBOARD, "runs", "span_cache"}
    assert [path for path in (finished / "tmp").iterdir() if path.name.startswith("seqline")] == []


def test_a_second_run_does_nothing(
    finished: Path, cloud: FakeGcs, corpus: Path, tmp_path: Path
) -> None:
    before = {
        name: metadata["generation"] for name, (metadata, _) in cloud.buckets["bucket"].items()
    }
    asked = len(cloud.requests)
    assert "0 of 8 stages ran" in seqline(cloud, tmp_path, command(corpus, ROOT))
    # One for each artifact lists its files, to compare them with their digests.
    assert len(cloud.requests) - asked < 90

    new = {
        name
        for name, (metadata, _) in cloud.buckets["bucket"].items()
        if before.get(name) != metadata["generation"]
    }
    assert {name.split("/")[2] for name in new} == {"runs", *LEADERBOARD}

    files = ["config.toml", "log.txt", "report.html", "report.json", "report.md", "run.json"]
    of_run = [name for name in new if "/runs/" in name]
    assert sorted(name.split("/")[4] for name in of_run) == files


def test_plan_and_show_read_the_bucket_and_load_nothing_heavy(
    finished: Path, cloud: FakeGcs, corpus: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pipeline.cli.app import main\ntry: main()\nfinally: print('loaded',"
        " sorted({'tensorflow', 'apache_beam', 'keras', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    planned = ["plan", *command(corpus, ROOT)[4:], "--set", "trainer.seed=1"]
    lines = seqline(cloud, tmp_path, [sys.executable, "-c", code, *planned]).splitlines()
    assert [line.split()[1] for line in lines[1:9]] == ["cached"] * 5 + ["runs"] * 3
    assert "seed is 1, was 0" in lines[6]
    shown = seqline(cloud, tmp_path, [sys.executable, "-c", code, "show", "--root", ROOT])
    assert "finished" in shown.splitlines()[0]
    assert f"log: {ROOT}/runs/" in shown
    assert [text.splitlines()[-1] for text in (lines[-1], shown)] == ["loaded []"] * 2


def test_a_bucket_that_is_not_there_ends_a_run_before_it_begins(
    cloud: FakeGcs, corpus: Path, tmp_path: Path
) -> None:
    arguments = command(corpus, "gs://nobody/root")
    done = subprocess.run(
        arguments,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(cloud, tmp_path),
    )

    assert (done.returncode, done.stdout) == (20, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: root 'gs://nobody/root' cannot be used: ")
    assert "the bucket 'nobody' does not exist" in done.stderr
