"""Google Cloud on loopback: Cloud Storage, Dataflow, tokens and metadata, for unmodified clients.

    with fake_cloud.serve(folder) as cloud:
        os.environ.update(cloud.environment)
        ... --runner=DataflowRunner --dataflow_endpoint=<cloud.endpoint>
            --temp_location=gs://bucket/temp ...

Jobs are really executed: see `tests.support.fake_cloud.executor`.
`python -m tests.support.fake_cloud` serves a cloud to a shell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_cloud import credentials, gcs, proxy
from tests.support.fake_cloud.dataflow import FakeDataflow
from tests.support.fake_cloud.executor import Executor
from tests.support.fake_cloud.faults import Faults
from tests.support.fake_cloud.launcher import Launcher
from tests.support.fake_cloud.projects import FakeProjects
from tests.support.fake_cloud.server import Handler, Reply, listening

BUCKET = "bucket"
REGION = "europe-west1"


@dataclass
class FakeCloud:
    """A running cloud."""

    gcs: gcs.FakeGcs
    dataflow: FakeDataflow
    executor: Executor
    faults: Faults
    environment: dict[str, str]  # the variables that a submitter needs
    endpoint: str  # of Dataflow's API, and of those that tell about the project
    projects: FakeProjects

    @property
    def flags(self) -> list[str]:
        """Flags with which a Beam pipeline runs here."""
        return [
            "--runner=DataflowRunner",
            f"--project={credentials.PROJECT}",
            f"--region={REGION}",
            f"--temp_location=gs://{BUCKET}/temp",
            f"--dataflow_endpoint={self.endpoint}",
        ]


@contextmanager
def serve(folder: Path) -> Iterator[FakeCloud]:
    """A cloud that runs until the block ends.

    Its key file, its certificates and the files of its jobs are written into `folder`.
    """
    faults = Faults()
    with gcs.serve() as store, proxy.serve(store, folder) as through_proxy:
        store.fault = faults.of
        store.buckets[BUCKET] = {}
        workers = {"STORAGE_EMULATOR_HOST": store.url, **through_proxy}
        executor = Executor(folder / "jobs", store.read, faults, workers)
        launcher = Launcher(folder / "launches", executor, store.read)
        projects = FakeProjects()
        dataflow = FakeDataflow(
            executor.execute,
            lambda *launch: launcher.launch(f"http://localhost:{port}", *launch),
            faults,
        )

        class ApiHandler(Handler):
            @staticmethod
            def answer(
                method: str, path: str, query: dict[str, str], headers: Any, body: bytes
            ) -> Reply:
                return (
                    credentials.answer(path)
                    or projects.answer(method, path, body)
                    or dataflow.answer(method, path, query, headers, body)
                )

        with listening(ApiHandler) as port:
            # Beam speaks REST with an endpoint that has "localhost" in it.
            endpoint = f"http://localhost:{port}"
            workers |= {
                "GCE_METADATA_HOST": f"localhost:{port}",
                "GCE_METADATA_IP": f"localhost:{port}",
            }
            key = folder / "service_account.json"
            credentials.write_service_account(key, f"{endpoint}/token")
            environment = {
                "STORAGE_EMULATOR_HOST": store.url,
                **through_proxy,
                "GOOGLE_APPLICATION_CREDENTIALS": str(key),
            }

            try:
                yield FakeCloud(store, dataflow, executor, faults, environment, endpoint, projects)
            finally:
                executor.close()


@contextmanager
def serve_here(folder: Path, rows: Path, **variables: str) -> Iterator[FakeCloud]:
    """A cloud that this process and its children use until the block ends.

    Args:
        folder: an empty one for the cloud's own files and the cache.
        rows: what gs://bucket/rows.jsonl holds.
        variables: set in the environment, too.
    """
    with serve(folder) as cloud, pytest.MonkeyPatch.context() as patch:
        cache = {"SEQLINE_CACHE": str(folder / "cache")}
        for name, value in (cloud.environment | cache | variables).items():
            patch.setenv(name, value)

        cloud.gcs.put(BUCKET, "rows.jsonl", rows.read_bytes())
        yield cloud
