"""Whether the preflight says that a worker's disk is too small."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.example_gen import EXAMPLE_GEN, ExampleGenParams
from pipeline.dataflow import disk
from pipeline.dataflow.capacity import disk_gb
from pipeline.dataflow.disk import needed_gb, of_disk
from pipeline.runner.plan import Pipeline
from tests.support import fake_cloud
from tests.support.fake_cloud import FakeCloud

GB = 10**9
# Flags -> (problems, notes).
Ask = Callable[..., tuple[list[str], list[str]]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCloud]:
    with fake_cloud.serve(tmp_path_factory.mktemp("cloud")) as cloud:
        # Their listed sizes are told, not their contents.
        for span, size in ((1, 640 * GB), (2, 64 * GB)):
            for part in ("a", "b"):
                row = b'{"text": "x", "label": "y"}\n'
                metadata = cloud.gcs.put("bucket", f"rows/{span}/{part}.jsonl", row)
                metadata["size"] = str(size // 2)
        yield cloud


@pytest.fixture
def ask(
    running: FakeCloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Ask:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)

    def ask(
        *flags: str, source: str = "gs://bucket/rows/{SPAN}/*.jsonl", window: Any = "all"
    ) -> tuple[list[str], list[str]]:
        """(problems, notes) of a job with these flags."""
        caplog.clear()
        pipeline = Pipeline()
        pipeline.add(EXAMPLE_GEN, ExampleGenParams(source=source, window=window))
        with caplog.at_level(logging.WARNING, "seqline.dataflow"):
            problems = list(of_disk(pipeline, flags))
        return problems, caplog.messages

    return ask


def test_a_disk_that_may_be_too_small_is_said_with_the_size_to_set(ask: Ask) -> None:
    # 640 GB / 64 groups = 10 GB of tables, as much for the sum, and a shard: 20.02 in a process.
    said = (
        "Dataflow: a worker may need 29 GB of disk, more than the 25 GB that Dataflow gives by"
        " default: 8 for its packages, the rest to sum counts of the largest span of"
        " example_gen.source, 640 GB, on 1 CPU (n1-standard-1); set --disk_size_gb=29"
    )
    assert ask() == ([], [said])
    assert ask("--disk_size_gb=29") == ([], [])
    [of_eight] = ask("--machine_type=n2-standard-8", "--disk_size_gb=100")[1]
    assert "may need 169 GB of disk, more than --disk_size_gb=100: 8 for" in of_eight
    assert of_eight.endswith("640 GB, on 8 CPUs (n2-standard-8); set --disk_size_gb=169")


def test_nothing_is_said_of_what_fits_or_cannot_be_listed(ask: Ask) -> None:
    assert ask(window=1) == ([], [])  # the newest span, 64 GB
    assert ask("--experiments=use_runner_v2,shuffle_mode=appliance") == ([], [])
    assert ask(source="gs://bucket/gone/*.jsonl") == ([], [])
    assert ask(source="s3://bucket/rows/*.jsonl") == ([], [])


def test_a_disk_that_does_not_hold_the_packages_is_a_problem(ask: Ask) -> None:
    problem = (
        "--disk_size_gb=5 is too small for a worker, whose system and packages alone take 8 GB:"
        " --disk_size_gb=25 or more, or leave it out"
    )
    assert ask("--disk_size_gb=5") == ([problem], [])


def test_what_a_worker_needs() -> None:
    # A run of 16 shards of 16 MiB and its sum are 0.54 GB, a shard 0.02: 0.55 a process.
    assert [needed_gb(0, 1), needed_gb(GB, 4), needed_gb(GB, 32)] == [9, 11, 26]
    # From 17 GB on, the 64th part of a span is more than a run.
    assert [needed_gb(64 * GB, 1), needed_gb(6400 * GB, 1)] == [11, 209]


def test_the_disk_of_a_worker() -> None:
    assert disk_gb([]) == disk_gb(["--disk_size_gb=0"]) == 25
    assert disk_gb(["--experiments=a", "--experiments=b,shuffle_mode=appliance"]) == 250
    assert disk_gb(["--disk_size_gb=40", "--experiments=shuffle_mode=appliance"]) == 40


def test_the_constants_are_those_of_the_code() -> None:
    from seqline.data import buckets, examples, table_merge

    assert disk.SHARD_BYTES == examples.SHARD_BYTES
    assert disk.NUM_IN_RUN == table_merge.NUM_IN_RUN
    assert disk.NUM_GROUPS == buckets.NUM_BUCKETS
