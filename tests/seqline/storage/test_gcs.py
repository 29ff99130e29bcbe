"""gs:// piece by piece.

Paths, local copies, the lock, parts of earlier work, the store. The whole pipeline is in
test_gs_root.py.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.records import Execution, RunRecord
from seqline.component import Artifact
from seqline.data.span_cache import SpanCache, is_whole, link
from seqline.errors import DataError, UserError
from seqline.storage import gcs, lease, staging
from seqline.storage.path import GsPath
from seqline.storage.staging import path_of
from tests.support import CHECKOUT
from tests.support.fake_cloud.gcs import FakeGcs, serve
from tests.support.records import execution, run_record


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcs]:
    with serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 2
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        yield store


@pytest.fixture
def place(cloud: FakeGcs) -> Path:
    return path_of("gs://bucket/some/place")


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


# Paths


def test_a_path_is_put_together_and_taken_apart_as_any_other() -> None:
    path = GsPath("gs://bucket/a") / "b" / "c.txt"
    assert (str(path), path.name, str(path.parent)) == (
        "gs://bucket/a/b/c.txt",
        "c.txt",
        "gs://bucket/a/b",
    )
    assert str(path.relative_to(GsPath("gs://bucket/a/"))) == "b/c.txt"
    assert path.is_relative_to(GsPath("gs://bucket/a"))
    assert not path.is_relative_to(GsPath("gs://other/a"))
    assert not path.is_relative_to(Path("/a"))
    assert pickle.loads(pickle.dumps(path)) == path
    by_folder = [GsPath("gs://bucket/a"), path, GsPath("gs://bucket/a.extra/b")]
    assert sorted([path, by_folder[2], by_folder[0]]) == by_folder
    with pytest.raises(TypeError):
        os.fspath(path)  # type: ignore[call-overload]


def test_objects_are_found_written_and_read(place: Path, cloud: FakeGcs) -> None:
    for name in (
        "a.txt",
        "Split-train/x-1.gz",
        "Split-train/x-0.gz",
        "Split-train/deep/x-2.gz",
        "Split-eval/y",
    ):
        (place / name).write_text(name)
    (place.parent / "place-2").write_text("a neighbour")
    assert [path.name for path in place.glob("Split-train/x-*.gz")] == ["x-0.gz", "x-1.gz"]
    assert [str(path.relative_to(place)) for path in place.glob("*/*")] == [
        "Split-eval/y",
        "Split-train/x-0.gz",
        "Split-train/x-1.gz",
    ]
    assert len(list(place.rglob("*"))) == 5
    assert (place / "Split-eval").is_dir()
    assert (place / "Split-eval").exists()
    assert not (place / "Split-eval").is_file()
    assert not (place / "Split").exists()
    assert (place / "a.txt").read_text() == "a.txt"
    (place / "a.txt").replace(place / "b.txt")
    assert (place / "b.txt").read_bytes() == b"a.txt"
    with pytest.raises(FileNotFoundError, match=r"gs://bucket/some/place/a\.txt"):
        (place / "a.txt").read_text()
    staging.remove(place)
    assert names(cloud) == ["some/place-2"]


def test_a_bucket_that_is_not_there_is_named(cloud: FakeGcs) -> None:
    for ask in (
        lambda path: path.write_text("x"),
        lambda path: list(path.glob("*")),
        lambda path: path.is_dir(),
    ):
        with pytest.raises(
            DataError,
            match=r"^gs://nobody/x.*: the bucket 'nobody' does not exist\. Correct the name",
        ):
            ask(path_of("gs://nobody/x"))
    with pytest.raises(
        UserError,
        match=(
            r"^root 'gs://nobody/x' cannot be used: .* the bucket 'nobody' does not"
            r" exist.*--root\.$"
        ),
    ):
        open_store("gs://nobody/x").start_run()


# Local copies


def test_what_is_written_appears_whole_or_not_at_all(
    place: Path, cloud: FakeGcs, tmp_path: Path
) -> None:
    def fail(path: Path) -> None:
        with staging.writing(path) as name:
            Path(name).write_text("half")
            raise KeyError

    for root in (place, tmp_path):
        with pytest.raises(KeyError):
            fail(root / "file")
        assert not (root / "file").exists()
        for content in ("first", "again"):
            cloud.failures += [503]
            with staging.writing(root / "file") as name:
                Path(name).write_text(content)
            with staging.reading(root / "file") as name:
                assert Path(name).read_text() == content
        cloud.failures.clear()
    assert names(cloud) == ["some/place/file"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file"]
    with pytest.raises(DataError, match="is not there"), staging.reading(place / "missing"):
        pass


def test_what_is_added_at_hand_goes_back(place: Path, cloud: FakeGcs) -> None:
    (place / "shards" / "0").write_text("zero")
    before = cloud.generation
    with staging.local_folder(place) as folder:
        assert (folder / "shards" / "0").read_text() == "zero"
        (folder / "sum").write_text("total")
    assert names(cloud) == ["some/place/shards/0", "some/place/sum"]
    assert cloud.generation == before + 1


def test_a_finished_folder_is_fetched_once_and_again_when_it_changed(
    place: Path, cloud: FakeGcs
) -> None:
    for name in ("saved_model.pb", "assets/labels"):
        (place / name).write_text(name)
    folder = staging.local_copy(place)
    assert folder.name == place.name == "place"  # a key, where it is an artifact
    assert sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    ) == ["assets/labels", "saved_model.pb"]
    asked = len(cloud.requests)
    assert staging.local_copy(place) == folder
    assert not any("/download/" in request for request in cloud.requests[asked:])
    (place / "assets/labels").write_text("others")
    assert (staging.local_copy(place) / "assets/labels").read_text() == "others"
    assert (folder / "assets/labels").read_text() == "assets/labels"
    assert staging.local_copy(Path("here")) == Path("here")


def test_the_cache_keeps_to_its_size_and_to_the_files_used_last(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(staging, "CACHE_BYTES", 30)
    monkeypatch.setattr(staging, "NUM_KEPT", 1)
    for number in range(5):
        (place / str(number)).write_text(f"content {number}")  # 9 bytes
    found = {path: content for path, _, content in gcs.find(f"{place}/")}
    for number, (path, content) in enumerate(found.items()):
        name = staging.fetch(path, content)
        assert Path(name).read_text() == f"content {number}"
        os.utime(name, (number, number))
    os.utime(staging.fetch(f"{place}/4", found[f"{place}/4"]), (0, 0))
    assert sorted(path.read_text() for path in (tmp_path / "cache" / "files").iterdir()) == [
        f"content {number}" for number in (2, 3, 4)
    ]
    staging.fetch(f"{place}/0", found[f"{place}/0"])
    assert sorted(path.read_text() for path in (tmp_path / "cache" / "files").iterdir()) == [
        f"content {number}" for number in (0, 2, 3)
    ]


# The lock


def test_a_lock_is_one_owners(place: Path, cloud: FakeGcs) -> None:
    path = str(place / "lock")
    with lease.held(path, "trainer 1") as held:
        message = rf"process {os.getpid()} on .* works on trainer 2 \(its lock is {path}\)"
        with (
            pytest.raises(lease.HeldError, match=message),
            lease.held(path, "trainer 2", patience=0),
        ):
            pass
        before = held.generation
        held.renew()
        assert held.generation != before
    assert names(cloud) == []
    with lease.held(path, "trainer 2", patience=0):
        assert names(cloud) == ["some/place/lock"]


def test_a_killed_process_of_this_machine_has_no_lock(place: Path, cloud: FakeGcs) -> None:
    code = (
        "import os, sys; from seqline.storage import lease\nwith lease.held(sys.argv[1], 'x',"
        " seconds=3600): os._exit(9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", code, str(place / "lock")], cwd=CHECKOUT, check=False
    )
    assert (dead.returncode, names(cloud)) == (9, ["some/place/lock"])
    with lease.held(str(place / "lock"), "x", seconds=3600) as held:
        assert json.loads(cloud.buckets["bucket"]["some/place/lock"][1])["pid"] == os.getpid()
        held.renew()


@pytest.mark.parametrize(
    "content",
    [
        {"host": "elsewhere", "pid": 1, "processes": "others", "lease_seconds": 0.2},
        "no owner that we know",
    ],
)
def test_an_owner_elsewhere_that_does_not_renew_is_dead(
    place: Path, cloud: FakeGcs, content: object
) -> None:
    (place / "lock").write_text(json.dumps(content))
    with lease.held(str(place / "lock"), "x", seconds=0.2):
        assert json.loads((place / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_was_taken_over_is_lost_and_left_to_its_new_owner(
    place: Path, cloud: FakeGcs
) -> None:
    with lease.held(str(place / "lock"), "trainer 1") as held:
        (place / "lock").write_text("another's")
        with pytest.raises(
            UserError, match=r"took over the lock .* nothing of trainer 1 was kept here"
        ):
            held.renew()
    assert (place / "lock").read_text() == "another's"


def test_an_answer_that_gets_lost_is_no_other_owner(place: Path, cloud: FakeGcs) -> None:
    finish, lost = cloud._finish, []

    def lose(bucket: str, name: str, *more: Any) -> Any:
        found = finish(bucket, name, *more)
        if lost:
            return found
        lost.append(name)
        return (
            503,
            {"error": {"code": 503, "message": "it was written, but nobody learns of it"}},
            {},
        )

    cloud._finish = lose  # type: ignore[method-assign]
    with lease.held(str(place / "lock"), "x", patience=0):
        assert lost


# Parts of earlier work


def test_parts_appear_when_the_block_ends_well_and_only_then(place: Path, cloud: FakeGcs) -> None:
    span_cache = SpanCache(place)
    path = span_cache.path(span=1)

    def fail() -> None:
        with span_cache.making({1: path}) as folders:
            (folders[1] / "x").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(cloud) == []
    with span_cache.making({1: path}) as slow:
        (slow[1] / "Split-train" / "x").write_text("slow")
        (path / "Split-train" / "y").write_text("left by a killed run")
        with span_cache.making({1: path}) as fast:
            (fast[1] / "Split-train" / "x").write_text("fast")
            assert not is_whole(path)
        assert is_whole(path)
    assert (path / "Split-train" / "x").read_text() == "fast"
    with span_cache.making({1: path}) as folders:
        assert folders == {}
    assert not any("partial" in name for name in names(cloud))


def test_a_link_is_a_copy_inside_the_service(place: Path, cloud: FakeGcs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    link(tmp_path / "file", place / "one")
    asked = len(cloud.requests)
    link(place / "one", place / "two")
    # The client asks for the bucket now and then, too, in a thread of its own.
    assert not any(
        "/upload/" in request or "/download/" in request for request in cloud.requests[asked:]
    )
    assert (place / "two").read_text() == "x"


# The store


def record(key: str, made: int = 0) -> Execution:
    return execution("trainer", key, figures={"made": made})


@pytest.mark.parametrize("by_workers", [False, True])
def test_an_artifact_is_there_when_its_record_is(
    place: Path, cloud: FakeGcs, by_workers: bool
) -> None:
    store = open_store(str(place))
    artifact = Artifact("Model", store.path("trainer", "k"), "k")
    (artifact.uri / "left").write_text("by a killed run")
    for made in (1, 2):
        with store.lock("trainer", "k"):
            partial = store.begin("trainer", "k", by_workers)
            (partial / "model").write_text(str(made))
            assert open_store(str(place)).execution("trainer", "k") == (
                record("k", 1) if made == 2 and not by_workers else None
            )
            store.commit(partial, artifact, "trainer", record("k", made))
        assert store.execution("trainer", "k") == store.latest("trainer") == record("k", made)
        assert names(cloud) == ["some/place/trainer/k/execution.json", "some/place/trainer/k/model"]
    folder = store.local_folder(artifact)
    assert isinstance(folder, Path)
    assert (folder / "model").read_text() == "2"
    assert store.local_folder(artifact, by_workers=True) == artifact.uri
    assert store.local_folder(Artifact("Features", artifact.uri, "k")) == artifact.uri


def test_two_runs_at_once_make_an_artifact_once(place: Path, cloud: FakeGcs) -> None:
    made: list[int] = []

    def run(number: int) -> None:
        store: Store = open_store(str(place))
        with store.lock("trainer", "k"):
            if store.execution("trainer", "k") is None:
                partial = store.begin("trainer", "k")
                (partial / "model").write_text("x")
                store.commit(
                    partial,
                    Artifact("Model", store.path("trainer", "k"), "k"),
                    "trainer",
                    record("k", number),
                )
                made.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert open_store(str(place)).execution("trainer", "k") == record("k", made[0])


def test_a_run_that_lost_its_lock_commits_nothing(place: Path, cloud: FakeGcs) -> None:
    store = open_store(str(place))
    with store.lock("trainer", "k"):
        partial = store.begin("trainer", "k")
        (place / "locks" / "trainer-k").write_text("another's")
        with pytest.raises(UserError, match="took over the lock"):
            store.commit(
                partial, Artifact("Model", store.path("trainer", "k"), "k"), "trainer", record("k")
            )
        store.drop(partial)
    assert names(cloud) == ["some/place/locks/trainer-k"]
    assert not partial.exists()


def test_a_runs_record_and_log_lie_in_the_bucket(place: Path, cloud: FakeGcs) -> None:
    store = open_store(str(place))
    run = store.start_run()
    (run / "log.txt").write_text("what the libraries print")
    for verdict in ("running", "finished"):
        store.save_run(run, run_record(run.name, verdict=verdict))
    assert [path.name for path in store.runs()] == [run.name]
    assert RunRecord.read(store.runs()[0] / "run.json").verdict == "finished"
    assert path_of(store.log(run)).read_text() == "what the libraries print"
    assert not run.parent.exists()


# What the trainer reads


def test_the_trainers_rows_are_the_same_from_a_bucket(
    place: Path, features: Path, tmp_path: Path
) -> None:
    from components.trainer import input as reading

    (source,) = (features / "Split-train").iterdir()
    for number in range(9):
        (tmp_path / "Split-train").mkdir(exist_ok=True)
        shutil.copy(source, tmp_path / "Split-train" / f"data_tfrecord-00000-{number:05d}-00000.gz")
    staging.upload(tmp_path / "Split-train", place / "Split-train")

    def rows(root: Path) -> list[tuple[list, list]]:
        return [
            (ids.to_list(), label.numpy().tolist())
            for ids, label in reading.blocks(root, "train", 16, 0)
        ]

    assert rows(place) == rows(tmp_path)
