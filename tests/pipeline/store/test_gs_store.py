"""The store under gs://, method by method; test_bucket.py runs the whole pipeline."""

import base64
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.records import Execution, RunRecord
from seqline.component import Artifact
from seqline.errors import UserError
from seqline.storage.integrity import FileDigest
from seqline.storage.staging import path_of
from tests.support.fake_cloud.gcs import FakeGcs
from tests.support.records import execution, run_record


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def record(key: str, made: int = 0, content: str | None = None) -> Execution:
    """A record, as it is read where the artifact is one file, model, with this content."""
    digest = base64.b64encode(hashlib.md5((content or "").encode()).digest()).decode()
    files = {"model": FileDigest(len(content), f"md5:{digest}")} if content else None
    return execution("trainer", key, figures={"made": made}, files=files)


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
                record("k", 1, "1") if made == 2 and not by_workers else None
            )
            store.commit(partial, artifact, "trainer", record("k", made))

        assert (
            store.execution("trainer", "k")
            == store.latest("trainer")
            == record("k", made, str(made))
        )
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
    assert open_store(str(place)).execution("trainer", "k") == record("k", made[0], "x")


def test_a_run_that_lost_its_lock_commits_nothing(place: Path, cloud: FakeGcs) -> None:
    store = open_store(str(place))
    with store.lock("trainer", "k"):
        partial = store.begin("trainer", "k")
        (place / "locks" / "trainer-k").write_text("another's")
        with pytest.raises(UserError, match="took over its lock"):
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


def test_a_bucket_that_does_not_exist_is_named(cloud: FakeGcs) -> None:
    with pytest.raises(
        UserError,
        match=(
            r"^root 'gs://nobody/x' cannot be used: .* the bucket 'nobody' does not"
            r" exist.*--root\.$"
        ),
    ):
        open_store("gs://nobody/x").start_run()


def test_damage_is_found_by_a_listing(place: Path, cloud: FakeGcs) -> None:
    store = open_store(str(place))
    artifact = Artifact("Model", store.path("trainer", "k"), "k")

    def commit() -> None:
        with store.lock("trainer", "k"):
            partial = store.begin("trainer", "k")
            (partial / "model").write_text("abc")
            (partial / "tensorboard").mkdir()
            (partial / "tensorboard" / "events").write_text("now")
            store.commit(partial, artifact, "trainer", record("k"))

    damages: list[tuple[Callable[[], object], str]] = [
        (lambda: (artifact.uri / "model").write_text("abd"), "changed after it was written"),
        (lambda: (artifact.uri / "model").write_text("a"), "has 1 bytes and was written with 3"),
        (lambda: (artifact.uri / "model").unlink(), "is missing"),
    ]
    for damage, problem in damages:
        commit()
        (artifact.uri / "tensorboard" / "more").write_text("by TensorBoard")
        assert open_store(str(place)).damage("trainer", "k") is None
        damage()
        asked = len(cloud.requests)
        expected = f"model of its artifact {problem}"
        assert open_store(str(place)).damage("trainer", "k") == expected
        assert not any("model" in request for request in cloud.requests[asked:])
        # A run asks once; its own artifacts are whole for it, unless it asks for a full check.
        assert store.damage("trainer", "k") is None
        assert store.damage("trainer", "k", in_full=True) == expected
        assert store.damage("trainer", "k") == expected

    commit()
    (artifact.uri / "execution.json").write_text("{")
    assert open_store(str(place)).damage("trainer", "k") == "its execution.json is damaged"


def test_a_root_that_was_copied_into_a_bucket_is_checked_by_size_or_in_full(
    place: Path, cloud: FakeGcs
) -> None:
    store = open_store(str(place))
    folder = store.path("trainer", "k")
    (folder / "model").write_text("abc")
    # As `printf abc | sha256sum` prints it.
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    copied = execution("trainer", "k", files={"model": FileDigest(3, digest)})
    copied.write(folder / "execution.json")
    assert store.damage("trainer", "k", in_full=True) is None
    (folder / "model").write_text("abd")
    assert open_store(str(place)).damage("trainer", "k") is None
    assert store.damage("trainer", "k", in_full=True) == (
        "model of its artifact changed after it was written"
    )
