"""Copies of a serving_dir in an object store: the real clients against moto and our own fake."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from serving import mirror
from serving.config import ModelConfig
from serving.mirror import Mirrors
from serving.remote import Object, Store
from serving.versions import AVAILABLE, END, ServedModel, Version, Versions
from tests.support.fake_cloud.gcs import FakeGcs
from tests.support.served import half_plus, serving
from tests.support.served_bucket import FLAG, files, files_of, newest, push, remove


def test_versions_come_and_go_whole(s3: Any) -> None:
    push(s3, "m/1", "one")
    s3.put_object(Bucket="bucket", Key="m/models.config", Body=b"x")
    mirrors = Mirrors()
    folder = mirrors.folder("s3://bucket/m/", FLAG)
    assert files(folder) == {}

    # The second push is on its way: it has no saved_model.pb yet.
    s3.put_object(Bucket="bucket", Key="m/2/variables/variables.index", Body=b"two")
    assert mirrors.poll(newest(1), [folder]) == {"s3://bucket/m": ""}
    one = {"1/saved_model.pb": "one", "1/variables/variables.index": "one"}
    assert files(folder) == one

    push(s3, "m/2", "two")
    two = {"2/saved_model.pb": "two", "2/variables/variables.index": "two"}
    mirrors.poll(newest(2), [folder])
    assert files(folder) == one | two

    remove(s3, "m/2")
    push(s3, "m/1", "another")
    mirrors.poll(newest(2), [folder])
    assert files(folder) == dict.fromkeys(one, "another")
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted(
        ["lock", folder.name, f"{folder.name}.json"]
    )


def test_a_path_is_taken_to_the_letter(s3: Any) -> None:
    push(s3, "a b/c#d?e%41/1", "one")
    mirrors = Mirrors()
    folder = mirrors.folder("s3://bucket/a b/c#d?e%41", FLAG)
    assert mirrors.poll(newest(1), [folder]) == {"s3://bucket/a b/c#d?e%41": ""}
    assert set(files(folder).values()) == {"one"}


def test_of_several_models_each_is_copied_or_the_named_one(s3: Any) -> None:
    for version in ("all/a/1", "all/a/00002", "all/a/2", "all/b/7", "all/b/x", "all/c/saved"):
        push(s3, version)
    # A console's marks for folders.
    for name in ("all/a/2/", "all/a/2/variables/", "all/"):
        s3.put_object(Bucket="bucket", Key=name)

    mirrors = Mirrors()
    folder = mirrors.folder("s3://bucket/all", FLAG)
    assert mirrors.models("s3://bucket/all") == ["a", "b"]
    assert mirrors.poll(newest(1), [folder]) == {"s3://bucket/all": ""}
    assert {"/".join(name.split("/")[:2]) for name in files(folder)} == {"a/2", "b/7"}

    chosen = Mirrors()
    folder = chosen.folder("s3://bucket/all", FLAG, "b")
    chosen.poll(newest(1), [folder])
    assert {name.partition("/")[0] for name in files(folder)} == {"b"}


def test_a_start_finds_what_was_copied_and_two_servers_share_nothing(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(s3, "m/1", "one")
    push(s3, "m/2", "two")
    mirrors = Mirrors()
    folder = mirrors.folder("s3://bucket/m", FLAG)
    mirrors.poll(newest(2), [folder])
    other = Mirrors().folder("s3://bucket/m", FLAG)
    assert (folder.parent.name, other.parent.name) == ("0", "1")

    os.close(mirrors.lock)  # as if its server had ended
    (folder / "2" / "saved_model.pb").write_bytes(b"t")  # a full disk, say
    (folder / "3").mkdir()
    (folder.parent / "of_another_place").mkdir()
    fetched = list[str]()
    download = Store.download

    def counted(store: Store, objects: list[Object], target: Path) -> None:
        fetched.extend(each.name for each in objects)
        download(store, objects, target)

    monkeypatch.setattr(Store, "download", counted)
    again = Mirrors()
    assert again.folder("s3://bucket/m", FLAG) == folder
    assert sorted(path.name for path in folder.iterdir()) == ["1"]
    again.poll(newest(2), [folder])
    assert fetched == ["m/2/saved_model.pb"[2:], "2/variables/variables.index"]
    assert files(folder)["2/saved_model.pb"] == "two"
    assert not (folder.parent / "of_another_place").exists()


def test_a_look_that_fails_removes_nothing_and_is_one_line(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(s3, "m/1", "one")
    mirrors = Mirrors()
    folder = mirrors.folder("s3://bucket/m", FLAG)
    mirrors.poll(newest(1), [folder])
    before = files(folder)

    push(s3, "m/2", "two")
    find, listings = Store.find, list[str]()

    def replaced_meanwhile(store: Store, path: str = "") -> list[Object]:
        listings.append(path)
        if path:
            push(s3, "m/2", "changed")
        return find(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "find", replaced_meanwhile)
        problem = mirrors.poll(newest(2), [folder])["s3://bucket/m"]
    assert problem == "s3://bucket/m/2 changed while it was copied."
    assert listings == ["", "2"]
    assert files(folder) == before

    s3.put_object(Bucket="bucket", Key="m/2/../../../evil", Body=b"x")
    problem = mirrors.poll(newest(1), [folder])["s3://bucket/m"]
    assert problem.startswith("s3://bucket/m cannot be read: Encountered object with invalid path")
    assert "\n" not in problem
    assert files(folder) == before
    s3.delete_object(Bucket="bucket", Key="m/2/../../../evil")
    assert mirrors.poll(newest(1), [folder]) == {"s3://bucket/m": ""}
    assert set(files(folder).values()) == {"changed"}


@pytest.mark.parametrize("name", ["1/../../evil", "1//evil", "1/./evil"])
def test_a_name_that_leaves_the_folder_is_refused(
    cloud: FakeGcs, tmp_path: Path, name: str
) -> None:
    for each in ("1/saved_model.pb", name, "2/saved_model.pb"):
        cloud.put("bucket", f"m/{each}", b"x")
    mirrors = Mirrors()
    folder = mirrors.folder("gs://bucket/m", FLAG)
    problem = mirrors.poll(newest(2), [folder])["gs://bucket/m"]
    assert problem == f"gs://bucket/m/{name} cannot be the name of a model's file. Delete it."
    assert files(folder) == {"2/saved_model.pb": "x"}
    assert not list(tmp_path.rglob("evil"))


def test_google_compares_what_comes_with_its_checksum(
    cloud: FakeGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put("bucket", "m/1/saved_model.pb", b"model")
    mirrors = Mirrors()
    folder = mirrors.folder("gs://bucket/m", FLAG)
    metadata, _ = cloud.buckets["bucket"]["m/1/saved_model.pb"]
    cloud.buckets["bucket"]["m/1/saved_model.pb"] = metadata, b"m0del"
    problem = mirrors.poll(newest(1), [folder])["gs://bucket/m"]
    assert problem.startswith("gs://bucket/m/1/saved_model.pb cannot be read: Checksum mismatch")
    assert "\n" not in problem
    assert files(folder) == {}
    cloud.buckets["bucket"]["m/1/saved_model.pb"] = metadata, b"model"
    assert mirrors.poll(newest(1), [folder]) == {"gs://bucket/m": ""}
    assert files(folder) == {"1/saved_model.pb": "model"}


@pytest.mark.slow
def test_the_server_follows_a_bucket_and_serves_on_without_it(s3: Any, tmp_path: Path) -> None:
    def upload(version: str) -> None:
        made = half_plus(tmp_path / version, float(version))
        for name in sorted(files_of(made), key=lambda name: name == mirror.SAVED_MODEL):
            s3.upload_file(str(made / name), "bucket", f"m/half/{version}/{name}")

    def answer() -> float:
        return server.answer("/v1/models/half:predict", {"instances": [0]})["predictions"][0]

    def metric(name: str) -> bool:
        return f":tensorflow:serving:{name}" in server.get("/metrics").text

    polls = "--file_system_poll_wait_seconds=0.05"
    with serving(tmp_path, "--model_base_path=s3://bucket/m", polls) as server:
        upload("1")
        server.wait("/v1/models/half", "AVAILABLE")
        assert answer() == 1.0
        upload("2")
        server.wait("/v1/models/half", "AVAILABLE", "END")
        assert answer() == 2.0

        # A model that does not load is copied, and passed over.
        s3.put_object(Bucket="bucket", Key="m/half/3/saved_model.pb", Body=b"no model")
        server.wait("/v1/models/half", "END", "AVAILABLE", "END")
        assert answer() == 2.0
        s3.delete_object(Bucket="bucket", Key="m/half/3/saved_model.pb")
        server.wait("/v1/models/half", "AVAILABLE", "END")

        for listed in s3.list_objects_v2(Bucket="bucket")["Contents"]:
            s3.delete_object(Bucket="bucket", Key=listed["Key"])
        s3.delete_bucket(Bucket="bucket")
        while not metric('remote_poll_failing{place="s3://bucket/m"} 1.0'):
            assert answer() == 2.0
        problem = "s3://bucket/m cannot be read: there is no such bucket or object."
        assert answer() == 2.0
        s3.create_bucket(Bucket="bucket")
        while not metric('remote_poll_failing{place="s3://bucket/m"} 0.0'):
            pass
        upload("4")
        while answer() != 4.0:
            pass

    lines = server.log.read_text().splitlines()
    assert len([line for line in lines if problem in line]) == 1
    assert len([line for line in lines if "s3://bucket/m can be read again" in line]) == 1
    assert not [line for line in lines if "Traceback" in line]


def test_wanted_loaded_and_failed_versions_are_copied_and_no_others() -> None:
    folder = Path("copy")
    served = ModelConfig("m", folder, num_versions=2, labels={"stable": 3})
    versions = Versions(lambda folder: pytest.fail("nothing is loaded here"))
    model = versions.models["m"] = ServedModel(served)
    everything = [1, 2, 3, 4, 5, 6, 7]
    assert versions.choose_copies()(folder, everything) == {3, 6, 7}

    # 7 does not load, so 5 is wanted, too; 1 still answers, and 2 has ended.
    model.versions = {
        1: Version(1, folder, (), AVAILABLE),
        2: Version(2, folder, (), END),
        7: Version(7, folder, (), END, error="damaged"),
    }
    assert versions.choose_copies()(folder, everything) == {1, 3, 5, 6, 7}
    # What has gone from the store is not kept.
    assert versions.choose_copies()(folder, [4, 5]) == {4, 5}
    # Of a model that was just found the newest is copied.
    assert versions.choose_copies()(Path("another"), everything) == {7}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"1": [["x"]]}', '{"1": 5}'])
def test_damaged_notes_of_a_copy_are_made_again(s3: Any, tmp_path: Path, damage: str) -> None:
    push(s3, "m/1", "one")
    folder = tmp_path / "copy"
    first = mirror.Mirror("s3://bucket/m", folder)
    first.poll(newest(1))
    first.state.write_text(damage)
    second = mirror.Mirror("s3://bucket/m", folder)
    assert files(folder) == {}
    second.poll(newest(1))
    assert set(files(folder).values()) == {"one"}
    assert json.loads(second.state.read_text()).keys() == {"1"}
