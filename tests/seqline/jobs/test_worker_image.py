"""Jobs and launches in containers of the worker image.

The tests need docker, and in SEQLINE_WORKER_IMAGE the name of an image built from the Dockerfile's
target `worker`. docs/docker.md says how to build it, also where Beam's own image cannot be had.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from components.example_gen import ExampleGenParams
from components.example_gen import run as run_example_gen
from components.transform import analyze
from components.transform import run as run_transform
from pipeline.dataflow import preflight, template
from seqline.data.span_cache import SpanCache
from seqline.jobs import shipping
from seqline.jobs.dataflow import job_flags
from seqline.storage.staging import path_of
from tests.support import fake_cloud
from tests.support.corpus import TRANSFORM_PARAMS
from tests.support.fake_cloud import FakeCloud, containers
from tests.support.fake_cloud.dataflow import DONE, Job
from tests.support.files import contents

IMAGE = os.environ.get("SEQLINE_WORKER_IMAGE", "")
PARAMS = ExampleGenParams(source="gs://bucket/rows.jsonl")
NO_DOCKER = containers.missing()
NO_IMAGE = NO_DOCKER or (
    "SEQLINE_WORKER_IMAGE names no image that this docker has"
    if not containers.config(IMAGE)
    else ""
)
in_image = pytest.mark.skipif(bool(NO_IMAGE), reason=str(NO_IMAGE))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[FakeCloud]:
    with fake_cloud.serve_here(tmp_path_factory.mktemp("cloud"), corpus) as cloud:
        cloud.gcs.buckets["staging"] = {}
        cloud.executor.in_docker = True
        yield cloud


def flags(cloud: FakeCloud, component: str, key: str) -> tuple[str, ...]:
    own = ["--temp_location=gs://staging/temp", f"--sdk_container_image={IMAGE}"]
    return job_flags([*cloud.flags, *own], component, key, "gs://bucket/root")


def said(job: Job) -> list[str]:
    texts = [message["messageText"] for message in job.messages]
    return [text for text in texts if "operation" not in text]


@in_image
def test_jobs_in_the_image_make_what_a_local_run_makes(
    cloud: FakeCloud, examples: Path, features: Path
) -> None:
    made = path_of("gs://bucket/root/example_gen/k1")
    transformed = path_of("gs://bucket/root/transform/k2")
    span_cache = SpanCache(path_of("gs://bucket/root/span_cache/transform"), owner="k1")
    counting = {"transform": partial(analyze, params=TRANSFORM_PARAMS, span_cache=span_cache)}
    # A container that dies is a worker that is lost.
    killed = cloud.faults.add(
        "POST /upload/storage/v1/b/bucket/", action=cloud.executor.kill_workers, after=1
    )
    run_example_gen(
        params=PARAMS, output=made, analyses=counting, beam_args=flags(cloud, "example_gen", "k1")
    )
    run_transform(
        examples=made,
        params=TRANSFORM_PARAMS,
        output=transformed,
        span_cache=span_cache,
        beam_args=flags(cloud, "transform", "k2"),
    )

    assert contents(made, "Split-*/*") == contents(examples, "Split-*/*")
    local = contents(features, "**/*")
    assert {
        name: content == local[name] for name, content in contents(transformed, "**/*").items()
    } == dict.fromkeys(local, True)

    first, second = cloud.dataflow.jobs
    assert (killed.met, first.attempts, second.attempts) == (1, 2, 1)

    # Beam stages a list of the submitter's packages, to warn of differences. It stages no code, and
    # nothing to install.
    environment = ["Staged: submission_environment_dependencies.txt", f"Image: {IMAGE}, in docker"]
    ready = "Worker environment is ready; the staged pipeline starts."
    lost = "A worker was lost; its work is done again."
    assert said(first) == [*environment, ready, lost, "Worker pool stopped."]
    assert said(second) == [*environment, ready, "Worker pool stopped."]

    for job in (first, second):
        log = (cloud.executor.folder / job.id / "service.log").read_text(encoding="utf-8")
        assert "staged files: submission_environment_dependencies.txt\n" in log


@in_image
def test_a_launch_in_the_image(cloud: FakeCloud, examples: Path) -> None:
    path_of("gs://bucket/templates/seqline.json").write_text(json.dumps(template.spec(IMAGE)))
    root = "gs://bucket/launched"
    launched = {
        "jobName": "nightly",
        "containerSpecGcsPath": "gs://bucket/templates/seqline.json",
        "parameters": {
            "root": root,
            "to": "example_gen",
            "settings": "example_gen.source=gs://bucket/rows.jsonl",
        },
        "environment": {"tempLocation": "gs://staging/temp"},
    }

    url = f"{cloud.endpoint}/v1b3/projects/fake-project/locations/europe-west1/flexTemplates:launch"
    answer = requests.post(
        url,
        json={"launchParameter": launched},
        headers={"Authorization": "Bearer any"},
        timeout=900,
    )

    assert answer.status_code == 200, answer.text
    job = cloud.dataflow.wait(-1, 900)
    assert (job.name, job.state) == ("nightly", DONE), said(job)
    assert f"Image: {IMAGE}, in docker" in said(job)

    (made,) = (path_of(root) / "example_gen").glob("*/execution.json")
    assert contents(made.parent, "Split-*/*") == contents(examples, "Split-*/*")


@in_image
def test_what_the_image_has() -> None:
    inside = ["docker", "run", "--rm", "--entrypoint=python", IMAGE, "-m"]
    checked = subprocess.run([*inside, "pip", "check"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "No broken requirements found.\n")

    labels = subprocess.run(
        [*inside, "seqline.jobs.shipping"], capture_output=True, text=True
    ).stdout
    assert labels.split() == [
        f"--label={name}={value}" for name, value in shipping.labels().items()
    ]

    # Its labels name the versions of this machine, so the preflight accepts it.
    assert preflight.image_facts(IMAGE) == {
        name.partition(".")[2]: value for name, value in shipping.labels().items()
    }
    assert list(preflight.of_versions([f"--sdk_container_image={IMAGE}"])) == []


@pytest.mark.skipif(bool(NO_DOCKER), reason=str(NO_DOCKER))
@pytest.mark.parametrize(
    "other", [{"python": "3.10"}, {"beam": "2.60.0"}, {"python": "3.10", "pins": "0123"}], ids=str
)
def test_an_image_of_other_versions_is_refused(other: dict[str, str]) -> None:
    here = {name.partition(".")[2]: value for name, value in shipping.labels().items()}
    image = f"seqline-other-{uuid.uuid4().hex}:1"
    changes = [f"--change=LABEL seqline.{name}={value}" for name, value in (here | other).items()]
    empty_archive = bytes(10240)
    subprocess.run(
        ["docker", "import", *changes, "-", image],
        input=empty_archive,
        check=True,
        capture_output=True,
    )

    try:
        problems = list(preflight.of_versions([f"--sdk_container_image={image}"]))
    finally:
        subprocess.run(["docker", "image", "rm", image], check=True, capture_output=True)

    names = {
        "python": "Python",
        "beam": "apache-beam",
        "pins": "a set of dependencies with the digest",
    }

    assert problems == [
        f"the image {image} has {names[fact]} {value}, this machine {here[fact]}: build it from"
        " this version, or run from that one"
        for fact, value in other.items()
    ]
