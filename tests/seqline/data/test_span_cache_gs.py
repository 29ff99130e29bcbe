"""Cached parts of spans under gs://."""

from pathlib import Path

import pytest

from seqline.data.span_cache import SpanCache, is_whole, link
from tests.support.fake_cloud.gcs import FakeGcs


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def test_parts_appear_when_the_block_ends_well_and_only_then(place: Path, cloud: FakeGcs) -> None:
    span_cache = SpanCache(place)
    path = span_cache.path(span=1)

    def fail() -> None:
        with span_cache.making({1: path}) as folders:
            (folders[1] / "x").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(cloud) == []

    with span_cache.making({1: path}) as slow:
        (slow[1] / "Split-train" / "x").write_text("slow")
        (path / "Split-train" / "y").write_text("left by a killed run")
        with span_cache.making({1: path}) as fast:
            (fast[1] / "Split-train" / "x").write_text("fast")
            assert not is_whole(path)
        assert is_whole(path)
    assert (path / "Split-train" / "x").read_text() == "fast"
    with span_cache.making({1: path}) as folders:
        assert folders == {}
    assert not any("partial" in name for name in names(cloud))


def test_a_link_is_a_copy_inside_the_service(place: Path, cloud: FakeGcs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    link(tmp_path / "file", place / "one")
    asked = len(cloud.requests)
    link(place / "one", place / "two")
    # The client asks for the bucket now and then, too, in a thread of its own.
    assert not any(
        "/upload/" in request or "/download/" in request for request in cloud.requests[asked:]
    )
    assert (place / "two").read_text() == "x"


def test_a_damaged_part_is_made_again(place: Path, cloud: FakeGcs) -> None:
    span_cache = SpanCache(place, owner="k")
    path = span_cache.path(span=1)

    def make() -> bool:
        with span_cache.making({1: path}) as folders:
            for folder in folders.values():
                (folder / "Split-train" / "x").write_text("abc")
        return bool(folders)

    assert make()
    assert not make()
    for damage in (
        lambda: (path / "Split-train" / "x").write_text("abd"),
        lambda: (path / "Split-train" / "x").unlink(),
        lambda: (path / "whole").write_text("{"),
        lambda: (path / "whole").unlink(),
    ):
        damage()
        assert make()
        assert (path / "Split-train" / "x").read_text() == "abc"
        assert not make()
