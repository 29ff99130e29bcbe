"""Cached parts of spans.

They appear whole, once, under a name that follows from what they were made of.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqline.data.span_cache import HOST, SpanCache, files_of, link
from tests.support import CHECKOUT


def test_the_name_follows_from_the_parts_and_the_salt(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path, "code 1")
    assert span_cache.path(span="a", how=[1, True]) == span_cache.path(how=[1, True], span="a")
    assert (
        len(
            {
                span_cache.path(span="a"),
                span_cache.path(span="b"),
                SpanCache(tmp_path, "code 2").path(span="a"),
            }
        )
        == 3
    )


def test_parts_appear_when_the_block_ends_well_and_only_then(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path)
    paths = {1: span_cache.path(span=1), 2: span_cache.path(span=2)}

    def fail() -> None:
        with span_cache.making(paths) as folders:
            (folders[1] / "x").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with span_cache.making(paths) as folders:
        for folder in folders.values():
            (folder / "x").write_text("whole")
        assert not any(path.exists() for path in paths.values())
    with span_cache.making({**paths, 3: span_cache.path(span=3)}) as folders:
        assert list(folders) == [3]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (*paths.values(), span_cache.path(span=3))
    )


def test_a_part_that_another_run_made_meanwhile_stays(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path)
    path = span_cache.path(span=1)
    with span_cache.making({1: path}) as slow:
        (slow[1] / "x").write_text("slow")
        with span_cache.making({1: path}) as fast:
            (fast[1] / "x").write_text("fast")
    assert (path / "x").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    code = "import os; from seqline.data import span_cache; print(span_cache.OWN)"
    dead = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    left_over, other_machine = (
        tmp_path / f"{dead.stdout.strip()}-1",
        tmp_path / f"{dead.stdout.strip()}-1".replace(HOST, "elsewhere"),
    )
    for path in (left_over, other_machine):
        path.mkdir()

    span_cache = SpanCache(tmp_path)
    with (
        span_cache.making({1: span_cache.path(span=1)}) as folders,
        span_cache.making({2: span_cache.path(span=2)}),
    ):
        assert folders[1].exists()
        assert not left_over.exists()
        assert other_machine.exists()


def test_a_link_is_the_same_file_and_a_second_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_text("x")
    link(tmp_path / "source", tmp_path / "target")
    link(tmp_path / "source", tmp_path / "target")
    assert os.path.samefile(tmp_path / "source", tmp_path / "target")

    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    link(tmp_path / "source", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "x"
    assert not os.path.samefile(tmp_path / "source", tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source", "target"]


def make(span_cache: SpanCache, path: Path) -> bool:
    """Makes a part of two files. Returns whether it was missing."""
    with span_cache.making({1: path}) as folders:
        for folder in folders.values():
            (folder / "Split-train").mkdir()
            (folder / "Split-train" / "x").write_text("abc")
            (folder / "span.json").write_text("{}")
    return bool(folders)


@pytest.mark.parametrize("name", ["Split-train/x", "span.json", "whole"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "deleted"])
def test_a_damaged_part_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    span_cache = SpanCache(tmp_path)
    path = span_cache.path(span=1)
    assert make(span_cache, path)
    assert not make(span_cache, path)
    link(path / "Split-train" / "x", tmp_path / "in an artifact")

    if damage == "deleted":
        (path / name).unlink()
    elif damage == "cut":
        os.truncate(path / name, 1)
    else:
        with (path / name).open("r+b") as file:
            file.write(b"\xff")

    assert make(span_cache, path)
    assert (path / "Split-train" / "x").read_text() == "abc"
    assert not make(span_cache, path)
    assert sorted(file.name for file in files_of(path)) == ["span.json", "x"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [path.name, "in an artifact"]
    )


def test_what_was_added_to_a_part_is_not_taken_over(tmp_path: Path) -> None:
    span_cache = SpanCache(tmp_path)
    path = span_cache.path(span=1)
    make(span_cache, path)
    (path / "Split-train" / "y").write_text("of another program")
    assert not make(span_cache, path)
    assert sorted(file.name for file in files_of(path)) == ["span.json", "x"]
