"""The commands of deploy/, with the environment that their manifests give, as processes here.

What Kubernetes does is done by the test: it gives each pod its index, resolves the pods' names, and
makes all pods again when one of them ends with exit code 50.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from seqline.errors import StoppedError
from tests.support.command_line import environment
from tests.support.corpus import corpus_rows
from tests.support.manifests import document
from tests.support.training import free_ports

pytestmark = pytest.mark.slow

TIMEOUT = 240
SMALL = {
    "SEQLINE_TRAINER__RNN_UNITS": "8",
    "SEQLINE_TRAINER__EMBEDDING_DIM": "8",
    "SEQLINE_TRAINER__BATCH_SIZE": "16",
    "SEQLINE_TRAINER__CHECKPOINT_STEPS": "10",
    "SEQLINE_TRAINER__NUM_EPOCHS": "20",
    "SEQLINE_TRAINER__PATIENCE": "20",
}


def start(
    container: Mapping[str, Any], places: Mapping[str, str], more: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Starts a container's command here.

    Args:
        places: text in arguments and variables -> what stands for it here.
        more: further variables.
    """

    def here(text: str) -> str:
        for name, place in places.items():
            text = text.replace(name, place)
        return text

    given = {item["name"]: here(item["value"]) for item in container["env"]}
    command = "serving" if container["args"][0] == "serve" else "pipeline"
    arguments = [here(argument) for argument in container["args"]]
    return subprocess.Popen(
        [sys.executable, "-m", command, *arguments[command == "serving" :]],
        env={**environment(), "CUDA_VISIBLE_DEVICES": "-1", **given, "HOME": os.environ["HOME"]}
        | dict(more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def neighbours() -> int:
    """A port P with P0 and P1 free, written in decimal."""
    for number in range(2000, 6000):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("", number * 10))
                second.bind(("", number * 10 + 1))
            except OSError:
                continue
            return number
    raise AssertionError("no two neighbouring ports are free")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the claim holds after the job."""
    folder = tmp_path_factory.mktemp("cluster")
    volume = folder / "seqline"
    (volume / "data").mkdir(parents=True)
    rows = "".join(f'"{row["text"]}",{row["label"]}\n' for row in corpus_rows())
    (volume / "data" / "reviews.csv").write_text("text,label\n" + rows)
    (folder / "config").mkdir()
    for name, text in document("jobset", "ConfigMap")["data"].items():
        (folder / "config" / name).write_text(text.replace("/seqline/", f"{volume}/"))
    return volume


def test_the_job_trains_and_goes_on_after_exit_code_50(volume: Path) -> None:
    jobset = document("jobset", "JobSet")
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    places = {
        "/config/": f"{volume.parent}/config/",
        "/seqline/": f"{volume}/",
        "train-workers-0-{index}.train:2222": f"127.0.0.1:{neighbours()}{{index}}",
    }

    attempts: list[list[int]] = []
    for attempt in range(2):
        pods = [
            start(container, places, {**SMALL, "JOB_COMPLETION_INDEX": str(index)})
            for index in range(2)
        ]
        if attempt == 0:
            deadline = time.monotonic() + TIMEOUT
            while not list(volume.glob("artifacts/work/*/checkpoint-*.npz")):
                assert time.monotonic() < deadline
                assert pods[0].poll() is None, pods[0].communicate()
                time.sleep(0.05)
            pods[1].kill()  # as a machine that vanishes

        outputs = [process.communicate(timeout=TIMEOUT) for process in pods]
        attempts.append([process.returncode for process in pods])

    assert attempts == [[StoppedError.exit_code, -signal.SIGKILL], [0, 0]], outputs
    assert "trainer: ended; its artifact is the chief's" in outputs[1][0]
    assert (volume / "serving_dir" / "reviews" / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize("name", ["serving", "kserve"])
def test_what_the_job_pushed_is_served(volume: Path, name: str) -> None:
    kind = {"serving": "Deployment", "kserve": "InferenceService"}[name]
    spec = document(name, kind)["spec"]
    pod = spec["predictor"] if name == "kserve" else spec["template"]["spec"]
    (container,) = pod["containers"]

    http, grpc = free_ports(2)
    places = {"/seqline/": f"{volume}/", "--port=8500": f"--port={grpc}"}
    places |= {f"_port={port}": f"_port={http}" for port in (8501, 8080)}
    server = start(container, places, {})
    try:
        url = f"http://127.0.0.1:{http}"
        for probe in ("livenessProbe", "readinessProbe"):
            wait(url + container[probe]["httpGet"]["path"], server)
        answer = requests.post(
            f"{url}/v1/models/reviews:predict", json={"instances": ["a cat"]}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == 1

        server.send_signal(signal.SIGTERM)
        assert server.wait(TIMEOUT) == 0
    finally:
        server.kill()
        server.communicate()


def wait(url: str, server: subprocess.Popen[str]) -> None:
    """Waits until a probe is answered with 200."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        assert server.poll() is None, server.communicate()
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} was never answered with 200")
