"""One retraining of a model at a time, in a folder and under gs://."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.retrain import lock
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.host import owner
from tests.support.fake_cloud.gcs import serve


@pytest.fixture
def held_elsewhere(tmp_path: Path) -> Path:
    """The lock file of an owner on another machine."""
    path = tmp_path / "locks" / "retrain-c"
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "host": "far",
                "pid": 7,
                "processes": "another-boot pid:[1]",
                "lease_seconds": 1.0,
                "beat": "1",
            }
        )
    )
    return path


def test_an_owner_on_another_machine_that_is_silent_for_a_lease_is_taken_over(
    held_elsewhere: Path, tmp_path: Path
) -> None:
    with lock.held(Store(tmp_path), "c", 60.0):
        assert json.loads(held_elsewhere.read_text())["pid"] == os.getpid()
    assert held_elsewhere.read_text() == ""


def test_an_owner_on_another_machine_that_writes_is_alive(
    held_elsewhere: Path, tmp_path: Path
) -> None:
    slow = json.loads(held_elsewhere.read_text()) | {"lease_seconds": 600}
    held_elsewhere.write_text(json.dumps(slow))
    code = (
        "import time, pathlib; time.sleep(1);"
        f" pathlib.Path({str(held_elsewhere)!r}).write_text({json.dumps({**slow, 'beat': '2'})!r})"
    )
    writer = subprocess.Popen([sys.executable, "-c", code])

    with (
        pytest.raises(lock.BusyError, match=r"process 7 on far is retraining c under"),
        lock.held(Store(tmp_path), "c", 60.0),
    ):
        pass
    writer.wait()


def test_one_process_holds_the_lock_of_a_folder(tmp_path: Path) -> None:
    with lock.held(Store(tmp_path), "c", 0.3):
        before = (tmp_path / "locks" / "retrain-c").read_text()
        with (
            pytest.raises(lock.BusyError, match=f"process {os.getpid()} on ") as raised,
            lock.held(Store(tmp_path), "c", 60.0),
        ):
            pass
        assert raised.value.exit_code == 40
        wait_until(
            lambda: (tmp_path / "locks" / "retrain-c").read_text() not in (before, "")
        )  # it renews it


def wait_until(holds: Any) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("did not come true")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    with serve() as cloud:
        cloud.buckets["bucket"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        yield cloud


def test_one_process_holds_the_lock_under_gs(bucket: Any) -> None:
    store = open_store("gs://bucket/root")
    with lock.held(store, "c", 60.0):
        with (
            pytest.raises(lock.BusyError, match=f"process {os.getpid()} on ") as raised,
            lock.held(store, "c", 60.0),
        ):
            pass
        assert "gs://bucket/root" in str(raised.value)

    assert not [name for name in bucket.buckets["bucket"] if "/locks/" in name]
    elsewhere = json.dumps({"host": "far", "pid": 7, "lease_seconds": 1.0}).encode()
    bucket.put("bucket", "root/locks/retrain-c", elsewhere)
    with lock.held(store, "c", 60.0):  # it did not renew it for a lease
        pass


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        (
            {"GITHUB_RUN_ID": "7", "GITHUB_REPOSITORY": "me/mine"},
            "https://github.com/me/mine/actions/runs/7",
        ),
        ({"CI_JOB_URL": "https://gitlab.com/j/1"}, "https://gitlab.com/j/1"),
        ({"BUILD_URL": "https://jenkins/1"}, "https://jenkins/1"),
    ],
)
def test_an_owner_in_ci_is_named_by_its_job(environment: dict[str, str], url: str | None) -> None:
    assert owner.job_url(environment) == url
    holder = {"host": "h", "pid": 1, "user": "ann", "since": "now", "url": url}
    assert owner.name(holder) == f"process 1 on h (ann{f', {url}' if url else ''}), since now"
