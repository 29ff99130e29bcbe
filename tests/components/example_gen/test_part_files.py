"""Parts of spans in a bucket: made in their place, and copied once, into the artifact."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from components.example_gen import ExampleGenParams, part_files, run
from components.example_gen.part_files import check_files
from components.example_gen.row_counts import RowCounts
from seqline.data.span_cache import SpanCache, is_whole
from seqline.errors import DataError
from seqline.jobs.beam import is_elsewhere
from seqline.storage import objects
from seqline.storage.path import ObjectPath
from seqline.storage.staging import path_of
from tests.support import s3
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.fake_cloud.gcs import FakeGcs


@pytest.fixture(params=["gs", "s3"])
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    if request.param == "gs":
        yield request.getfixturevalue("place")
        return
    with s3.serve():
        yield path_of("s3://bucket/some/place")


def write_spans(folder: Path) -> ExampleGenParams:
    """Two spans of 60 rows, in a file with a bad row each."""
    for number in (1, 2):
        rows = corpus_rows(120)[60 * (number - 1) : 60 * number]
        write_jsonl(folder / f"{number}.jsonl", [*rows, {"text": "", "label": "fruit"}])
    return ExampleGenParams(source=str(folder / "{SPAN}.jsonl"), max_bad_fraction=0.1)


def files_of(place: Path) -> dict[str, bytes]:
    """Name within a folder -> content."""
    beneath = (
        [path for path, *_ in place.beneath()]
        if isinstance(place, ObjectPath)
        else [path for path in place.rglob("*") if path.is_file()]
    )
    return {str(path.relative_to(place)): path.read_bytes() for path in beneath}


def count_copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(source, target) of the copies inside the service, from now on."""
    copies: list[tuple[str, str]] = []
    copy_object = objects.copy_object

    def copy(source: str, target: str) -> None:
        copies.append((source, target))
        copy_object(source, target)

    monkeypatch.setattr(objects, "copy_object", copy)
    return copies


def test_a_file_is_copied_once_and_the_artifact_has_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    params = write_spans(tmp_path)
    (tmp_path / "local").mkdir()
    run(params=params, output=tmp_path / "local", span_cache=SpanCache(tmp_path / "cache"))

    copies = count_copies(monkeypatch)
    run(
        params=params,
        output=root / "examples",
        span_cache=SpanCache(root / "cache", owner="key"),
    )

    artifact = files_of(root / "examples")
    assert artifact == files_of(tmp_path / "local")
    # Of each span: a shard of each split, a list of bad rows, where the rows of test came from.
    assert len(artifact) == 2 * 5 + 1
    expected = {f"{root}/examples/{name}" for name in artifact if name != "examples.json"}
    assert Counter(target for _, target in copies) == Counter(expected)
    assert {source.rpartition("/cache/")[0] for source, _ in copies} == {str(root)}

    if str(root).startswith("gs://"):
        cloud: FakeGcs = request.getfixturevalue("cloud")
        rewrites = [unquote(path) for path in cloud.requests if "/rewriteTo/" in path]
        assert len(rewrites) == 2 * 5
        # The five files of a span, their counts and the mark.
        names = [name for name in cloud.buckets["bucket"] if "/cache/" in name]
        assert len([name for name in names if "digests.json" not in name]) == 2 * (5 + 2)
        assert not any("partial-" in name for name in names)

    # A second artifact takes the parts over, each file by one copy again.
    copies.clear()
    run(params=params, output=root / "again", span_cache=SpanCache(root / "cache", owner="other"))
    assert files_of(root / "again") == artifact
    assert len(copies) == 2 * 5


@pytest.mark.parametrize(("most", "jobs"), [(3, ["copying 10 files into the artifact"]), (10, [])])
def test_workers_make_many_copies(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, jobs: list[str]
) -> None:
    params = write_spans(tmp_path)
    (tmp_path / "local").mkdir()
    run(params=params, output=tmp_path / "local", span_cache=SpanCache(tmp_path / "cache"))

    told: list[str] = []
    monkeypatch.setattr(part_files, "MOST_COPIES", most)
    monkeypatch.setattr(part_files, "BATCH_COPIES", 4)
    # The local runner stands for one elsewhere: its workers get all that they need from the job.
    monkeypatch.setattr(part_files, "is_elsewhere", lambda beam_args: True)
    monkeypatch.setattr(part_files.progress, "tell", told.append)
    copies = count_copies(monkeypatch)
    run(params=params, output=root / "examples", span_cache=SpanCache(root / "cache", owner="key"))
    assert told == jobs
    assert files_of(root / "examples") == files_of(tmp_path / "local")
    assert len(copies) == len({target for _, target in copies}) == 10


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], False),
        (["--runner=DirectRunner"], False),
        (["--runner=DataflowRunner"], True),
        (["--runner=FlinkRunner"], True),
    ],
)
def test_whose_workers_are_elsewhere(flags: list[str], expected: bool) -> None:
    assert is_elsewhere(flags) is expected


def test_a_part_that_is_not_finished_is_made_again_over_what_is_left(
    place: Path, tmp_path: Path
) -> None:
    params = write_spans(tmp_path).model_copy(update={"span": 1})
    cache = SpanCache(place / "cache", owner="killed")
    run(params=params, output=place / "first", span_cache=cache)
    (part,) = (mark.parent for mark in marks(place))

    # As a killed run leaves it: some files, one of them with another content, and no mark.
    (part / "whole").unlink()
    shard = next(iter(sorted((part / "Split-train").glob("*"))))
    shard.write_bytes(b"other")
    run(params=params, output=place / "second", span_cache=SpanCache(place / "cache", owner="next"))
    assert files_of(place / "second") == files_of(place / "first")
    assert is_whole(part)


def marks(place: Path) -> list[Path]:
    return [path for path, *_ in ObjectPath(str(place)).beneath() if path.name == "whole"]


def test_files_of_others_in_an_unfinished_part_are_found(place: Path, tmp_path: Path) -> None:
    params = write_spans(tmp_path).model_copy(update={"span": 1})
    cache = SpanCache(place / "cache", owner="key")
    run(params=params, output=place / "first", span_cache=cache)
    (part,) = (mark.parent for mark in marks(place))
    (part / "whole").unlink()
    (part / "Split-train" / "data_tfrecord-00001-00000-00009.gz").write_bytes(b"stray")

    with pytest.raises(DataError) as caught:
        run(params=params, output=place / "second", span_cache=cache)
    assert str(caught.value) == (
        f"{part} holds 6 files where 5 were written: another run has removed some, or has left"
        " others. All of them are removed. Run again."
    )
    assert list(ObjectPath(str(part)).beneath()) == []
    run(params=params, output=place / "third", span_cache=cache)
    assert files_of(place / "third") == files_of(place / "first")


def test_a_part_that_lacks_a_file_is_not_finished(place: Path) -> None:
    (place / "part" / "Split-train" / "x").write_bytes(b"x")
    (place / "part" / "span.json").write_bytes(b"{}")
    check_files(place / "part", RowCounts(num_files=1))
    with pytest.raises(DataError, match=r"holds 1 files where 2 were written"):
        check_files(place / "part", RowCounts(num_files=2))
    check_files(Path("a folder on this machine"), RowCounts(num_files=2))
