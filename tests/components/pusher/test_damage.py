"""Damaged versions and records: one line that names the file, and nothing changes."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.pusher import PUSH, PusherParams, check, stale, writing
from components.pusher.folder import HISTORY, Folder
from components.pusher.labels import MODELS_CONFIG
from components.pusher.publish import promote, push, remove_versions, rollback
from components.pusher.versions import history, listing
from seqline.errors import NotBlessedError, UserError
from seqline.model.digest import MANIFEST
from seqline.model.identity import OtherModelError
from tests.components.pusher.reading import content, labels_in, versions

DAMAGES = {
    "empty": b"",
    "cut": b'{"digest": "',
    "binary": b"\x80\xff\x00\x01",
    "deep": b"[" * 100_000,
    "huge": b'{"digest": ' + b"9" * 10_000 + b"}",
    "lacks a field": b"{}",
    "wrong type": b'{"digest": "no", "files": "no", "blessed": "no", "version": NaN}',
}


def state_of(served: Path) -> dict[str, bytes]:
    """Every file but the locks."""
    return {
        str(path.relative_to(served)): path.read_bytes()
        for path in sorted(served.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refused(served: Path, call: Callable[[], object]) -> str:
    """The one line with which a call ends that must change nothing."""
    before = state_of(served)
    with pytest.raises(UserError) as raised:
        call()
    assert state_of(served) == before
    message = str(raised.value)
    assert "\n" not in message
    return message


# models.config


@pytest.mark.parametrize("damage", [*DAMAGES, "folder"])
def test_a_damaged_models_config_stops_everything_before_the_rename(
    models: Callable[[str], Path], served: Path, damage: str
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    config = served / MODELS_CONFIG
    config.unlink()
    config.mkdir() if damage == "folder" else config.write_bytes(DAMAGES[damage])

    for call in (
        lambda: push(models("c"), served, keep_versions=1),
        lambda: push(models("b"), served),
        lambda: rollback(served),
        lambda: promote(served),
        lambda: remove_versions(served, 1, [1]),
        lambda: check(PusherParams(serving_dir=str(served))),
    ):
        assert refused(served, call).startswith(f"{config} is ")
    assert [row["version"] for row in listing(served)] == [1, 2]

    # The way out that the message names.
    config.rmdir() if damage == "folder" else config.unlink()
    assert not push(models("b"), served)["pushed"]
    assert labels_in(served) == {"stable": 2}


# manifest.json


@pytest.mark.parametrize("damage", [*DAMAGES, "folder"])
def test_a_damaged_manifest_of_the_newest_version(
    models: Callable[[str], Path], served: Path, tmp_path: Path, damage: str
) -> None:
    push(models("a"), served)
    push(models("b"), served)
    manifest = served / "2" / MANIFEST
    manifest.unlink()
    manifest.mkdir() if damage == "folder" else manifest.write_bytes(DAMAGES[damage])

    for call in (
        lambda: push(models("c"), served),
        lambda: promote(served),
        lambda: rollback(served, to=2),
        lambda: check(PusherParams(serving_dir=str(served))),
    ):
        assert refused(served, call).startswith(f"{manifest} is ")

    rows = [(row["version"], row["labels"], row["damaged"]) for row in listing(served)]
    assert rows == [(1, [], None), (2, ["stable"], MANIFEST)]

    # The way out that the message names.
    assert rollback(served) == {"version": 3, "rollback_of": 1}
    assert push(models("c"), served)["version"] == 4


def test_rollback_names_the_manifest_that_is_damaged(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "abc":
        push(models(name), served)
    (served / "2" / MANIFEST).write_text("{")
    message = refused(served, lambda: rollback(served))
    assert message.startswith(f"{served / '2' / MANIFEST} is damaged (")
    assert message.endswith(
        f"Roll back to another version (seqline rollback --serving-dir {served} --to ...), or"
        f" remove {served / '2'}."
    )
    assert rollback(served, to=1) == {"version": 4, "rollback_of": 1}


def test_a_version_with_a_damaged_manifest_is_not_removed(
    models: Callable[[str], Path], served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        push(models(name), served)
    (served / "1" / MANIFEST).write_text("{")
    push(models("d"), served, keep_versions=1)
    assert versions(served) == [1, 4]
    assert f"version 1 is kept: {served / '1' / MANIFEST} is damaged (" in caplog.text


# The files of a version


def test_a_damaged_newest_version_is_pushed_again(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    params = PusherParams(serving_dir=str(served))
    (tmp_path / PUSH).write_text(json.dumps(push(models("a"), served)))
    assert stale(tmp_path, params) is None
    (served / "1" / "variables" / "variables.index").write_text("ab")
    assert stale(tmp_path, params) == (
        f"the newest version in {served}, 1, is damaged: variables/variables.index is not what was"
        " pushed: its SHA-256 is another"
    )

    assert push(models("a"), served)["version"] == 2
    assert content(served, 2) == "a"
    assert [row["damaged"] for row in listing(served)] == ["variables/variables.index", None]


def test_a_damaged_newest_version_comes_back_from_an_equal_one(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "ab":
        push(models(name), served)
    rollback(served)
    (served / "3" / "saved_model.pb").write_text("x")
    assert rollback(served) == {"version": 4, "rollback_of": 2}
    (served / "4" / "saved_model.pb").write_text("x")
    assert rollback(served, to=2) == {"version": 5, "rollback_of": 2}
    assert content(served, 5) == "b"


def remove_a_file(version: Path) -> None:
    (version / "variables" / "variables.index").unlink()


def link_a_file(version: Path) -> None:
    (version / "saved_model.pb").unlink()
    (version / "saved_model.pb").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (shutil.rmtree, r"gives the label canary to version 2, but there is no such version: it h"),
        (remove_a_file, r"variables/variables\.index is missing\. Push it again: seqline run with"),
        (link_a_file, r"saved_model\.pb is a symlink; a version holds files only\. Push it again"),
    ],
)
def test_a_canary_that_is_not_whole_is_not_promoted(
    models: Callable[[str], Path], served: Path, damage: Callable[[Path], None], problem: str
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    if damage is shutil.rmtree:
        damage(served / "2")
    else:
        damage(served / "2")
    with pytest.raises(UserError, match=problem):
        promote(served)
    assert labels_in(served) == {"stable": 1, "canary": 2}
    assert not (served / HISTORY).exists()

    last = listing(served)[-1]
    assert (last["version"], last["labels"]) == (2, ["canary"])
    assert last["damaged"]


def test_only_the_model_that_was_blessed_is_pushed(
    models: Callable[[str], Path], served: Path
) -> None:
    with pytest.raises(NotBlessedError, match="is not the one that was validated"):
        push(models("a"), served, blessed="0" * 64)
    assert not served.exists()


def test_another_model_is_not_let_in_by_a_damaged_one(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served, name="topics")
    (served / "1" / "saved_model.pb").write_text("x")
    with pytest.raises(OtherModelError, match="they have different names"):
        push(models("b"), served, name="reviews")


# Kills and full disks


class Killed(BaseException):
    pass


def test_a_push_and_a_rollback_that_are_killed_before_the_label_moves(
    models: Callable[[str], Path], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Folder.publish

    def killed(self: Folder, aside: Path, version: int) -> None:
        publish(self, aside, version)
        raise Killed

    push(models("a"), served)
    for call in (lambda: push(models("b"), served), lambda: rollback(served)):
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "publish", killed)
            with pytest.raises(Killed):
                call()
        newest = versions(served)[-1]
        assert labels_in(served) == {"stable": newest - 1}

        # The same again.
        call()
        assert versions(served)[-1] == newest
        assert labels_in(served) == {"stable": newest}

    assert [(event.what, event.version) for event in history(served)] == [("rollback", 3)]


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond a size within the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_names_the_serving_dir(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served)
    model = models("b")
    (model / "variables" / "variables.index").write_bytes(bytes(100_000))

    def full() -> None:
        with full_disk(50_000):
            push(model, served)

    message = refused(served, full)
    assert message.startswith(f"{served} cannot be written (File too large: {served}/.pushing-")
    assert message.endswith("and run the same command again.")


def test_records_that_cannot_be_written_stop_a_push_before_the_rename(
    models: Callable[[str], Path], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(models("a"), served)
    monkeypatch.setattr(writing, "noted", lambda *_: {HISTORY: b"x" * 100_000})
    monkeypatch.setattr("components.pusher.publish.noted", lambda *_: {HISTORY: b"x" * 100_000})
    push(models("b"), served)

    def full() -> None:
        with full_disk(50_000):
            rollback(served)

    assert refused(served, full).startswith(f"{served} cannot be written (")


def test_a_serving_dir_that_goes_while_it_is_written(
    models: Callable[[str], Path], served: Path
) -> None:
    def goes(_: Path) -> None:
        shutil.rmtree(served)

    with pytest.raises(
        UserError, match=rf"^{served} cannot be written \(No such file or directory"
    ):
        push(models("a"), served, verify=goes)


# push.json and history.jsonl


@pytest.mark.parametrize("damage", [*DAMAGES, "folder", "missing"])
def test_a_damaged_push_json_has_the_stage_run_again(
    models: Callable[[str], Path], served: Path, tmp_path: Path, damage: str
) -> None:
    push(models("a"), served)
    path = tmp_path / PUSH
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(DAMAGES[damage])
    reason = stale(tmp_path, PusherParams(serving_dir=str(served)))
    assert reason
    assert reason.startswith(f"{path} ")
    assert "\n" not in reason


def test_damaged_lines_of_the_history_are_passed_over_and_named(
    models: Callable[[str], Path], served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    promote(served)
    good = (served / HISTORY).read_bytes()
    event = json.loads(good)
    wrong = [
        b"",
        good[:-20],
        b"\xff\x00",
        b"[" * 100_000,
        json.dumps({**event, "version": "2"}).encode(),
        json.dumps({**event, "what": "no"}).encode(),
        json.dumps({**event, "version": float("nan")}).encode(),
    ]
    (served / HISTORY).write_bytes(b"\n".join([*wrong, good.rstrip(b"\n")]))  # cut at its end
    assert [(event.what, event.version) for event in history(served)] == [("promote", 2)]
    named = [message.partition(" is damaged (")[0] for message in caplog.messages]
    assert named == [f"{served / HISTORY}, line {number}" for number in range(1, 8)]

    rollback(served)
    assert [event.what for event in history(served)] == ["promote", "rollback"]


def test_a_history_that_is_a_folder_stops_a_rollback_before_the_rename(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "ab":
        push(models(name), served)
    os.mkdir(served / HISTORY)
    message = refused(served, lambda: rollback(served))
    assert message == f"{served / HISTORY} is not a file. Remove it."
