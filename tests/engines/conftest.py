"""Each engine as a fixture: processes of its own, or a skip with the reason."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.engines import LOOPBACK, Engine


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The engine that a test's parameter names, such as "prism-pool"."""
    name = request.param
    folder = tmp_path / "engine"
    folder.mkdir()
    if name.endswith("-pool"):
        with (
            engines.worker_pool(folder) as (process, environment),
            _named(name, folder, environment, process) as engine,
        ):
            yield engine
    else:
        with _named(name, folder, LOOPBACK, None) as engine:
            yield engine


@contextmanager
def _named(
    name: str,
    folder: Path,
    environment: tuple[str, ...],
    pool: subprocess.Popen[bytes] | None,
) -> Iterator[Engine]:
    if name.startswith("prism"):
        binary = engines.prism()
        if binary is None:
            pytest.skip(f"no Prism: `make test-engines` installs it, or name it in {engines.PRISM}")
        flags = ("--runner=PrismRunner", f"--prism_location={binary}")
        yield Engine(name, (*flags, *environment), pool)
    elif name.startswith("flink"):
        jar = engines.flink_jar()
        if jar is None:
            pytest.skip(f"no jar of Flink's job server: name one in {engines.FLINK_JAR}")
        flags = ("--runner=FlinkRunner", f"--flink_job_server_jar={jar}", "--flink_master=[local]")
        yield Engine(name, (*flags, *environment), pool)
    else:
        with engines.job_server(folder) as port:
            flags = ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}")
            yield Engine(name, (*flags, *environment), pool)
