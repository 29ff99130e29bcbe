"""Which model `seqline package` packs, and by which names."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.pusher import publish
from pipeline.package.choose import Chosen, choose
from pipeline.package.naming import module_name, tensorflow_of, version_of
from seqline.errors import DataError, UserError
from seqline.storage import objects
from tests.support.fake_cloud.gcs import FakeGcs

CHOSEN = Chosen(
    place="serving_dir/topics/3",
    folder=Path("serving_dir/topics/3"),
    name="topics",
    version=3,
    digest="0123456789abcdef" * 4,
    files={},
    card={"libraries": {"tensorflow": "2.21.0"}},
)


@pytest.mark.parametrize("wanted", ["1", "stable", "{served}/topics/1", "{served}/topics"])
def test_a_version_by_number_label_and_path(served: Path, tmp_path: Path, wanted: str) -> None:
    found = choose(wanted.format(served=served), str(served), str(tmp_path))
    assert (found.name, found.version) == ("topics", 1)
    assert found.folder == served / "topics" / "1"
    assert {"README.md", "saved_model.pb", "assets.extra/manifest.json"} < set(found.files)


def test_a_version_in_a_bucket(served: Path, cloud: FakeGcs, tmp_path: Path) -> None:
    place = "gs://bucket/models/topics"
    publish.push(
        served / "topics" / "1", place, card=b"# card\n", name="topics", model_name="topics"
    )
    for wanted in ("1", "stable", f"{place}/1"):
        found = choose(wanted, place, str(tmp_path))
        assert (found.place, found.name, found.version) == (f"{place}/1", "topics", 1)
        assert (found.folder / "README.md").read_bytes() == b"# card\n"

    objects.write_object(f"{place}/1/README.md", b"# other\n")
    with pytest.raises(DataError, match=r"README\.md is not what was pushed"):
        choose("1", place, str(tmp_path))


def test_a_saved_model_that_is_no_version(saved_model: Path, tmp_path: Path) -> None:
    found = choose(str(saved_model / "saved_model"), str(tmp_path), str(tmp_path))
    assert (found.name, found.version) == ("model", None)
    assert version_of(found) == f"0+{found.digest[:12]}"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("7", "topics holds no version 7. It holds 1."),
        ("canary", "topics has the label canary. It holds 1: name one of them."),
        ("latest", "There is no folder '{root}'. Name the root of the run with --root."),
        ("{root}/none", "No SavedModel at {root}/none, nor a version of one under it."),
    ],
)
def test_what_does_not_exist_is_said(
    served: Path, tmp_path: Path, wanted: str, message: str
) -> None:
    root = str(tmp_path / "no-root")
    with pytest.raises(UserError) as error:
        choose(wanted.format(root=root), str(served), root)
    assert message.format(root=root) in str(error.value)


def test_a_version_that_is_damaged_is_refused(served: Path, tmp_path: Path) -> None:
    with (served / "topics" / "1" / "README.md").open("a") as file:
        file.write("x")
    with pytest.raises(DataError, match=r"topics/1/README\.md is not what was pushed"):
        choose("1", str(served), str(tmp_path))


def test_a_model_of_another_program_is_refused(served: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(served / "topics" / "1", other, ignore=shutil.ignore_patterns("assets.extra"))
    publish.push(other, tmp_path / "others")
    with pytest.raises(UserError, match=r"cannot be packed: it has no assets\.extra/model\.json"):
        choose("1", str(tmp_path / "others"), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("topics", "topics"),
        ("BBC News-2.0", "bbc_news_2_0"),
        ("20_newsgroups", "model_20_newsgroups"),
        ("json", "json_model"),
        ("tensorflow", "tensorflow_model"),
        ("class", "class_model"),
        ("_", "model"),
    ],
)
def test_a_module_hides_no_other(name: str, module: str) -> None:
    assert module_name(replace(CHOSEN, name=name), None) == module


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("json", "would hide the module json"),
        ("../x", "is no name of a package"),
        ("a\nb", "is no name of a package"),
        ("x" * 101, "is no name of a package"),
    ],
)
def test_a_name_that_cannot_be(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        module_name(CHOSEN, given)


def test_a_name_that_can_be() -> None:
    assert module_name(CHOSEN, "Our.Topics") == "our_topics"


def test_the_bounds_of_tensorflow() -> None:
    assert tensorflow_of(CHOSEN) == "tensorflow>=2.21,<3"
    with pytest.raises(UserError, match="which is no version"):
        tensorflow_of(replace(CHOSEN, card={"libraries": {"tensorflow": "x"}}))
