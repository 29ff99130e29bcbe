"""Beam stages as Dataflow jobs.

The unmodified DataflowRunner submits them, and the fake cloud executes them from nothing but what
was staged.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams
from components.example_gen import run as run_example_gen
from components.transform import analyze
from components.transform import run as run_transform
from seqline.data.span_cache import SpanCache
from seqline.errors import StoppedError, UserError
from seqline.jobs import dataflow, shipping
from seqline.jobs.dataflow import JobFailedError, job_flags, option
from seqline.storage.staging import path_of
from tests.support import fake_cloud
from tests.support.corpus import TRANSFORM_PARAMS
from tests.support.fake_cloud import FakeCloud
from tests.support.fake_cloud.dataflow import CANCELLED, DONE, FAILED, RUNNING
from tests.support.files import contents

pytestmark = pytest.mark.slow

ROWS = "gs://bucket/rows.jsonl"
PARAMS = ExampleGenParams(source=ROWS)


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[FakeCloud]:
    with fake_cloud.serve_here(tmp_path_factory.mktemp("cloud"), corpus) as cloud:
        cloud.gcs.buckets["staging"] = {}
        yield cloud


@pytest.fixture
def cloud(running_cloud: FakeCloud) -> Iterator[FakeCloud]:
    """The cloud without faults."""
    yield running_cloud
    running_cloud.faults.requests.clear()
    running_cloud.faults.retry_bundles = False
    running_cloud.executor.without.clear()


def flags(cloud: FakeCloud, component: str, key: str, *more: str) -> tuple[str, ...]:
    # Staged files have a bucket of their own, so that a fault can hit the workers' requests only.
    given = [*cloud.flags, "--temp_location=gs://staging/temp", *more]
    return job_flags(given, component, key, "gs://bucket/root")


def test_jobs_make_what_a_local_run_makes_whatever_goes_wrong(
    cloud: FakeCloud, examples: Path, features: Path
) -> None:
    cloud.faults.retry_bundles = True
    uploads = "POST /upload/storage/v1/b/bucket/"
    staging = cloud.faults.add("POST /upload/storage/v1/b/staging/", status=503, times=2)
    killed = cloud.faults.add(uploads, action=cloud.executor.kill_workers, after=1)
    refused = cloud.faults.add(uploads, status=503, after=4, times=2)
    slow = cloud.faults.add("GET /download/", seconds=0.5)
    made = path_of("gs://bucket/root/example_gen/k1")
    span_cache = SpanCache(path_of("gs://bucket/root/span_cache/transform"), owner="k1")
    counting = {"transform": partial(analyze, params=TRANSFORM_PARAMS, span_cache=span_cache)}
    run_example_gen(
        params=PARAMS, output=made, analyses=counting, beam_args=flags(cloud, "example_gen", "k1")
    )

    job = cloud.dataflow.jobs[-1]
    assert (job.name, job.state, job.attempts) == ("seqline-example-gen-k1-ba0e5d", DONE, 2)
    assert job.description["labels"] == {
        "seqline_component": "example_gen",
        "seqline_key": "k1",
        "seqline_root": "ba0e5d",
    }
    assert [fault.met for fault in (staging, killed, refused, slow)] == [2, 1, 2, 1]

    messages = [message["messageText"] for message in job.messages]
    assert "A worker was lost; its work is done again." in messages
    assert contents(made, "Split-*/*") == contents(examples, "Split-*/*")

    transformed = path_of("gs://bucket/root/transform/k2")
    run_transform(
        examples=made,
        params=TRANSFORM_PARAMS,
        output=transformed,
        span_cache=span_cache,
        beam_args=flags(cloud, "transform", "k2"),
    )

    local = contents(features, "**/*")
    assert {
        name: content == local[name] for name, content in contents(transformed, "**/*").items()
    } == dict.fromkeys(local, True)
    assert [submitted.name for submitted in cloud.dataflow.jobs] == [
        "seqline-example-gen-k1-ba0e5d",
        "seqline-transform-k2-ba0e5d",
    ]


def test_a_worker_without_a_dependency(cloud: FakeCloud) -> None:
    cloud.executor.without.add("tensorflow")
    with pytest.raises(
        JobFailedError,
        match=(
            r"a worker has no module 'tensorflow'.*neither in the workers'"
            r" image.*jobs/europe-west1/"
        ),
    ):
        run_example_gen(
            params=PARAMS,
            output=path_of("gs://bucket/root/example_gen/k3"),
            beam_args=flags(
                cloud, "example_gen", "k3", "--sdk_container_image=registry/seqline-worker:1"
            ),
        )
    assert cloud.dataflow.jobs[-1].state == FAILED


def test_a_pinned_dependency_that_cannot_be_had(cloud: FakeCloud) -> None:
    cloud.executor.without.add("tensorflow")
    with pytest.raises(
        JobFailedError,
        match=r"job failed: ERROR: No matching distribution found for tensorflow==2\.21",
    ):
        run_example_gen(
            params=PARAMS,
            output=path_of("gs://bucket/root/example_gen/k4"),
            beam_args=flags(cloud, "example_gen", "k4"),
        )


def test_a_package_that_setup_does_not_list(cloud: FakeCloud, tmp_path: Path) -> None:
    root = shipping.checkout()
    assert root

    for name in ("components", "pipeline", "seqline", "serving"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    listed = (root / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        listed.replace("include = [", 'exclude = ["components.example_gen"]\ninclude = ['),
        encoding="utf-8",
    )
    (tmp_path / "none.txt").touch()

    with pytest.raises(JobFailedError, match=r"a worker has no module 'components\.example_gen'"):
        run_example_gen(
            params=PARAMS,
            output=path_of("gs://bucket/root/example_gen/k5"),
            beam_args=flags(
                cloud,
                "example_gen",
                "k5",
                f"--setup_file={tmp_path}/setup.py",
                f"--requirements_file={tmp_path}/none.txt",
            ),
        )


def test_a_job_that_is_cancelled_from_outside(cloud: FakeCloud) -> None:
    def cancel() -> None:
        service = dataflow.client(given)
        name = str(option(given, "job_name"))
        said = dataflow.leave(service, name, cancels=False)
        assert said is not None
        assert said.startswith(
            f"the Dataflow job {name} goes on"
            " (https://console.cloud.google.com/dataflow/jobs/europe-west1/"
        )
        assert dataflow.leave(service, name, cancels=True) == f"cancelled the Dataflow job {name}"
        assert dataflow.leave(service, name, cancels=True) is None

    given = flags(cloud, "example_gen", "k6")
    cloud.faults.add("WORK ", action=cancel)

    with pytest.raises(
        StoppedError,
        match=(
            r"stopped while seqline-example-gen-k6-ba0e5d ran by its Dataflow job being cancelled"
        ),
    ):
        run_example_gen(
            params=PARAMS, output=path_of("gs://bucket/root/example_gen/k6"), beam_args=given
        )
    assert cloud.dataflow.jobs[-1].state == CANCELLED


def start_run(cloud: FakeCloud, folder: Path) -> subprocess.Popen[str]:
    """Starts a run of example_gen in a session of its own."""
    settings = ["--set", f"example_gen.source={ROWS}", "--to", "example_gen"]
    places = ["--root=gs://bucket/again", *cloud.flags[:4], "--", *cloud.flags[4:]]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "bbc_news", *settings, *places],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(shipping.checkout())},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_run_after_a_killed_one_waits_for_its_job(cloud: FakeCloud, tmp_path: Path) -> None:
    submitted, released = threading.Event(), threading.Event()

    def hold() -> None:
        submitted.set()
        assert released.wait(300)

    before = len(cloud.dataflow.jobs)
    cloud.faults.add("WORK ", action=hold)
    with start_run(cloud, tmp_path) as killed:
        assert submitted.wait(300)
        os.killpg(killed.pid, signal.SIGKILL)

    (job,) = cloud.dataflow.jobs[before:]
    assert job.state == RUNNING

    # The second run asks for the job's messages once it has found it: now the job may go on.
    cloud.faults.add(f"GET .*/jobs/{job.id}/messages", action=released.set)
    with start_run(cloud, tmp_path) as second:
        said, errors = second.communicate(timeout=400)

    assert second.returncode == 0, errors
    assert [again.state for again in cloud.dataflow.jobs[before:]] == [DONE]
    lines = " ".join(said.split())
    assert f"{job.name}: waits for the job that an earlier run submitted" in lines
    assert f"dataflow/jobs/europe-west1/{job.id}?project=fake-project" in lines
    assert "240 rows: 163 train, 23 eval, 54 test; 3 classes" in lines
    assert not [name for name in cloud.gcs.buckets["bucket"] if "partial-" in name]


def test_a_service_that_stays_away(cloud: FakeCloud) -> None:
    service = dataflow.client(cloud.flags)
    cloud.faults.add("GET /v1b3/", status=503, times=1)
    service.ping()  # once is nothing
    service.seconds = 0.5
    away = cloud.faults.add("GET /v1b3/", status=503, times=100)
    with pytest.raises(
        UserError, match=r"Dataflow does not answer at http://localhost:\d+ \(503: told to fail\)"
    ):
        service.ping()
    assert away.met > 1


@dataclass
class FailedJob(dataflow.Client):
    """A service whose job has failed with errors of these texts."""

    texts: tuple[str, ...] = ()

    def state(self, job: str) -> str:
        return FAILED

    def messages(self, job: str, since: str | None = None) -> Iterator[dict[str, str]]:
        for number, text in enumerate(self.texts):
            yield {
                "id": str(number),
                "time": "2026-01-01T00:00:00Z",
                "messageText": text,
                "messageImportance": "JOB_MESSAGE_ERROR",
            }


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            (
                "Traceback ...\nseqline.errors.DataError: a.csv is damaged. [while running"
                " 'Read']\n\nmore"
            ),
            "DataError",
            "a.csv is damaged.",
        ),
        ("Traceback ...\nseqline.errors.UserError: no", "UserError", "no"),
        (
            "Traceback ...\nValueError: deep\n",
            "JobFailedError",
            "name: the Dataflow job failed: ValueError: deep (https://console",
        ),
        (
            "Quota exceeded.",
            "JobFailedError",
            "name: the Dataflow job failed: Quota exceeded. (https://console",
        ),
    ],
)
def test_what_a_failed_job_says(text: str, kind: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        dataflow.watch(FailedJob("p", "r", texts=("Workflow failed.", text)), "id", "name")
    assert error.type.__name__ == kind
    assert str(error.value).startswith(message)


def test_flags_of_other_runners_stay_as_they_are() -> None:
    assert job_flags(["--direct_num_workers=2"], "transform", "key", "root") == (
        "--direct_num_workers=2",
    )
    assert job_flags(["--runner=FlinkRunner"], "transform", "key", "root") == (
        "--runner=FlinkRunner",
    )
    assert option(["--a", "1", "--b=2", "--a=3", "--b"], "a") == "3"
    assert option(["--a"], "a") is None
