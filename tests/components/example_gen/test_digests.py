"""The digest of a source's content, by which its Examples have their key."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, external_digest, sources
from seqline.storage import files
from tests.components.example_gen.support import write
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.opened import list_opened_files


def test_digest_follows_content_and_not_place_or_time(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", corpus_rows(6))
    first = external_digest(ExampleGenParams(source=str(path)))
    os.utime(path, (0, 0))
    assert external_digest(ExampleGenParams(source=str(path))) == first
    moved = tmp_path / "deeper" / "b.jsonl"
    moved.parent.mkdir()
    path.rename(moved)
    assert external_digest(ExampleGenParams(source=str(moved))) == first
    assert external_digest(ExampleGenParams(source={"train": str(moved)})) != first
    write_jsonl(moved, [*corpus_rows(5), {"text": "other", "label": "fruit"}])
    assert external_digest(ExampleGenParams(source=str(moved))) != first


def test_digest_of_a_folder_follows_class_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for name in ("pos/1", "pos/2", "neg/1", "neg/2"):
        write(folder / f"{name}.txt", name.encode())
    first = external_digest(ExampleGenParams(source=str(folder)))
    moved = folder.rename(tmp_path / "moved")
    assert external_digest(ExampleGenParams(source=str(moved))) == first
    (moved / "pos" / "2.txt").rename(moved / "neg" / "3.txt")
    assert external_digest(ExampleGenParams(source=str(moved))) != first


def test_digest_of_a_span_does_not_follow_the_others(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"{number}.csv", b"text,label\n%d,x\n" % number)
    params = ExampleGenParams(source=str(tmp_path / "{SPAN}.csv"))
    first, whole = sources.window(params), external_digest(params)
    write(tmp_path / "3.csv")
    assert sources.window(params)[:2] == first
    assert external_digest(params) != whole
    assert external_digest(ExampleGenParams(source=params.source, span=2)) == whole
    assert external_digest(ExampleGenParams(source=params.source, span=2, window=1)) != whole


@pytest.fixture
def read_sources() -> Iterator[Callable[[], list[str]]]:
    """Returns the names of the source files that were read for their digest so far."""
    with list_opened_files() as opened:
        yield lambda: [Path(path).name for path in opened if path.endswith(".csv")]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves the clock forward by this number of seconds."""
    now = files.time.time_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: now() + int(seconds * 1e9))


def test_a_file_is_digested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_sources: Callable[[], list[str]]
) -> None:
    memory = tmp_path / "digests.json"
    path = write(tmp_path / "a.csv")
    params = ExampleGenParams(source=str(path))
    later(monkeypatch, 3)

    first = external_digest(params, memory)
    assert [external_digest(params, memory) for _ in range(2)] == [first, first]
    assert read_sources() == ["a.csv"]

    # The same size, and the time of change set back: the inode's own time tells.
    before = path.stat()
    path.write_bytes(b"text,label\nb,x\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert external_digest(params, memory) != first
    assert read_sources() == ["a.csv", "a.csv"]
    assert sorted(tmp_path.iterdir()) == [path, memory]


def test_a_young_file_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_sources: Callable[[], list[str]]
) -> None:
    memory = tmp_path / "digests.json"
    params = ExampleGenParams(source=str(write(tmp_path / "a.csv")))
    external_digest(params, memory)
    external_digest(params, memory)
    assert (read_sources(), memory.exists()) == (["a.csv"] * 2, False)
    later(monkeypatch, 3)
    external_digest(params, memory)
    external_digest(params, memory)
    assert read_sources() == ["a.csv"] * 3


@pytest.mark.parametrize("broken", [b"", b"\xff", b"[1]", b'{"/a": 1}', b"[" * 100_000])
def test_a_broken_memory_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_sources: Callable[[], list[str]],
    broken: bytes,
) -> None:
    memory = write(tmp_path / "digests.json", broken)
    path = write(tmp_path / "a.csv")
    later(monkeypatch, 3)
    for _ in range(2):
        external_digest(ExampleGenParams(source=str(path)), memory)
    assert read_sources() == ["a.csv"]
    assert list(json.loads(memory.read_text())) == [str(path)]


def test_a_memory_that_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, 3)
    params = ExampleGenParams(source=str(write(tmp_path / "a.csv")))
    assert external_digest(params, tmp_path / "nowhere" / "digests.json") == external_digest(params)
