"""A place under gs:// behaves as a Path does."""

import os
import pickle
from pathlib import Path

import pytest

from seqline.errors import DataError
from seqline.storage import staging
from seqline.storage.path import ObjectPath
from seqline.storage.staging import path_of
from tests.support.fake_cloud.gcs import FakeGcs


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def test_a_path_is_put_together_and_taken_apart_as_any_other() -> None:
    path = ObjectPath("gs://bucket/a") / "b" / "c.txt"
    assert str(path) == "gs://bucket/a/b/c.txt"
    assert path.name == "c.txt"
    assert str(path.parent) == "gs://bucket/a/b"
    assert str(path.relative_to(ObjectPath("gs://bucket/a/"))) == "b/c.txt"
    assert path.is_relative_to(ObjectPath("gs://bucket/a"))
    assert not path.is_relative_to(ObjectPath("gs://other/a"))
    assert not path.is_relative_to(Path("/a"))
    assert pickle.loads(pickle.dumps(path)) == path

    by_folder = [ObjectPath("gs://bucket/a"), path, ObjectPath("gs://bucket/a.extra/b")]
    assert sorted([path, by_folder[2], by_folder[0]]) == by_folder

    with pytest.raises(TypeError):
        os.fspath(path)  # type: ignore[call-overload]


def test_objects_are_found_written_and_read(place: Path, cloud: FakeGcs) -> None:
    for name in (
        "a.txt",
        "Split-train/x-1.gz",
        "Split-train/x-0.gz",
        "Split-train/deep/x-2.gz",
        "Split-eval/y",
    ):
        (place / name).write_text(name)

    (place.parent / "place-2").write_text("a neighbour")
    assert [path.name for path in place.glob("Split-train/x-*.gz")] == ["x-0.gz", "x-1.gz"]
    assert [str(path.relative_to(place)) for path in place.glob("*/*")] == [
        "Split-eval/y",
        "Split-train/x-0.gz",
        "Split-train/x-1.gz",
    ]
    assert len(list(place.rglob("*"))) == 5
    assert [path.name for path in place.iterdir()] == ["Split-eval", "Split-train", "a.txt"]
    assert place.absolute() == place
    assert (place / "Split-eval").is_dir()
    assert (place / "Split-eval").exists()
    assert not (place / "Split-eval").is_file()
    assert not (place / "Split").exists()
    assert (place / "a.txt").read_text() == "a.txt"

    (place / "a.txt").replace(place / "b.txt")
    assert (place / "b.txt").read_bytes() == b"a.txt"
    with pytest.raises(FileNotFoundError, match=r"gs://bucket/some/place/a\.txt"):
        (place / "a.txt").read_text()

    staging.remove(place)
    assert names(cloud) == ["some/place-2"]


def test_a_bucket_that_is_not_there_is_named(cloud: FakeGcs) -> None:
    for ask in (
        lambda path: path.write_text("x"),
        lambda path: list(path.glob("*")),
        lambda path: path.is_dir(),
    ):
        with pytest.raises(
            DataError,
            match=r"^gs://nobody/x.*: the bucket 'nobody' does not exist\. Correct the name",
        ):
            ask(path_of("gs://nobody/x"))
