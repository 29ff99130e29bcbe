"""The lock in a folder; under gs:// see test_gcs.py."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seqline.storage import locks
from tests.support import CHECKOUT


def test_one_owner_at_a_time_who_is_named(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a"
    with locks.held(path, "making trainer 1"):
        message = rf"^process {os.getpid()} on .* is making trainer 1 \(its lock is {path}\)\. Wait"
        with (
            pytest.raises(locks.HeldError, match=message) as raised,
            locks.held(path, "making trainer 2", waits=False),
        ):
            pass
        assert raised.value.holder["pid"] == os.getpid()
        assert locks.is_held(path, path)

    assert path.read_text() == ""
    assert not locks.is_held(path, path)

    with locks.held(path, "making trainer 2", waits=False) as renew:
        renew()


def test_a_process_that_waits_says_for_whom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "seqline")
    entered = threading.Event()

    def wait() -> None:
        with locks.held(tmp_path / "a", "making trainer 2"):
            entered.set()

    with locks.held(tmp_path / "a", "making trainer 1"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not caplog.records:
            time.sleep(0.01)
        assert not entered.is_set()
    waiting.join()
    assert entered.is_set()
    [message] = caplog.messages
    assert message.startswith(f"waiting: process {os.getpid()} on ")
    assert message.endswith(" is making trainer 1")


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from seqline.storage import locks\n"
        "with locks.held(pathlib.Path(sys.argv[1]), 'x'): os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], cwd=CHECKOUT, check=False)
    assert died.returncode == 9
    assert json.loads((tmp_path / "a").read_text())["doing"] == "x"
    for on_shared_disk in (False, True):
        with locks.held(tmp_path / "a", "x", waits=False, on_shared_disk=on_shared_disk):
            assert json.loads((tmp_path / "a").read_text())["pid"] == os.getpid()


def test_a_lock_whose_file_was_deleted_meanwhile_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    entered = threading.Event()

    def wait() -> None:
        with locks.held(path, "x"):
            entered.set()
            assert locks.is_held(path, path)

    with path.open("w") as deleted:
        fcntl.flock(deleted, fcntl.LOCK_EX)
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        path.unlink()
        assert not entered.is_set()
    waiting.join()
    assert entered.is_set()
    assert path.exists()


def test_a_full_disk_can_still_be_locked(tmp_path: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4096", "none", str(tmp_path)],
        capture_output=True,
        text=True,
    )

    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")

    try:
        (tmp_path / "a").touch()
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "full").write_bytes(b"x" * 10_000)
        with locks.held(tmp_path / "a", "cleaning up"):
            assert locks.is_held(tmp_path / "a", tmp_path / "a")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
