"""A real MLflow server on loopback, with SQLite below, and its REST API."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

START_SECONDS = 240


class MlflowServer:
    """A server.

    Attributes:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        return self._answer(
            requests.get(f"{self.url}/api/2.0/mlflow/{path}", params=parameters, timeout=60)
        )

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._answer(
            requests.post(f"{self.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        )

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """The runs of an experiment, oldest first."""
        found = self.get("experiments/get-by-name", experiment_name=experiment)
        number = found["experiment"]["experiment_id"]
        answer = self.post(
            "runs/search", experiment_ids=[number], order_by=["attributes.start_time ASC"]
        )
        return list(answer.get("runs", []))

    def history(self, run: dict[str, Any], metric: str) -> list[tuple[int, float]]:
        """(step, value) of each figure under a name."""
        answer = self.get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=metric)
        return [(point.get("step", 0), point["value"]) for point in answer.get("metrics", [])]

    @staticmethod
    def _answer(response: requests.Response) -> dict[str, Any]:
        assert response.ok, response.text
        content: dict[str, Any] = response.json()
        return content


def values(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """key -> value of the tags, params or metrics of a run."""
    return {row["key"]: row["value"] for row in rows}


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """Serves until the end of the block, with its database and artifacts in a folder."""
    program = Path(sys.executable).with_name("mlflow")
    if not program.exists():
        pytest.skip(f"{program} does not exist")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    places += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [program, "server", *places, "--host=127.0.0.1", f"--port={port}", "--workers=1"],
            stdout=log,
            stderr=log,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health", server, folder / "log")
        yield MlflowServer(url)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=60).ok:
                return
        time.sleep(0.2)
    raise AssertionError(f"the server does not answer: {log.read_text()}")
