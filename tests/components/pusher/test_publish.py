"""Pushing to a local serving_dir; under gs:// see test_bucket.py."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.pusher import PusherParams, check, writing
from components.pusher.folder import Folder, is_number
from components.pusher.publish import push
from components.pusher.versions import listing
from seqline.errors import DataError, UserError
from seqline.model.digest import EVALUATION, MANIFEST, digest_of, sha256_of_files
from serving.version_numbers import version_number
from tests.components.pusher.reading import content, labels_in, versions
from tests.support import CHECKOUT


def test_push_makes_the_next_version_and_the_same_content_twice_none(
    models: Callable[[str], Path], served: Path
) -> None:
    first = push(models("a"), served)
    assert (first["version"], first["pushed"]) == (1, True)
    assert push(models("a"), served) == first | {"pushed": False}
    assert push(models("b"), served)["version"] == 2
    assert push(models("a"), served)["version"] == 3
    assert versions(served) == [1, 2, 3]
    assert [content(served, version) for version in (1, 2, 3)] == ["a", "b", "a"]
    assert listing(served)[0]["digest"] == listing(served)[2]["digest"] == first["digest"]


def test_the_manifest_has_the_sha256_of_every_file(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served, evaluation=b'{"accuracy": 0.5}')
    manifest = json.loads((served / "1" / MANIFEST).read_text())
    digests = {
        "saved_model.pb": (
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
        ),  # sha256sum of "a"
        "variables/variables.index": (  # of "aa"
            "961b6dd3ede3cb8ecbaacbd68de040cd78eb2ed5889130cceb4c49268ea4d506"
        ),
    }

    assert manifest["files"] == digests
    assert manifest["digest"] == digest_of(digests)
    assert list(manifest["beside"]) == [EVALUATION]
    assert (served / "1" / EVALUATION).read_bytes() == b'{"accuracy": 0.5}'
    assert listing(served)[0]["accuracy"] == 0.5


def test_the_evaluation_beside_it_does_not_make_another_model(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served, evaluation=b"{}")
    assert not push(models("a"), served, evaluation=b'{"accuracy": 1}')["pushed"]
    # A version can be pushed again: files that a push added to it are not part of the model.
    assert sha256_of_files(served / "1") == sha256_of_files(models("a"))


def test_names_that_are_no_version(models: Callable[[str], Path], served: Path) -> None:
    names = ("9", "10", "tmp", ".12", "+12", "\u0663", "\u00b2", "-3", str(2**63))
    for name in names:
        (served / name).mkdir(parents=True)
    (served / "11").write_text("a file")
    assert versions(served) == [9, 10]
    assert push(models("a"), served)["version"] == 12


def test_a_push_beside_a_number_with_zeros_is_above_it(
    models: Callable[[str], Path], served: Path
) -> None:
    shutil.copytree(models("a"), served / "00000123")
    assert versions(served) == [123]
    assert push(models("b"), served)["version"] == 124
    assert versions(served) == [123, 124]

    # A version of ours keeps its record under a name with zeros.
    (served / "124").rename(served / "0124")
    assert [row["digest"] is None for row in listing(served)] == [True, False]
    assert not push(models("b"), served)["pushed"]


def test_a_push_above_the_highest_number_is_refused(
    models: Callable[[str], Path], served: Path
) -> None:
    (served / str(2**63 - 1)).mkdir(parents=True)
    with pytest.raises(UserError, match=f"holds version {2**63 - 1}, the highest that a server"):
        push(models("a"), served)


@given(st.one_of(st.text(max_size=25), st.from_regex("0*[0-9]{1,20}", fullmatch=True)))
@example("9223372036854775807")
@example("0009223372036854775808")
def test_a_number_is_what_a_server_parses(name: str) -> None:
    is_digits = name.isascii() and name.isdigit()
    assert is_number(name) == (is_digits and int(name) < 2**63)
    assert is_number(name) == (version_number(name) is not None)


def test_what_a_killed_push_left_is_no_version_and_goes(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in (".pushing-dead", ".removing-1-dead"):
        (served / name).mkdir(parents=True)
        (served / name / "saved_model.pb").write_text("half")
    (served / "models.config.dead.part").write_text("half")
    assert versions(served) == []
    push(models("a"), served)
    assert sorted(path.name for path in served.iterdir()) == [".lock", "1", "models.config"]


def test_a_copy_that_differs_is_never_a_version(
    models: Callable[[str], Path], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(source: Path, target: Path, **_: Any) -> None:
        target.write_bytes(source.read_bytes() + b"!")

    monkeypatch.setattr(writing.shutil, "copyfile", damaging)
    with pytest.raises(
        DataError,
        match=(
            r"is not the same: saved_model\.pb is another\. Is the disk sound\? Nothing was pushed"
        ),
    ):
        push(models("a"), served)
    assert sorted(path.name for path in served.iterdir()) == [".lock"]


def test_a_copy_that_is_refused_is_never_a_version(
    models: Callable[[str], Path], served: Path
) -> None:
    def refuse(folder: Path) -> None:
        assert (folder / "saved_model.pb").read_text() == "b"
        raise DataError("does not load")

    push(models("a"), served)
    with pytest.raises(DataError, match="does not load"):
        push(models("b"), served, verify=refuse)
    assert sorted(path.name for path in served.iterdir()) == [".lock", "1", "models.config"]


PUSH = (
    "import sys; from components.pusher.publish import push; print(push(sys.argv[1], sys.argv[2],"
    " keep_versions=None)['version'])"
)


def pushing(model: Path, served: Path) -> subprocess.Popen[str]:
    code = PUSH.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, model, served],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
    )


def test_pushes_at_once_as_processes_all_land_without_a_gap(
    models: Callable[[str], Path], served: Path
) -> None:
    processes = [pushing(models(name), served) for name in "abcd"]
    landed = sorted(int(process.communicate(timeout=60)[0]) for process in processes)
    assert landed == versions(served) == [1, 2, 3, 4]
    assert sorted(content(served, version) for version in landed) == list("abcd")
    assert labels_in(served) == {"stable": 4}


def test_a_push_that_waits_says_for_whom(
    models: Callable[[str], Path], served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "seqline")
    with Folder(served).lock():
        waiting = threading.Thread(target=push, args=(models("a"), served))
        waiting.start()
        while not caplog.records:
            waiting.join(0.01)
        assert versions(served) == []
    waiting.join()
    assert versions(served) == [1]
    [record] = caplog.records
    assert record.getMessage().startswith(f"waiting: process {os.getpid()} on ")
    assert record.getMessage().endswith(f" is pushing to {served}")


def test_killed_at_random_moments_a_reader_never_sees_a_part() -> None:
    script = [
        sys.executable,
        "-m",
        "tests.soak.push_kills",
        "--kills=5",
        "--megabytes=16",
    ]

    done = subprocess.run(
        script,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert (measured["kills"], measured["partial_versions_seen"], measured["wrong"]) == (5, 0, [])
    assert measured["reader_checks"] > 0


# What is refused


def test_symlinks_in_a_model_are_refused(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (models("a") / "assets").symlink_to(tmp_path)
    with pytest.raises(
        UserError,
        match=(
            r"models/a/assets is a symlink to .*; a model holds files only\. Replace it with the"
            r" file itself\."
        ),
    ):
        push(models("a"), served)

    os.mkfifo(models("b") / "pipe")
    with pytest.raises(UserError, match="models/b/pipe is neither a file nor a folder"):
        push(models("b"), served)
    assert not served.exists()


def test_a_serving_dir_that_hangs_on_something_else_is_refused(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    served.mkdir()
    (tmp_path / "link").symlink_to(served)
    for path, message in [
        (
            f"{tmp_path}/link",
            (
                f"pusher.serving_dir '{tmp_path}/link' is a symlink; name the folder itself,"
                f" '{served}'."
            ),
        ),
        (
            f"{tmp_path}/x/../served",
            f"pusher.serving_dir '{tmp_path}/x/../served' goes up by '..'; write it as '{served}'.",
        ),
        ("", "pusher.serving_dir '' names no folder. Name one with --set pusher.serving_dir=..."),
        (
            str(tmp_path),
            (
                f"pusher.serving_dir {str(tmp_path)!r} and the model {str(models('a'))!r} lie in"
                " one another. Name another folder."
            ),
        ),
        (
            str(models("a") / "in"),
            (
                f"'{models('a')}/in' and the model {str(models('a'))!r} lie in one another. Name"
                " another folder."
            ),
        ),
    ]:
        with pytest.raises(UserError) as raised:
            push(models("a"), path)
        assert str(raised.value).endswith(message)

    (served / "3").symlink_to(models("a"))
    with pytest.raises(
        UserError, match=r"served/3 is a symlink to .*\. A version must be a folder of its own"
    ):
        push(models("a"), served)


def test_serving_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        check(PusherParams(serving_dir=str(tmp_path / "file" / "served")))


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a:predict", "\u00fc"])
def test_a_model_name_is_a_part_of_a_url(name: str) -> None:
    with pytest.raises(ValueError, match="should consist of letters, digits"):
        PusherParams(model_name=name)
