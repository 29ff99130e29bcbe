"""The one interface to objects: what holds for Google Cloud Storage holds for S3.

On stores that others wrote, each a process of its own, see tests/stores.
"""

import hashlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqline.errors import DataError, UserError
from seqline.storage import conditions, integrity, lease, locks, objects, s3_azure, staging
from seqline.storage.files import translate_errors
from seqline.storage.integrity import Change, FileDigest
from tests.support import CHECKOUT, s3
from tests.support.fake_cloud import gcs

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def services() -> Iterator[None]:
    with gcs.serve() as store, s3.serve(), pytest.MonkeyPatch.context() as patch:
        store.buckets["bucket"] = {}
        patch.setenv("STORAGE_EMULATOR_HOST", store.url)
        yield


@pytest.fixture(params=["gs", "s3"])
def top(request: pytest.FixtureRequest, services: None) -> str:
    """A place that no other test uses."""
    return f"{request.param}://bucket/{next(NUMBERS)}"


def test_an_object_is_written_read_and_deleted(top: str, tmp_path: Path) -> None:
    assert objects.read(f"{top}/a") is None
    assert objects.read_object(f"{top}/a") is None
    assert not objects.is_object(f"{top}/a")
    assert objects.written(f"{top}/a") is None

    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert objects.write_object(f"{top}/a", file)
    assert objects.is_object(f"{top}/a")
    assert objects.read(f"{top}/a") == b"content"
    assert objects.first_bytes(f"{top}/a", 4) == b"cont"
    assert objects.first_bytes(f"{top}/a", 40) == b"content"

    objects.download(f"{top}/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    objects.delete_object(f"{top}/a")
    objects.delete_object(f"{top}/a")
    assert list(objects.find(f"{top}/")) == []
    with pytest.raises(DataError, match="does not exist"), translate_errors(f"{top}/a"):
        objects.open_object(f"{top}/a")


def test_an_object_is_read_from_any_place(top: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_azure, "READ_BYTES", 1000)  # several requests
    content = bytes(number % 251 for number in range(5000))
    objects.write_object(f"{top}/a", content)

    with objects.open_object(f"{top}/a") as file:
        assert file.read(3) == content[:3]
        assert file.seek(-2, 2) == 4998
        assert file.read() == content[-2:]
        assert file.read() == b""
        file.seek(1500)
        assert file.read(2000) == content[1500:3500]
        file.seek(0)
        assert file.read() == content


def test_a_file_in_parts_is_the_same_file(top: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * (9 << 12)
    (tmp_path / "file").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_azure, "PART_BYTES", 5 << 20)  # S3's smallest part
        objects.write_object(f"{top}/a", tmp_path / "file")

    objects.copy_object(f"{top}/a", f"{top}/b")
    objects.download(f"{top}/b", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert [size for _, size, _ in objects.find(f"{top}/")] == [len(content)] * 2


def test_objects_are_found_by_the_beginning_of_their_names(top: str) -> None:
    names = ["a", "b#1%20 [x]*?.csv", "b/c", "bb", "ünï"]
    for name in names:
        objects.write_object(f"{top}/{name}", name.encode())

    found = sorted(objects.find(f"{top}/"))
    assert [path for path, *_ in found] == [f"{top}/{name}" for name in names]
    assert [objects.read(path) for path, *_ in found] == [name.encode() for name in names]
    assert [size for _, size, _ in found] == [len(name.encode()) for name in names]
    assert sorted(path for path, *_ in objects.find(f"{top}/b")) == [
        f"{top}/{name}" for name in names if name.startswith("b")
    ]

    digests = {path: digest for path, _, digest in found}
    objects.write_object(f"{top}/a", b"other")
    after = {path: digest for path, _, digest in objects.find(f"{top}/")}
    assert {path for path in after if after[path] != digests[path]} == {f"{top}/a"}


def test_the_newest_object_is_the_one_that_was_written_last(top: str) -> None:
    for name in ("2/record", "1/record", "1/deep/record", "3/other"):
        objects.write_object(f"{top}/{name}", b"x")
    assert objects.newest(f"{top}/", "/none") is None
    # S3 keeps whole seconds: of two in one second it is the last name.
    assert objects.newest(f"{top}/", "/record") in (f"{top}/1/record", f"{top}/2/record")


def test_a_write_has_a_condition(top: str) -> None:
    first = objects.write_object(f"{top}/a", b"1", objects.ABSENT)
    assert first
    assert objects.write_object(f"{top}/a", b"2", objects.ABSENT) is None
    second = objects.write_object(f"{top}/a", b"3", first)
    assert second
    assert objects.write_object(f"{top}/a", b"4", first) is None
    assert objects.read_object(f"{top}/a") == (b"3", second)

    objects.give_up(f"{top}/a", first)
    assert objects.read(f"{top}/a") == b"3"
    objects.give_up(f"{top}/a", second)
    assert not objects.read(f"{top}/a")


def test_a_folder_that_a_console_made_is_no_object(services: None) -> None:
    client = s3.client()
    for name, body in (("marks/", b""), ("marks/a", b"1"), ("marks/empty", b"")):
        client.put_object(Bucket="bucket", Key=name, Body=body)
    assert [path for path, *_ in objects.find("s3://bucket/marks")] == [
        "s3://bucket/marks/a",
        "s3://bucket/marks/empty",
    ]


def test_what_came_is_compared_with_what_was_uploaded(services: None, tmp_path: Path) -> None:
    path = "s3://bucket/damaged"
    s3.client().put_object(
        Bucket="bucket", Key="damaged", Body=b"other", Metadata={"sha256": 64 * "0"}
    )
    with pytest.raises(DataError, match=rf"{path} cannot be downloaded: its bytes are not those"):
        objects.download(path, tmp_path / "copy")


def test_an_object_that_is_replaced_while_it_is_read_is_refused(services: None) -> None:
    path = "s3://bucket/replaced"
    objects.write_object(path, b"a" * 100)
    file = objects.open_object(path)
    objects.write_object(path, b"b" * 100)
    with pytest.raises(DataError, match=f"{path} changed while it was read"):
        file.read()


# Locks

COUNTING = """
import sys
from seqline.storage import locks, objects, staging
top, times = sys.argv[1], int(sys.argv[2])
for _ in range(times):
    with locks.held(staging.path_of(f"{top}/lock"), "counting"):
        count = int(objects.read(f"{top}/count") or 0)
        objects.write_object(f"{top}/count", str(count + 1).encode())
"""
DYING = """
import os, sys
from seqline.storage import locks, staging
with locks.held(staging.path_of(f"{sys.argv[1]}/lock"), "dying", seconds=3600):
    os._exit(9)
"""


def python(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=CHECKOUT)


def test_two_processes_hold_a_lock_in_turn_and_that_of_a_dead_one_is_taken_over(top: str) -> None:
    assert python(DYING, top).wait() == 9
    counting = [python(COUNTING, top, "20") for _ in range(2)]
    assert [process.wait() for process in counting] == [0, 0]
    assert objects.read(f"{top}/count") == b"40"
    assert not objects.read(f"{top}/lock")


def test_a_lock_of_another_machine_is_taken_over_after_its_lease(top: str) -> None:
    holder = b'{"host": "elsewhere", "pid": 1, "processes": "others", "lease_seconds": 0.2}'
    objects.write_object(f"{top}/lock", holder)
    place = staging.path_of(f"{top}/lock")
    with locks.held(place, "x", seconds=0.2) as renew:
        renew()
        assert locks.is_held(place, place)
        with pytest.raises(locks.HeldError), locks.held(place, "x", waits=False):
            pass
        objects.write_object(f"{top}/lock", holder)
        with pytest.raises(UserError, match="another one took over its lock"):
            renew()

    # It is not given up: it is another one's.
    assert objects.read(f"{top}/lock") == holder


def test_a_lost_answer_to_a_write_that_won_is_found_out(
    top: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = objects.write_object

    def write_and_lose(*arguments: Any) -> None:
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "write_object", write_and_lose)
        held = lease.Lease(f"{top}/lock", "x", 60)
        held.acquire(waits=False)
        held.renew()
    held.release()
    assert not objects.read(f"{top}/lock")


# Conditions


def test_a_store_is_asked_once_whether_it_keeps_conditions(services: None) -> None:
    conditions.check("s3://bucket/asked/locks")
    conditions.check("s3://bucket/asked/locks/")
    assert [path for path, *_ in objects.find("s3://bucket/asked/")] == [
        f"s3://bucket/asked/locks/{conditions.MARK}"
    ]
    conditions.check("gs://bucket/asked")
    assert list(objects.find("gs://bucket/asked")) == []


@pytest.mark.parametrize("kept", [[], [objects.ABSENT]])
def test_a_store_that_keeps_no_conditions_is_refused(
    services: None, monkeypatch: pytest.MonkeyPatch, kept: list[objects.Version]
) -> None:
    write = objects.write_object

    def write_anyhow(path: str, content: bytes, version: objects.Version | None = None) -> Any:
        return write(path, content, version if version in kept else None)

    monkeypatch.setattr(objects, "write_object", write_anyhow)
    does = "replace one version of an object" if kept else "create one object"
    place = f"s3://bucket/refused-{len(kept)}"
    message = f"^{place}: this store lets 4 of 4 writers {does}, so that two runs could hold"
    with pytest.raises(UserError, match=message), locks.held(staging.path_of(f"{place}/lock"), "x"):
        pass
    assert list(objects.find(place)) == []


# Digests of artifacts


def test_a_copy_of_an_artifact_is_whole_and_a_changed_object_is_not(
    services: None, tmp_path: Path
) -> None:
    top = staging.path_of("s3://bucket/digests")
    (top / "first" / "a").write_text("abc")
    files = integrity.digests_of(top / "first")
    etag = hashlib.md5(b"abc").hexdigest()
    assert files == {"a": FileDigest(3, f"etag:{etag}:{hashlib.sha256(b'abc').hexdigest()}")}

    # As a copy by other tools has it, that take over what the object says about itself or do not.
    copied = FileDigest(3, files["a"].digest.replace(etag, "0"))
    objects.copy_object(str(top / "first" / "a"), str(top / "second" / "a"))
    s3.client().put_object(Bucket="bucket", Key="digests/third/a", Body=b"abc")
    for folder in ("first", "second", "third"):
        assert integrity.changes_in(top / folder, files) == []
        assert integrity.changes_in(top / folder, {"a": copied}, in_full=True) == []

    (tmp_path / "a").write_text("abc")
    assert integrity.changes_in(tmp_path, files) == []
    assert integrity.changes_in(top / "first", integrity.digests_of(tmp_path)) == []

    changed = [Change("a", integrity.CHANGED)]
    (tmp_path / "a").write_text("abd")
    assert integrity.changes_in(tmp_path, files) == changed
    (top / "first" / "a").write_text("abd")
    assert integrity.changes_in(top / "first", files) == changed
    s3.client().put_object(Bucket="bucket", Key="digests/first/a", Body=b"abd")
    assert integrity.changes_in(top / "first", files) == changed


# Errors


@pytest.mark.parametrize(
    ("place", "variables", "message"),
    [
        ("s3://nobody/a", {}, "the bucket 'nobody' does not exist. Correct the name, or make it"),
        (
            "s3://bucket/a",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "S3 does not answer (error sending request to http://127.0.0.1:1/bucket/a). Check the "
            "network and AWS_ENDPOINT_URL, and run again.",
        ),
        ("az://container/a", {}, "no access to the container 'container' (Account must be"),
        (
            "az://container/a",
            {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "?"},
            "(Invalid Access Key: Invalid symbol 63, offset 0). Set AZURE_STORAGE_ACCOUNT_NAME",
        ),
        ("s3:///a", {}, "'s3:///a' names no object: s3://<bucket>/<path>."),
    ],
)
def test_an_error_of_a_service_is_one_line(
    services: None,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    variables: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setattr(s3_azure, "FIRST_ANSWER_SECONDS", 0.5)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught, translate_errors(place):
        objects.read(place)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("s3://b/x", None),
        ("/a/b", None),
        ("a: b/c", None),
        ("S3://b/x", "is under S3://, which cannot be reached: name a folder, or a place under"),
        ("abfs://b/x", "is under abfs://, which cannot be reached: name a folder, or a place"),
        ("gs:/b/x", "has one slash after its scheme; write gs://<bucket>/<path>"),
    ],
)
def test_a_place_that_cannot_be_reached_is_told(place: str, problem: str | None) -> None:
    found = objects.problem_of(place)
    assert (found or "").startswith(problem or "")
    assert (found is None) == (problem is None)
    if problem:
        with pytest.raises(UserError, match=r"write gs://|cannot be reached"):
            staging.path_of(place)
