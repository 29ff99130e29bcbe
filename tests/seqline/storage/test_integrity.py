"""The digests of a folder's files, and what changed in them since."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seqline.errors import UserError
from seqline.storage import integrity
from seqline.storage.integrity import Change, FileDigest, changes_in, digests_of

# As `printf abc | sha256sum` and `printf abc | openssl md5 -binary | base64` print them.
ABC = FileDigest(3, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
ABC_MD5 = FileDigest(3, "md5:kAFQmDzST7DWlj99KOF/cg==")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files and something that has no digests."""
    folder = tmp_path / "folder"
    (folder / "Split-train").mkdir(parents=True)
    (folder / "Split-train" / "x.gz").write_text("abc")
    (folder / "model").write_text("abc")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events").write_text("now")
    return folder


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff")


def settle() -> None:
    """Waits until a file that changes again gets another time, see GRAIN_NS."""
    time.sleep(2 * integrity.GRAIN_NS / 1e9)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (flip, "changed after it was written"),
        (lambda path: os.truncate(path, 1), "has 1 bytes and was written with 3"),
        (Path.unlink, "is missing"),
    ],
    ids=["flipped", "cut", "deleted"],
)
@pytest.mark.parametrize("name", ["model", "Split-train/x.gz"])
def test_a_damaged_file_is_named(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], problem: str, name: str
) -> None:
    memory = tmp_path / "memory" / "a.json"
    files = digests_of(folder, ["tensorboard"], memory)
    assert files == {"Split-train/x.gz": ABC, "model": ABC}
    for _ in range(2):
        assert changes_in(folder, files, ["tensorboard"], memory) == []

    settle()
    damage(folder / name)
    flip(folder / "tensorboard" / "events")
    for _ in range(2):  # it is not forgotten
        assert changes_in(folder, files, ["tensorboard"], memory) == [Change(name, problem)]
        assert changes_in(folder, files, ["tensorboard"]) == [Change(name, problem)]


def test_a_new_file_is_a_change_unless_its_name_begins_with_a_dot(folder: Path) -> None:
    files = digests_of(folder)
    (folder / "Split-train" / ".nfs0001").write_text("")
    assert changes_in(folder, files) == []
    (folder / "Split-train" / "y.gz").write_text("")
    assert changes_in(folder, files) == [
        Change("Split-train/y.gz", "was added after it was written")
    ]


def test_a_file_is_read_once_and_again_where_it_was_copied_or_linked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = integrity._digest

    def count(path: Path, algorithm: str) -> tuple[str, list[int] | None]:
        read.append(path.name)
        return digest(path, algorithm)

    settle()
    memory = tmp_path / "memory"
    files = digests_of(folder, memory=memory)
    monkeypatch.setattr(integrity, "_digest", count)
    assert changes_in(folder, files, memory=memory) == []
    assert read == []

    os.link(folder / "model", tmp_path / "another name")  # which changes the inode's time
    settle()
    for _ in range(2):
        assert changes_in(folder, files, memory=memory) == []
    assert read == ["model"]

    read.clear()
    assert changes_in(folder, files, memory=memory, in_full=True) == []
    assert sorted(read) == ["events", "model", "x.gz"]


def test_damage_that_kept_size_and_times_is_found_in_full_and_then_remembered(
    folder: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    settle()
    files = digests_of(folder, memory=memory)
    # The disk returns other bytes: here the memory is told that they were as expected.
    path = folder / "model"
    flip(path)
    status = path.stat()
    identity = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    with integrity.digest_cache(memory) as cache:
        cache["model"] = [*identity, ABC.digest]

    changed = [Change("model", "changed after it was written")]
    assert changes_in(folder, files, memory=memory) == []
    assert changes_in(folder, files, memory=memory, in_full=True) == changed
    assert changes_in(folder, files, memory=memory) == changed


def test_a_time_that_was_set_back_hides_nothing(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    settle()
    files = digests_of(folder, memory=memory)
    status = (folder / "model").stat()
    flip(folder / "model")
    os.utime(folder / "model", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changes_in(folder, files, memory=memory) == [
        Change("model", "changed after it was written")
    ]


def test_a_file_that_is_too_young_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    (folder / "model").write_text("abc")
    files = digests_of(folder, memory=memory)
    with integrity.digest_cache(memory) as cache:
        assert "model" not in cache
    assert changes_in(folder, files, memory=memory) == []


@pytest.mark.parametrize("content", ["", "[", "[]", '{"model": 1}'])
def test_a_damaged_memory_counts_as_empty(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "memory").write_text(content)
    files = digests_of(folder)
    flip(folder / "model")
    changes = changes_in(folder, files, memory=tmp_path / "memory")
    assert [change.name for change in changes] == ["model"]


def test_what_is_no_file_any_more_is_missing_and_never_opened(folder: Path) -> None:
    files = digests_of(folder)
    (folder / "model").unlink()
    os.mkfifo(folder / "model")
    (folder / "Split-train" / "x.gz").unlink()
    (folder / "Split-train" / "x.gz").symlink_to(folder / "nowhere")
    assert changes_in(folder, files) == [
        Change("Split-train/x.gz", "is missing"),
        Change("model", "is missing"),
    ]


def test_a_folder_behind_a_link_is_looked_into(folder: Path, tmp_path: Path) -> None:
    files = digests_of(folder)
    os.rename(folder / "Split-train", tmp_path / "on another disk")
    (folder / "Split-train").symlink_to(tmp_path / "on another disk")
    assert changes_in(folder, files) == []


def test_digests_that_a_bucket_gave_hold_in_a_folder(folder: Path) -> None:
    files = {"model": ABC_MD5, "Split-train/x.gz": FileDigest(3, "crc32c:AAAAAA==")}
    assert changes_in(folder, files, ["tensorboard"]) == []
    flip(folder / "model")
    assert [change.name for change in changes_in(folder, files, ["tensorboard"])] == ["model"]


def test_a_file_that_may_not_be_read_is_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = digests_of(folder)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)\. Give this user"):
        changes_in(folder, files)
