"""Rolling back to an earlier version."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.pusher import PusherParams, describe, stale
from components.pusher.folder import Folder
from components.pusher.publish import push, rollback
from components.pusher.versions import listing
from seqline.errors import DataError, UserError
from seqline.model.digest import MANIFEST
from tests.components.pusher.reading import content, labels_in, versions


def test_rollback_publishes_an_earlier_version_as_the_next_one(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "abc":
        push(models(name), served, evaluation=json.dumps({"accuracy": ord(name)}).encode())
    assert rollback(served) == {"version": 4, "rollback_of": 2}
    assert content(served, 4) == "b"
    assert labels_in(served) == {"stable": 4}

    last = listing(served)[-1]
    assert last["rollback_of"] == 2
    assert last["accuracy"] == ord("b")
    assert last["digest"] == listing(served)[1]["digest"]

    # Once more goes further back, not to what was rolled back from.
    assert rollback(served) == {"version": 5, "rollback_of": 1}
    assert rollback(served, to=3) == {"version": 6, "rollback_of": 3}
    assert [content(served, version) for version in versions(served)] == list("abcbac")


def test_rollback_passes_over_versions_with_the_same_content(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "abb":
        push(models(name), served)
    with Folder(
        served
    ).lock():  # the same content twice in a row, as another program may put it there
        (served / "2").rename(served / "3")
    push(models("c"), served)
    rollback(served, to=3)
    assert rollback(served)["rollback_of"] == 1


def test_rollback_from_a_canary_takes_its_label(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    rollback(served)
    assert labels_in(served) == {"stable": 3}


def test_rollback_from_what_somebody_else_put_there(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served)
    (served / "7").mkdir()
    assert rollback(served) == {"version": 8, "rollback_of": 1}


def test_a_rollback_that_cannot_be(models: Callable[[str], Path], served: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"holds no version\. Name another with --serving-dir, or push one: seqline run my",
    ):
        rollback(served)

    push(models("a"), served)
    with pytest.raises(
        UserError,
        match=(
            "holds no earlier version with other content than the newest, 1: nothing to roll"
            " back to"
        ),
    ):
        rollback(served)

    push(models("b"), served)
    with pytest.raises(UserError, match=r"holds no version 7\. It holds 1, 2\."):
        rollback(served, to=7)
    with pytest.raises(UserError, match="has the content of version 2: nothing to do"):
        rollback(served, to=2)

    (served / "1" / "saved_model.pb").write_text("damaged")
    with pytest.raises(
        DataError, match=r"Version 1 in .* cannot come back: saved_model\.pb is not what was pushed"
    ):
        rollback(served)
    (served / "1" / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"Version 1 in .* was not pushed by seqline"):
        rollback(served, to=1)
    assert versions(served) == [1, 2]


def test_a_model_that_was_rolled_back_from_is_not_pushed_again(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    push(models("a"), served)
    pushed = push(models("b"), served)
    (tmp_path / "push.json").write_text(json.dumps(pushed))
    params = PusherParams(serving_dir=str(served))
    rollback(served)
    assert stale(tmp_path, params) is None
    again = push(models("b"), served)
    assert again == {"version": 3, "digest": pushed["digest"], "pushed": False, "rolled_back": True}
    assert describe(again | {"serving_dir": "s"}).startswith(
        "not pushed: s/3 is a rollback from this model"
    )
    assert push(models("c"), served)["version"] == 4
