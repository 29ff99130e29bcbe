import os
import socket
from pathlib import Path

import pytest

from seqline.errors import UserError
from seqline.storage import locks
from seqline.storage.atomic import open_regular, writing_local

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def plant(kind: str, path: Path, precious: Path) -> None:
    """Puts something at a path where seqline would write."""
    path.parent.mkdir(exist_ok=True)
    if kind == "symbolic link":
        path.symlink_to(precious)
    elif kind == "hard link":
        path.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "folder", "socket"])
def test_what_is_no_file_is_named_and_left_as_it_is(kind: str, tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "log.txt"
    precious.write_text("mine")
    plant(kind, path, precious)

    with pytest.raises(UserError) as raised:
        open_regular(path, APPEND)

    assert str(raised.value).startswith(f"{path} is a ")
    assert kind in str(raised.value)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("kind", ["symbolic link", "pipe", "folder", "socket"])
def test_a_lock_behind_which_something_else_is_is_refused(kind: str, tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "locks" / "retrain-model"
    precious.write_text("mine")
    plant(kind, path, precious)

    with pytest.raises(UserError, match=rf"^{path} is a .*{kind}"), locks.held(path, "making"):
        pass
    with pytest.raises(UserError, match=rf"^{path} is a .*{kind}"):
        locks.is_held(path, path)
    assert precious.read_text() == "mine"


def test_a_lock_that_has_another_name_gets_a_file_of_its_own(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "locks" / "retrain-model"
    precious.write_text("mine")
    plant("hard link", path, precious)

    with locks.held(path, "making trainer 1"):
        assert '"doing": "making trainer 1"' in path.read_text()
        with pytest.raises(locks.HeldError), locks.held(path, "making", waits=False):
            pass

    assert precious.read_text() == "mine"
    assert path.stat().st_nlink == 1


def test_a_file_is_opened(tmp_path: Path) -> None:
    descriptor = open_regular(tmp_path / "log.txt", APPEND)
    os.write(descriptor, b"line\n")
    os.close(descriptor)
    assert (tmp_path / "log.txt").read_text() == "line\n"


def test_an_error_without_a_name_gets_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(OSError, match=r"run\.json") as raised, writing_local(path):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
