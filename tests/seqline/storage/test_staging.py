"""Local files with the content of objects, and the cache."""

import os
from pathlib import Path

import pytest

from seqline.errors import DataError
from seqline.storage import gcs, staging
from tests.support.fake_cloud.gcs import FakeGcs


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def test_what_is_written_appears_whole_or_not_at_all(
    place: Path, cloud: FakeGcs, tmp_path: Path
) -> None:
    def fail(path: Path) -> None:
        with staging.writing(path) as name:
            Path(name).write_text("half")
            raise KeyError

    for root in (place, tmp_path):
        with pytest.raises(KeyError):
            fail(root / "file")
        assert not (root / "file").exists()
        for content in ("first", "again"):
            cloud.failures += [503]
            with staging.writing(root / "file") as name:
                Path(name).write_text(content)
            with staging.reading(root / "file") as name:
                assert Path(name).read_text() == content
        cloud.failures.clear()

    assert names(cloud) == ["some/place/file"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file"]
    with pytest.raises(DataError, match="does not exist"), staging.reading(place / "missing"):
        pass


def test_what_is_added_at_hand_goes_back(place: Path, cloud: FakeGcs) -> None:
    (place / "shards" / "0").write_text("zero")
    before = cloud.generation
    with staging.local_folder(place) as folder:
        assert (folder / "shards" / "0").read_text() == "zero"
        (folder / "sum").write_text("total")
    assert names(cloud) == ["some/place/shards/0", "some/place/sum"]
    assert cloud.generation == before + 1


def test_a_finished_folder_is_fetched_once_and_again_when_it_changed(
    place: Path, cloud: FakeGcs
) -> None:
    for name in ("saved_model.pb", "assets/labels"):
        (place / name).write_text(name)
    folder = staging.local_copy(place)
    assert folder.name == place.name == "place"  # a key, where it is an artifact
    assert sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    ) == ["assets/labels", "saved_model.pb"]

    asked = len(cloud.requests)
    assert staging.local_copy(place) == folder
    assert not any("/download/" in request for request in cloud.requests[asked:])

    (place / "assets/labels").write_text("others")
    assert (staging.local_copy(place) / "assets/labels").read_text() == "others"
    assert (folder / "assets/labels").read_text() == "assets/labels"
    assert staging.local_copy(Path("here")) == Path("here")


@pytest.mark.parametrize("damage", ["flipped", "cut", "deleted"])
def test_a_copy_that_was_damaged_in_the_cache_is_fetched_again(
    place: Path, cloud: FakeGcs, damage: str
) -> None:
    (place / "assets/labels").write_text("bad good")
    copied = staging.local_copy(place) / "assets/labels"
    if damage == "deleted":
        copied.unlink()
    else:
        copied.write_text("bad gold" if damage == "flipped" else "bad")
    assert (staging.local_copy(place) / "assets/labels").read_text() == "bad good"


def test_the_cache_keeps_to_its_size_and_to_the_files_used_last(
    place: Path, tmp_path: Path
) -> None:
    limits = {"cache_bytes": 30, "num_kept": 1}
    for number in range(5):
        (place / str(number)).write_text(f"content {number}")  # 9 bytes
    contents = {path: content for path, _, content in gcs.find(f"{place}/")}
    for number, (path, content) in enumerate(contents.items()):
        name = staging.fetch(path, content, **limits)
        assert Path(name).read_text() == f"content {number}"
        os.utime(name, (number, number))
    os.utime(staging.fetch(f"{place}/4", contents[f"{place}/4"], **limits), (0, 0))

    assert sorted(path.read_text() for path in (tmp_path / "cache" / "files").iterdir()) == [
        f"content {number}" for number in (2, 3, 4)
    ]

    staging.fetch(f"{place}/0", contents[f"{place}/0"], **limits)
    assert sorted(path.read_text() for path in (tmp_path / "cache" / "files").iterdir()) == [
        f"content {number}" for number in (0, 2, 3)
    ]
