from pathlib import Path

import pytest

from components.base import NotBlessedError, UserError
from components.pusher import MANIFEST, PusherParams, check, manifest_digest, push, run, stale, versions


def test_push_makes_the_next_version_and_the_same_content_twice_none(saved_model: Path, tmp_path: Path) -> None:
    serving_dir = tmp_path / "served"
    first = push(saved_model / "saved_model", serving_dir)
    assert (first["version"], first["pushed"]) == (1, True)
    again = push(saved_model / "saved_model", serving_dir)
    assert (again["version"], again["pushed"], again["digest"]) == (1, False, first["digest"])
    other = tmp_path / "other"
    other.mkdir()
    (other / "saved_model.pb").write_bytes(b"another")
    assert push(other, serving_dir)["version"] == 2
    assert versions(serving_dir) == [1, 2]
    assert manifest_digest(serving_dir / "1") == first["digest"]


def test_versions_count_as_numbers(tmp_path: Path) -> None:
    for name in ("9", "10", "tmp", ".lock"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == [9, 10]


def test_what_a_killed_push_left_is_no_version_and_goes(saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / ".pushing-dead").mkdir()
    (tmp_path / ".pushing-dead" / "saved_model.pb").write_bytes(b"half")
    assert versions(tmp_path) == []
    push(saved_model / "saved_model", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "1"]


def test_a_refused_model_is_not_pushed(saved_model: Path, tmp_path: Path) -> None:
    verdict = tmp_path / "evaluation"
    verdict.mkdir()
    (verdict / "evaluation.json").write_text('{"blessed": false, "refusals": ["accuracy 0.4 is under min_accuracy 0.9"]}')
    served = tmp_path / "served"
    with pytest.raises(NotBlessedError, match=r"accuracy 0\.4 is under min_accuracy 0\.9"):
        run(saved_model=saved_model, evaluation=verdict, params=PusherParams(serving_dir=str(served)), output=tmp_path)
    assert not served.exists()


def test_a_push_is_stale_when_its_version_is_gone_or_overtaken(saved_model: Path, evaluation: Path, tmp_path: Path) -> None:
    served, output = tmp_path / "served", tmp_path / "output"
    output.mkdir()
    params = PusherParams(serving_dir=str(served))
    run(saved_model=saved_model, evaluation=evaluation, params=params, output=output)
    assert stale(output, params) is None
    (served / "2").mkdir()
    assert stale(output, params) == f"the newest version in {served}, 2, is another model"
    assert stale(output, PusherParams(serving_dir=str(tmp_path / "elsewhere"))) == f"{tmp_path / 'elsewhere'} holds no version"


def test_manifest_names_every_file_with_its_sha256(saved_model: Path, tmp_path: Path) -> None:
    push(saved_model / "saved_model", tmp_path)
    manifest = (tmp_path / "1" / MANIFEST).read_text()
    for path in (saved_model / "saved_model").rglob("*"):
        if path.is_file():
            assert str(path.relative_to(saved_model / "saved_model")) in manifest


def test_serving_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        check(PusherParams(serving_dir=str(tmp_path / "file" / "served")))
