"""The embedded server as a process of its own, and models made for it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import tensorflow as tf

from tests.support import CHECKOUT

TIMEOUT = 120


@dataclass
class Server:
    url: str
    process: subprocess.Popen
    log: Path
    grpc: str = ""  # host and port, if --port is given

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=TIMEOUT)

    def post(self, path: str, body: Any) -> requests.Response:
        return requests.post(self.url + path, json.dumps(body), timeout=TIMEOUT)  # NaN, too

    def answer(self, path: str, body: Any) -> Any:
        """The answer to a valid request."""
        response = self.post(path, body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        return response.json()

    def refusal(self, path: str, body: Any) -> str:
        """The error that an invalid request gets."""
        response = self.post(path, body)
        assert response.status_code == 400, response.text
        assert list(response.json()) == ["error"]
        return response.json()["error"]

    def wait(self, path: str, *states: str) -> None:
        """Waits until the versions of a model, the newest first, have these states."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            response = self.get(path)
            versions = response.json().get("model_version_status", [])
            if tuple(version["state"] for version in versions) == states:
                return
            time.sleep(0.02)
        raise AssertionError(f"{path} is {response.text}, not {states}\n{self.log.read_text()}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)

    def rss(self) -> int:
        """Bytes of memory that the process holds (Linux)."""
        num_pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return num_pages * os.sysconf("SC_PAGE_SIZE")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    """A server on a free port, with its files in `folder`.

    It listens from the beginning; its models may still be loading.
    """
    port_file, log = folder / "port", folder / "log.txt"
    command = [
        sys.executable,
        "-m",
        "serving",
        "--rest_api_port=0",
        f"--port_file={port_file}",
        *flags,
    ]

    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=output)

    try:
        deadline = time.monotonic() + TIMEOUT
        while not port_file.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        grpc_port = next((flag for flag in flags if flag.startswith("--port=")), "--port=")
        yield Server(
            f"http://127.0.0.1:{int(port_file.read_text())}",
            process,
            log,
            f"127.0.0.1:{grpc_port.removeprefix('--port=')}",
        )
    finally:
        process.kill()
        process.wait()


def save(path: Path, **functions: Any) -> Path:
    """A SavedModel with a signature for each tf.function."""
    module = tf.Module()
    for name, function in functions.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(path), signatures=functions)
    return path


def half_plus(path: Path, number: float) -> Path:
    """The documentation's half_plus_three, for any number.

    It has predict, regress and classify signatures of x / 2 + number.
    """
    info = tf.compat.v1.saved_model.build_tensor_info
    define = tf.compat.v1.saved_model.build_signature_def
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        examples = tf.compat.v1.placeholder(tf.string, [None], "tf_example")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        outputs = (parsed / 2 + number)[:, None]
        scores = tf.concat([outputs, -outputs], axis=1)
        classes = tf.tile([["plus", "minus"]], [tf.shape(examples)[0], 1])
        read = {"inputs": info(examples)}
        signatures = {
            "serving_default": define(
                {"x": info(x)}, {"y": info(x / 2 + number)}, "tensorflow/serving/predict"
            ),
            "tensorflow/serving/regress": define(
                read, {"outputs": info(outputs)}, "tensorflow/serving/regress"
            ),
            "classify": define(
                read,
                {"classes": info(classes), "scores": info(scores)},
                "tensorflow/serving/classify",
            ),
        }

        builder = tf.compat.v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures)
        builder.save()

    return path


def documented(path: Path) -> Path:
    """The inputs of the documentation's examples: tag, signal and sensor."""
    spec = tf.TensorSpec

    @tf.function(
        input_signature=[
            spec([None], tf.string, "tag"),
            spec([None, 5], tf.int32, "signal"),
            spec([None, 2, 2], tf.float32, "sensor"),
        ]
    )
    def serving_default(tag: Any, signal: Any, sensor: Any) -> Any:
        return {
            "tag": tag,
            "tag_bytes": tag,
            "sum": tf.reduce_sum(signal, axis=1),
            "sensor": sensor * 2.0,
        }

    @tf.function(input_signature=[spec([None, 1, 2], tf.float32, "x")])
    def matrix(x: Any) -> Any:
        return {"y": x + 0.5}

    @tf.function(input_signature=[spec([None], tf.float32, "a"), spec([None], tf.float32, "b")])
    def sizes(a: Any, b: Any) -> Any:
        return {"a": tf.size(a), "b": b}

    @tf.function(input_signature=[spec([], tf.string, "x")])
    def scalar(x: Any) -> Any:
        return {"y": tf.strings.length(x)}

    return save(path, serving_default=serving_default, matrix=matrix, sizes=sizes, scalar=scalar)


def typed(path: Path, names: list[str]) -> Path:
    """A model with a signature for each type of tensor, which returns its input."""

    def same(name: str) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([None], getattr(tf, name), "x")])
        def identity(x: Any) -> Any:
            return {"y": tf.identity(x)}

        return identity

    return save(path, **{name: same(name) for name in names})
