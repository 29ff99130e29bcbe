import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.pusher import PusherParams, check, describe, labels, publish, run, stale
from components.pusher.folder import Folder, is_number
from components.pusher.publish import listing, promote, push, rollback
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.model.digest import EVALUATION, MANIFEST, digest_of, sha256_of_files
from tests.support import CHECKOUT
from tests.support.evaluations import write_evaluation


@pytest.fixture
def models(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder of files, of which each content is another model."""

    def make(content: str) -> Path:
        folder = tmp_path / "models" / content
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_text(content)
        (folder / "variables" / "variables.index").write_text(content * 2)
        return folder

    return make


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return tmp_path / "served"


def versions(served: Path) -> list[int]:
    return Folder(served).versions()


def content(served: Path, version: int) -> str:
    return (served / str(version) / "saved_model.pb").read_text()


def labels_in(served: Path, name: str = "seqline") -> dict[str, int]:
    found = labels.read((served / "models.config").read_bytes(), name, "here")
    assert found
    return dict(found.labels)


def infra(model: Path, folder: Path, **changes: Any) -> Path:
    """An InfraBlessing of a model."""
    folder.mkdir(exist_ok=True)
    blessing = {
        "blessed": True,
        "refusals": [],
        "server": "none",
        "asked": False,
        "digest": digest_of(sha256_of_files(model)),
    }
    (folder / "blessing.json").write_text(json.dumps(blessing | changes))
    return folder


# Pushing


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
    # A version is a model, too: what a push put beside its files is none of them.
    assert sha256_of_files(served / "1") == sha256_of_files(models("a"))


def test_names_that_are_no_version(models: Callable[[str], Path], served: Path) -> None:
    for name in ("9", "10", "tmp", ".12", "007", "\u0663", "\u00b2", "-3", "99999999999999999999"):
        (served / name).mkdir(parents=True)
    (served / "11").write_text("a file")
    assert versions(served) == [9, 10]
    assert push(models("a"), served)["version"] == 12


@given(st.text(max_size=25))
def test_a_number_is_what_a_server_parses(name: str) -> None:
    assert is_number(name) == (
        name.isascii() and name.isdigit() and str(int(name)) == name and int(name) < 2**63
    )


def test_what_a_killed_push_left_is_no_version_and_goes(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in (".pushing-dead", ".removing-1-dead"):
        (served / name).mkdir(parents=True)
        (served / name / "saved_model.pb").write_text("half")
    (served / ".models.config-dead").write_text("half")
    assert versions(served) == []
    push(models("a"), served)
    assert sorted(path.name for path in served.iterdir()) == [".lock", "1", "models.config"]


def test_a_copy_that_differs_is_never_a_version(
    models: Callable[[str], Path], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(source: Path, target: Path, **_: Any) -> None:
        target.write_bytes(source.read_bytes() + b"!")

    monkeypatch.setattr(publish.shutil, "copyfile", damaging)
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
        str(CHECKOUT / "benchmarks" / "push_kills.py"),
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
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["kills"], found["partial_versions_seen"], found["wrong"]) == (5, 0, [])
    assert found["reader_checks"] > 0


# Which versions stay


def test_the_last_ones_stay(models: Callable[[str], Path], served: Path) -> None:
    for name in "abcde":
        push(models(name), served, keep_versions=3)
    assert versions(served) == [3, 4, 5]
    push(models("f"), served, keep_versions=None)
    assert versions(served) == [3, 4, 5, 6]
    push(models("g"), served, keep_versions=1)
    assert versions(served) == [7]


def test_what_a_label_names_and_what_is_not_ours_stays(
    models: Callable[[str], Path], served: Path
) -> None:
    (served / "1").mkdir(parents=True)
    push(models("a"), served)
    for name in "bcd":
        push(models(name), served, label="canary", keep_versions=1)
    assert versions(served) == [1, 2, 5]
    assert labels_in(served) == {"stable": 2, "canary": 5}


# Labels


def test_models_config_is_tensorflow_servings(models: Callable[[str], Path], served: Path) -> None:
    push(models("a"), served, model_name="topics", served_from="/models/topics")
    assert text_format.Parse(
        (served / "models.config").read_text(), ModelServerConfig()
    ) == text_format.Parse(
        """model_config_list { config {
            name: "topics" base_path: "/models/topics" model_platform: "tensorflow"
            model_version_policy { latest { num_versions: 2 } }
            version_labels { key: "stable" value: 1 } } }""",
        ModelServerConfig(),
    )


def test_the_policy_has_room_for_the_version_that_comes_next(
    models: Callable[[str], Path], served: Path
) -> None:
    """TensorFlow Serving moves a label only to a version that it has loaded, and must not unload
    the stable one for it.
    """

    def num_versions() -> int:
        config = text_format.Parse((served / "models.config").read_text(), ModelServerConfig())
        return config.model_config_list.config[0].model_version_policy.latest.num_versions

    push(models("a"), served)
    found = [num_versions()]
    for name in "bcd":
        push(models(name), served, label="canary")
        found.append(num_versions())
    promote(served)
    assert [*found, num_versions()] == [2, 3, 4, 5, 2]


def test_canary_and_promotion(models: Callable[[str], Path], served: Path) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    assert labels_in(served) == {"stable": 1, "canary": 2}
    assert promote(served) == 2
    assert labels_in(served) == {"stable": 2}
    with pytest.raises(
        UserError, match=r"has no canary to promote\. Push one with --set pusher\.label=canary\."
    ):
        promote(served)
    push(models("c"), served, label="canary")
    push(models("d"), served)
    assert labels_in(served) == {"stable": 4}  # a canary that is older than stable is none


def test_the_same_content_again_under_another_label(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    assert not push(models("b"), served)["pushed"]
    assert labels_in(served) == {"stable": 2}


def test_other_models_in_the_configuration_stay(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served, model_name="other", served_from="/other")
    push(models("b"), served)
    assert labels_in(served, "other") == {"stable": 1}
    assert labels_in(served) == {"stable": 2}
    (served / "models.config").write_text("model_config_list {")
    with pytest.raises(
        UserError, match=r"models\.config: no ModelServerConfig of TensorFlow Serving \("
    ):
        push(models("c"), served)


# Rolling back


def test_rollback_publishes_an_earlier_version_as_the_next_one(
    models: Callable[[str], Path], served: Path
) -> None:
    for name in "abc":
        push(models(name), served, evaluation=json.dumps({"accuracy": ord(name)}).encode())
    assert rollback(served) == {"version": 4, "rollback_of": 2}
    assert content(served, 4) == "b"
    assert labels_in(served) == {"stable": 4}
    last = listing(served)[-1]
    assert (last["rollback_of"], last["accuracy"], last["digest"]) == (
        2,
        ord("b"),
        listing(served)[1]["digest"],
    )
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
        match=r"holds no version\. Name another with --serving-dir, or push one: seqline run",
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
    with pytest.raises(UserError, match="holds no version 7; those there are 1, 2"):
        rollback(served, to=7)
    with pytest.raises(UserError, match="has the content of version 2: nothing to do"):
        rollback(served, to=2)
    (served / "1" / "saved_model.pb").write_text("damaged")
    with pytest.raises(
        DataError, match=r"Version 1 in .* is not what was pushed: saved_model\.pb is another"
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
            r" there\."
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
                " one another; name another folder."
            ),
        ),
        (
            str(models("a") / "in"),
            (
                f"'{models('a')}/in' and the model {str(models('a'))!r} lie in one another; name"
                " another folder."
            ),
        ),
    ]:
        with pytest.raises(UserError) as raised:
            push(models("a"), path)
        assert str(raised.value).endswith(message)
    (served / "3").symlink_to(models("a"))
    with pytest.raises(
        UserError, match=r"served/3 is a symlink to .*; a version must be a folder of its own"
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


# The component


def test_a_refused_model_is_not_pushed(
    models: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    def pushed(refusals: list[str], infra_blessing: Path) -> None:
        write_evaluation(tmp_path, refusals)
        saved_model = tmp_path / "exported"
        saved_model.mkdir(exist_ok=True)
        if not (saved_model / "saved_model").exists():
            models("a").rename(saved_model / "saved_model")
        params = PusherParams(serving_dir=str(served))
        run(
            saved_model=saved_model,
            evaluation=tmp_path,
            infra_blessing=infra_blessing,
            params=params,
            output=tmp_path,
        )

    good = infra(models("a"), tmp_path / "good")
    with pytest.raises(
        NotBlessedError, match=r"was not pushed: accuracy 0\.4 is under min_accuracy 0\.9"
    ):
        pushed(["accuracy 0.4 is under min_accuracy 0.9"], good)
    slow = infra(
        models("a"),
        tmp_path / "slow",
        blessed=False,
        refusals=["median latency 2 s is over max_p50_seconds 1"],
    )
    with pytest.raises(
        NotBlessedError, match=r"was not pushed: median latency 2 s is over max_p50_seconds 1\."
    ):
        pushed([], slow)
    with pytest.raises(NotBlessedError, match="is not the one that was validated"):
        pushed([], infra(models("b"), tmp_path / "other"))
    assert not served.exists()


def test_a_real_model_is_loaded_and_asked_before_it_is_a_version(
    saved_model: Path, evaluation: Path, served: Path, tmp_path: Path
) -> None:
    params = PusherParams(serving_dir=str(served), served_from="/models/seqline")
    arguments: dict[str, Any] = {
        "infra_blessing": infra(saved_model / "saved_model", tmp_path / "infra"),
        "params": params,
        "output": tmp_path,
    }
    other = tmp_path / "evaluation"
    other.mkdir()
    (other / "evaluation.json").write_bytes((evaluation / "evaluation.json").read_bytes())
    first = json.loads((evaluation / "answers.jsonl").read_text().splitlines()[0])
    (other / "answers.jsonl").write_text(
        json.dumps(first | {"probabilities": first["probabilities"][::-1]}) + "\n"
    )
    with pytest.raises(DataError, match="answers the first row of test with"):
        run(saved_model=saved_model, evaluation=other, **arguments)
    assert versions(served) == []
    figures = run(saved_model=saved_model, evaluation=evaluation, **arguments)
    assert (figures["version"], figures["pushed"], figures["serving_dir"]) == (1, True, str(served))
    assert (served / "1" / EVALUATION).read_bytes() == (evaluation / "evaluation.json").read_bytes()
    # What became of it
    assert stale(tmp_path, params) is None
    (served / "models.config").rename(tmp_path / "models.config")
    assert stale(tmp_path, params) == f"{served} has no models.config"
    (served / "2").mkdir()
    assert stale(tmp_path, params) == f"the newest version in {served}, 2, is another model"
    assert (
        stale(tmp_path, PusherParams(serving_dir=str(tmp_path / "elsewhere")))
        == f"{tmp_path / 'elsewhere'} holds no version"
    )


@pytest.mark.parametrize(
    "damage", ["saved_model.pb", "variables/variables.data-00000-of-00001", "assets/labels"]
)
def test_a_model_that_does_not_load_is_refused(
    saved_model: Path, evaluation: Path, tmp_path: Path, damage: str
) -> None:
    from components.pusher.verify import load_and_ask

    publish.shutil.copytree(saved_model / "saved_model", tmp_path / "copy")
    (tmp_path / "copy" / damage).write_bytes(b"")
    answer = json.loads((evaluation / "answers.jsonl").read_text().splitlines()[0])
    with pytest.raises(DataError, match=r"does not load and answer \(.+\)\. Nothing was pushed\.$"):
        load_and_ask(tmp_path / "copy", answer)
