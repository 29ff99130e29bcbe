"""The elements that a job begins with: in its description, or in a file from a size on."""

import re
from pathlib import Path

import apache_beam as beam
import pytest

from seqline.data.elements import CODER, LIMIT, Elements, elements
from seqline.errors import DataError
from seqline.jobs.beam import job, pipeline_options
from seqline.rows.shards import Shard
from seqline.storage.path import ObjectPath
from seqline.storage.staging import path_of
from tests.support import s3

# What Dataflow takes of a job's description.
MOST_BYTES = 20 << 20

Job = tuple[int, int, Shard]


def shard_jobs(num: int) -> list[Job]:
    """Shards of 30 to a file of 1 GB, as example_gen hands them on."""
    paths = [f"gs://my-bucket/reviews/2026/part-{file:05d}.jsonl" for file in range(num // 30 + 1)]
    return [
        (1, n, Shard("jsonl", None, (paths[n // 30],), n % 30 << 25, (n % 30 + 1) << 25, None))
        for n in range(num)
    ]


def description(source: beam.PTransform) -> int:
    """The bytes of a job's description that begins with these elements."""
    pipeline = beam.Pipeline(options=pipeline_options([]))
    _ = pipeline | "Shards" >> source | "Work" >> beam.Map(len)
    return len(pipeline.to_runner_api().SerializeToString())


def collected(source: beam.PTransform, tmp_path: Path) -> list[str]:
    """The elements, as a job meets them, sorted."""
    with job([]) as pipeline:
        _ = (
            pipeline
            | "Shards" >> source
            | "Show" >> beam.Map(repr)
            | "Write" >> beam.io.WriteToText(str(tmp_path / "out"))
        )
    written = [line for path in tmp_path.glob("out*") for line in path.read_text().splitlines()]
    return sorted(written)


def test_few_elements_are_in_the_description(tmp_path: Path) -> None:
    jobs = shard_jobs(40)
    with elements(jobs, tmp_path / "list") as source:
        assert isinstance(source, Elements)
        assert source.path is None
        assert source.items == jobs
        assert not (tmp_path / "list").exists()
        assert collected(source, tmp_path) == sorted(map(repr, jobs))


def test_many_elements_are_in_a_file_which_goes_when_the_job_is_done(tmp_path: Path) -> None:
    jobs = shard_jobs(40)
    # A job is some 190 bytes: pieces of three.
    assert 150 < len(CODER.encode(jobs[0])) < 250
    with elements(iter(jobs), tmp_path / "list", limit=1000, piece_bytes=500) as source:
        assert isinstance(source, Elements)
        assert len(source.items) == 14
        assert [source.items[n][0] + source.items[n][1] for n in range(13)] == [
            start for start, _ in source.items[1:]
        ]
        assert collected(source, tmp_path) == sorted(map(repr, jobs))
    assert not (tmp_path / "list").exists()


def test_the_description_at_100_tb_is_small(tmp_path: Path) -> None:
    # As many as fit into the description: 21,500 shards, 0.7 TB.
    most = LIMIT // len(CODER.encode(shard_jobs(1)[0]))
    with elements(shard_jobs(most - most // 20), tmp_path / "list") as source:
        assert isinstance(source, Elements)
        assert source.path is None
        assert description(source) < MOST_BYTES / 20

    # 100 TB: 2,980,233 shards of 32 MiB are pieces of 256 KiB.
    num_shards = -(-100 * 10**12 // (32 << 20))
    assert num_shards == 2_980_233
    num_pieces = num_shards * 196 // (256 << 10) + 1
    places = [(number * 262_300, 262_300) for number in range(num_pieces)]
    assert num_pieces == 2229
    assert description(Elements(places, "gs://my-bucket/list/elements")) < MOST_BYTES / 200


@pytest.fixture(params=["gs", "s3"])
def remote(request: pytest.FixtureRequest) -> Path:
    if request.param == "gs":
        place: Path = request.getfixturevalue("place")
        return place
    request.getfixturevalue("s3_store")
    return path_of("s3://bucket/some/place")


@pytest.fixture
def s3_store() -> object:
    with s3.serve() as url:
        yield url


def test_a_list_in_a_bucket(remote: Path, tmp_path: Path) -> None:
    jobs = shard_jobs(40)
    with elements(jobs, remote / "list", limit=1000, piece_bytes=500) as source:
        assert collected(source, tmp_path) == sorted(map(repr, jobs))
    assert list(ObjectPath(str(remote)).beneath()) == []

    # After an error a job may go on with it. A run that begins again writes the same file.
    def fail() -> None:
        with elements(jobs, remote / "list", limit=1000, piece_bytes=500):
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    (left,) = [str(path) for path, *_ in ObjectPath(str(remote)).beneath()]
    assert re.fullmatch(rf"{re.escape(str(remote))}/list/elements-[0-9a-f]{{20}}", left)
    # Another list does not take its place.
    with elements(jobs[1:], remote / "list", limit=1000, piece_bytes=500) as source:
        assert isinstance(source, Elements)
        assert source.path != left
        assert len(list(ObjectPath(str(remote)).beneath())) == 2


def test_a_list_that_is_gone_is_one_line(tmp_path: Path) -> None:
    source = Elements([(0, 10)], str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"gone does not exist\. Was it moved"):
        collected(source, tmp_path)
