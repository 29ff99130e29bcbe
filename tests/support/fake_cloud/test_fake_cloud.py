"""The fake cloud with clients that others wrote.

Beam's own example is submitted by the unmodified DataflowRunner; TensorFlow reads and writes gs://.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from seqline.jobs import shipping
from tests.support import fake_cloud
from tests.support.fake_cloud import BUCKET, FakeCloud
from tests.support.fake_cloud.dataflow import DONE

LINES = b"the cat and the dog\nthe end\n"
COUNTS = {"and: 1", "cat: 1", "dog: 1", "end: 1", "the: 3"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCloud]:
    with fake_cloud.serve(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


def run(cloud: FakeCloud, *command: str, cwd: Path) -> str:
    """Runs a command in a folder from which nothing can be imported. Returns its output."""
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | cloud.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_word_count_by_the_dataflow_runner(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.gcs.put(BUCKET, "lines.txt", LINES)
    places = [f"--input=gs://{BUCKET}/lines.txt", f"--output=gs://{BUCKET}/counts/part"]
    upload = cloud.faults.add("POST /upload/.*", status=503)
    cloud.faults.retry_bundles = True

    run(
        cloud,
        "-m",
        "apache_beam.examples.wordcount",
        *places,
        *cloud.flags,
        "--job_name=word-count",
        "--labels=made=by-test",
        cwd=tmp_path,
    )

    (job,) = cloud.dataflow.jobs
    assert job.name == "word-count"
    assert job.state == DONE
    assert job.attempts == 1
    assert job.description["labels"] == {"made": "by-test"}

    # The first result of a repeated bundle stays in Beam's own temporary folder.
    names = [
        name
        for name in cloud.gcs.buckets[BUCKET]
        if name.startswith("counts/") and "beam-temp" not in name
    ]
    assert names == ["counts/part-00000-of-00001"]
    assert set(cloud.gcs.read(f"gs://{BUCKET}/{names[0]}").decode().splitlines()) == COUNTS
    assert upload.met == 1

    texts = [message["messageText"] for message in job.messages]
    image = f"beam_python{shipping.python()}_sdk:{version('apache-beam')}"
    assert [text for text in texts if "operation" not in text] == [
        "Staged: pickled_main_session, submission_environment_dependencies.txt",
        f"Image: gcr.io/cloud-dataflow/v1beta3/{image}",
        "Worker environment is ready; the staged pipeline starts.",
        "Worker pool stopped.",
    ]


def test_tensorflow_reads_and_writes(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.gcs.put(BUCKET, "folder/there.txt", b"there")
    code = """
import json
import tensorflow as tf
gfile = tf.io.gfile
with gfile.GFile("gs://bucket/folder/new.part", "wb") as file:
    file.write(b"0123456789" * 100_000)
gfile.rename("gs://bucket/folder/new.part", "gs://bucket/folder/new", overwrite=True)
with gfile.GFile("gs://bucket/folder/new", "rb") as file:
    file.seek(5)
    tail = file.read()
print(json.dumps([
    gfile.GFile("gs://bucket/folder/there.txt").read(),
    sorted(gfile.listdir("gs://bucket/folder")),
    gfile.glob("gs://bucket/*/n*"),
    gfile.exists("gs://bucket/folder/new.part"),
    gfile.isdir("gs://bucket/folder"),
    len(tail),
    tail[:5].decode(),
]))
"""

    answers = json.loads(run(cloud, "-c", code, cwd=tmp_path))
    assert answers == [
        "there",
        ["new", "there.txt"],
        ["gs://bucket/folder/new"],
        False,
        True,
        999_995,
        "56789",
    ]
    assert cloud.gcs.read("gs://bucket/folder/new") == b"0123456789" * 100_000


def test_a_request_without_a_token_is_refused(cloud: FakeCloud) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cloud.endpoint}/v1b3/projects/p/locations/r/jobs")
