"""The store under gs://, method by method; test_bucket.py runs the whole pipeline."""

import threading
from pathlib import Path

import pytest

from pipeline.store import open_store
from pipeline.store.folder import Store
from pipeline.store.records import Execution, RunRecord
from seqline.component import Artifact
from seqline.errors import UserError
from seqline.storage.staging import path_of
from tests.support.fake_cloud.gcs import FakeGcs
from tests.support.records import execution, run_record


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


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
