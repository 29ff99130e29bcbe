"""The lock under gs://; in a folder see test_locks.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqline.errors import UserError
from seqline.storage import lease, locks
from tests.support import CHECKOUT
from tests.support.fake_cloud.gcs import FakeGcs


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def test_a_lock_is_one_owners(place: Path, cloud: FakeGcs) -> None:
    path = place / "lock"
    with locks.held(path, "making trainer 1") as renew:
        message = rf"process {os.getpid()} on .* is making trainer 1 \(its lock is {path}\)"
        with (
            pytest.raises(locks.HeldError, match=message),
            locks.held(path, "making trainer 2", waits=False),
        ):
            pass

        before = cloud.generation
        renew()
        assert cloud.generation > before

    assert names(cloud) == []
    with locks.held(path, "making trainer 2", waits=False):
        assert names(cloud) == ["some/place/lock"]


def test_a_killed_process_of_this_machine_has_no_lock(place: Path, cloud: FakeGcs) -> None:
    code = (
        "import os, sys; from seqline.storage import locks, staging\n"
        "with locks.held(staging.path_of(sys.argv[1]), 'x', seconds=3600): os._exit(9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", code, str(place / "lock")], cwd=CHECKOUT, check=False
    )
    assert (dead.returncode, names(cloud)) == (9, ["some/place/lock"])
    with locks.held(place / "lock", "x", seconds=3600) as renew:
        assert json.loads(cloud.buckets["bucket"]["some/place/lock"][1])["pid"] == os.getpid()
        renew()


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        {"host": "elsewhere", "pid": 1, "processes": "others", "lease_seconds": 0.2},
        "no owner that we know",
    ],
)
def test_an_owner_elsewhere_that_does_not_renew_is_dead(
    place: Path, cloud: FakeGcs, content: object, waits: bool
) -> None:
    (place / "lock").write_text(json.dumps(content))
    with locks.held(place / "lock", "x", waits=waits, seconds=0.2):
        assert json.loads((place / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_was_taken_over_is_lost_and_left_to_its_new_owner(
    place: Path, cloud: FakeGcs
) -> None:
    with locks.held(place / "lock", "making trainer 1") as renew:
        (place / "lock").write_text("another's")
        lost = "while making trainer 1, and another one took over its lock .*lock. Nothing was kept"
        with pytest.raises(UserError, match=lost):
            renew()
    assert (place / "lock").read_text() == "another's"


def test_an_answer_that_gets_lost_is_no_other_owner(place: Path, cloud: FakeGcs) -> None:
    lost: list[str] = []

    def loses(name: str) -> bool:
        if lost:
            return False
        lost.append(name)
        return True

    cloud.loses = loses
    with locks.held(place / "lock", "x", waits=False):
        assert lost


@pytest.mark.parametrize(
    ("promised", "seconds"),
    [(0.2, 0.2), (90, 90.0), *((value, 60.0) for value in (None, "9", True, -1, 0, 1e9, 10**400))],
)
def test_a_lock_that_promises_no_lease_has_the_default_one(promised: Any, seconds: float) -> None:
    assert lease.lease_seconds({"lease_seconds": promised}, 60.0) == seconds
    assert lease.lease_seconds({"lease_seconds": float("nan")}, 60.0) == 60.0
    assert lease.lease_seconds({"lease_seconds": float("inf")}, 60.0) == 60.0
