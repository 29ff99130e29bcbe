"""serving_dir in a bucket: the real clients against a fake server, and moto for S3."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.pusher import PusherParams, check, versions
from components.pusher.bucket import Bucket
from components.pusher.publish import promote, push, rollback
from components.pusher.versions import history, listing
from seqline.errors import DataError, UserError
from seqline.model.digest import MANIFEST
from seqline.storage import conditions, gcs, objects
from tests.support import s3
from tests.support.fake_cloud.gcs import FakeGcs, serve

SERVED = "gs://models/topics"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with serve() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.buckets["models"] = {}
        yield fake
        gcs._client_of.cache_clear()


def names(fake: FakeGcs) -> list[str]:
    return sorted(name.removeprefix("topics/") for name in fake.buckets["models"])


def version(number: int, *more: str) -> list[str]:
    return sorted(
        f"{number}/{name}"
        for name in (MANIFEST, "saved_model.pb", "variables/variables.index", *more)
    )


def test_push_rollback_and_labels_as_in_a_folder(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    assert push(models("a"), SERVED, evaluation=b'{"accuracy": 0.5}')["version"] == 1
    assert not push(models("a"), SERVED)["pushed"]
    assert push(models("b"), SERVED, label="canary")["version"] == 2
    assert promote(SERVED) == 2
    assert rollback(SERVED) == {"version": 3, "rollback_of": 1}

    entries = [
        (listed["version"], listed["labels"], listed["rollback_of"], listed["accuracy"])
        for listed in listing(SERVED)
    ]
    assert entries == [(1, [], None, 0.5), (2, [], None, None), (3, ["stable"], 1, 0.5)]

    evaluated = "assets.extra/evaluation.json"
    assert names(fake) == [
        *version(1, evaluated),
        *version(2),
        *version(3, evaluated),
        "history.jsonl",
        "models.config",
    ]
    assert [(event.what, event.version, event.instead_of) for event in history(SERVED)] == [
        ("promote", 2, 1),
        ("rollback", 3, 2),
    ]
    assert fake.buckets["models"]["topics/3/saved_model.pb"][1] == b"a"
    assert b'base_path: "gs://models/topics"' in fake.buckets["models"]["topics/models.config"][1]


def test_saved_model_pb_comes_last_and_goes_first(
    fake: FakeGcs, models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    put = fake.put

    def watching(
        bucket: str, name: str, content: bytes, composed: bool = False
    ) -> dict[str, object]:
        seen.append([name for name in names(fake) if name.startswith("1/")])
        return put(bucket, name, content, composed)

    monkeypatch.setattr(fake, "put", watching)
    push(models("a"), SERVED)
    assert all("1/saved_model.pb" not in listed or listed == version(1) for listed in seen)

    fake.requests.clear()
    push(models("b"), SERVED, keep_versions=1)
    assert names(fake) == [*version(2), "models.config"]
    deleted = [
        line.rpartition("%2F")[2]
        for line in fake.requests
        if line.startswith("DELETE") and "topics%2F1%2F" in line
    ]
    assert deleted[0] == "saved_model.pb"
    assert len(deleted) == 3


def test_what_a_killed_push_left_is_no_version_and_goes(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    push(models("a"), SERVED)
    fake.put("models", "topics/2/variables/variables.index", b"half")
    fake.put("models", "topics/other/file", b"not ours")
    fake.put("models", "topics/003/half", b"a push writes no such name")
    assert [listed["version"] for listed in listing(SERVED)] == [1]
    assert push(models("b"), SERVED)["version"] == 2
    assert names(fake) == ["003/half", *version(1), *version(2), "models.config", "other/file"]
    assert fake.buckets["models"]["topics/2/variables/variables.index"][1] == b"bb"


def test_a_push_beside_a_number_with_zeros_is_above_it(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    fake.put("models", "topics/0041/saved_model.pb", b"of another program")
    assert [listed["version"] for listed in listing(SERVED)] == [41]
    assert push(models("a"), SERVED)["version"] == 42
    assert "0041/saved_model.pb" in names(fake)


def test_pushes_at_once_all_land_without_a_gap(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    landed: list[int] = []
    threads = [
        threading.Thread(
            target=lambda name=name: landed.append(push(models(name), SERVED)["version"])
        )
        for name in "abcd"
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(landed) == [listed["version"] for listed in listing(SERVED)] == [1, 2, 3, 4]


def test_a_push_waits_as_long_as_another_one_renews_its_lock(
    fake: FakeGcs, models: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "seqline")
    holder = Bucket(SERVED, lease_seconds=2)
    with holder.lock():
        waiting = threading.Thread(target=push, args=(models("a"), SERVED))
        waiting.start()
        generations: set[int] = set()
        while len(generations) < 3:  # the holder renewed its lock twice
            generations.add(fake.buckets["models"]["topics/.lock"][0]["generation"])
            time.sleep(0.01)
        while not caplog.records:
            time.sleep(0.01)
        assert holder.versions() == []

    waiting.join()
    assert holder.versions() == [1]

    [record] = caplog.records
    assert record.getMessage().startswith("waiting: process ")
    assert record.getMessage().endswith(f" is pushing to {SERVED}")


def test_the_lock_of_a_push_that_was_killed_is_taken_over(
    fake: FakeGcs, models: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seqline")
    dead = {"host": "elsewhere", "pid": 7, "id": "x", "lease_seconds": 0.2}
    fake.put("models", "topics/.lock", json.dumps(dead).encode())
    assert push(models("a"), SERVED)["version"] == 1
    taken_over = (
        "process 7 on elsewhere did not renew its lock gs://models/topics/.lock: it is taken over"
    )
    assert taken_over in caplog.messages
    assert names(fake) == [*version(1), "models.config"]


def test_a_push_that_lost_its_lock_publishes_nothing(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    def stand_still(_: Path) -> None:
        fake.put("models", "topics/.lock", b'{"pid": "another one", "lease_seconds": 60}')

    with pytest.raises(
        UserError,
        match=(
            "This process stood still for too long while pushing to gs://models/topics, and another"
            r" one took over its lock gs://models/topics/\.lock\. Nothing was kept\. Run again\."
        ),
    ):
        push(models("a"), SERVED, verify=stand_still)

    assert Bucket(SERVED).versions() == []
    assert fake.buckets["models"]["topics/.lock"][1].startswith(b'{"pid": "another one"')


def test_answers_that_are_lost_are_asked_for_again(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    """The service does what it is asked, but its answer is lost.

    The second attempt meets the result of the first.
    """
    lost: set[str] = set()

    def loses(name: str) -> bool:
        is_first = name not in lost
        lost.add(name)
        return is_first

    fake.loses = loses
    assert push(models("a"), SERVED)["version"] == 1
    assert {"topics/.lock", "topics/1/saved_model.pb", "topics/models.config"} <= lost
    assert names(fake) == [*version(1), "models.config"]


def test_a_push_to_another_cloud_whose_answers_are_lost_is_the_same(
    models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = objects.write_object

    def write_and_lose(*arguments: Any) -> objects.Version | None:
        written = write(*arguments)
        return None if arguments[2:] == (objects.ABSENT,) else written

    served = "s3://bucket/topics"
    with s3.serve():
        monkeypatch.setattr(objects, "write_object", write_and_lose)
        monkeypatch.setattr(conditions, "check", lambda place: None)  # it would lose its own
        assert push(models("a"), served)["version"] == 1
        assert not push(models("a"), served)["pushed"]
        assert push(models("b"), served)["version"] == 2
        assert rollback(served) == {"version": 3, "rollback_of": 1}
        assert Bucket(served).versions() == [1, 2, 3]
        assert objects.read(f"{served}/3/saved_model.pb") == b"a"

        place = Bucket(served)
        with place.lock(), place.aside() as aside:
            shutil.copytree(models("a"), aside)
            objects.write_object(f"{served}/4/saved_model.pb", b"another program's")
            message = r"4/saved_model\.pb exists already: another program"
            with pytest.raises(UserError, match=message):
                place.publish(aside, 4)


def test_a_damaged_version_is_not_rolled_back_to(
    fake: FakeGcs, models: Callable[[str], Path]
) -> None:
    push(models("a"), SERVED)
    push(models("b"), SERVED)
    fake.put("models", "topics/1/variables/variables.index", b"damaged")
    with pytest.raises(
        DataError,
        match=(
            r"Version 1 in gs://models/topics cannot come back: variables/variables\.index is not"
            r" what was pushed: its SHA-256 is another\. Name another with --to\."
        ),
    ):
        rollback(SERVED)
    assert Bucket(SERVED).versions() == [1, 2]


@pytest.mark.parametrize(
    "path",
    ["gs://", "gs://models", "gs://models/", "gs:///a", "gs://models/a/../b", "gs://models/a//b"],
)
def test_a_place_that_is_none(path: str) -> None:
    with pytest.raises(
        UserError, match=r"pusher\.serving_dir 'gs://.*' names no place: gs://<bucket>/<path>\."
    ):
        versions.place_of(path)


def test_a_bucket_that_is_not_there(fake: FakeGcs) -> None:
    check(PusherParams(serving_dir=SERVED))
    with pytest.raises(DataError, match="gs://gone/topics: the bucket 'gone' does not exist"):
        check(PusherParams(serving_dir="gs://gone/topics"))
