"""What flags of portable runners are refused, before anything runs."""

import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqline.errors import DataError, LostWorkerError, UserError
from seqline.jobs import dataflow, portable, portable_job

PRISM = "--runner=PrismRunner"
SERVER = "--runner=PortableRunner"
LOOPBACK = "--environment_type=LOOPBACK"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nothing listens at until the test has ended."""
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of a server that accepts connections and says nothing."""
    with socket.create_server(("localhost", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(portable, "ANSWER_SECONDS", 0.2)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "prism"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def refusal(*flags: str) -> str:
    with pytest.raises(UserError) as raised:
        portable.check(flags)
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_other_runners_are_not_checked() -> None:
    portable.check([])
    portable.check(["--runner=FnApiRunner", "--job_endpoint=nowhere"])


@pytest.mark.parametrize("name", ["PrismRunner", "prism", "a.module.PrismRunner"])
def test_a_runner_is_known_by_each_of_its_names(name: str) -> None:
    assert portable.runner([f"--runner={name}"]) == "PrismRunner"


def test_a_job_server_must_be_named_and_answer(closed_port: int, silent_port: int) -> None:
    assert refusal(SERVER) == (
        "--runner=PortableRunner needs a job server: add -- --job_endpoint=HOST:PORT."
    )
    assert refusal(SERVER, LOOPBACK, "--job_endpoint=http://host:80") == (
        "--job_endpoint=http://host:80 is not an address: write HOST:PORT."
    )
    endpoint = f"--job_endpoint=localhost:{closed_port}"
    assert refusal(SERVER, LOOPBACK, endpoint) == (
        f"{endpoint}: no job server answers (connection refused). Start it, or correct"
        " --job_endpoint; then run the same command again."
    )
    endpoint = f"--job_endpoint=localhost:{silent_port}"
    assert refusal(SERVER, LOOPBACK, endpoint) == (
        f"{endpoint}: no job server answers (connected, but no answer in 0 s). Start it, or"
        " correct --job_endpoint; then run the same command again."
    )


def test_workers_need_a_place_that_has_seqline(binary: Path, closed_port: int) -> None:
    prism = (PRISM, f"--prism_location={binary}")
    portable.check(prism)
    portable.check([*prism, LOOPBACK])

    assert "would run the workers in Beam's stock image" in refusal(
        SERVER, "--job_endpoint=localhost:1"
    )
    assert refusal(*prism, "--environment_type=LOOPBAK") == (
        "--environment_type=LOOPBAK is none of LOOPBACK, EXTERNAL, PROCESS, DOCKER."
        " Did you mean 'LOOPBACK'?"
    )
    assert "takes no --environment_config=x" in refusal(*prism, LOOPBACK, "--environment_config=x")
    external = (*prism, "--environment_type=EXTERNAL")
    assert "needs the worker pool's address" in refusal(*external)
    assert "is not an address" in refusal(*external, "--environment_config=localhost")
    assert "needs the command of a worker" in refusal(
        *prism, "--environment_type=PROCESS", "--environment_config=boot"
    )

    pool = f"--environment_config=localhost:{closed_port}"
    assert refusal(*external, pool) == (
        f"{pool}: no worker pool answers (connection refused)."
        " `python -m apache_beam.runners.worker.worker_pool_main"
        f" --service_port={closed_port}` starts one; then run the same command again."
    )


def test_prism_must_be_here(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(portable, "BEAM_CACHE", str(tmp_path / "cache"))
    way_out = "`go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2."
    assert refusal(PRISM).startswith(
        f"--runner=PrismRunner needs Prism, and there is none on PATH. {way_out}"
    )
    url = "--prism_location=https://github.com/apache/beam/releases/tag/v2.77.0"
    assert refusal(PRISM, url).startswith(f"{url} is not a file of this machine. {way_out}")

    with zipfile.ZipFile(tmp_path / "prism.zip", "w"):
        pass
    assert "is a zip archive" in refusal(PRISM, f"--prism_location={tmp_path}/prism.zip")
    (tmp_path / "text").touch()
    assert "cannot be executed" in refusal(PRISM, f"--prism_location={tmp_path}/text")

    (tmp_path / "bin").mkdir()
    binary.rename(tmp_path / "bin" / "prism")
    assert portable.prism([PRISM]) == tmp_path / "bin" / "prism"


def test_a_job_server_of_java_must_be_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setattr(portable, "BEAM_CACHE", str(tmp_path / "cache"))
    flink = ("--runner=FlinkRunner", "--flink_version=1.19")
    jar = "beam-runners-flink-1.19-job-server/2."
    assert f"curl -O https://repo.maven.apache.org/maven2/org/apache/beam/{jar}" in refusal(*flink)
    assert "is not a file" in refusal(*flink, f"--flink_job_server_jar={tmp_path}/no.jar")

    (tmp_path / "cut.jar").write_text("PK")
    assert "is not a whole jar" in refusal(*flink, f"--flink_job_server_jar={tmp_path}/cut.jar")

    with zipfile.ZipFile(tmp_path / "x.jar", "w"):
        pass
    given = (*flink, f"--flink_job_server_jar={tmp_path}/x.jar", LOOPBACK)
    assert "needs Java, and 'jawa' is not on PATH" in refusal(
        *given, "--job_server_java_launcher=jawa"
    )
    java = "--job_server_java_launcher=sh"
    master = f"--flink_master=localhost:{closed_port}"
    assert refusal(*given, java, master) == (
        f"{master}: no master of Flink's answers (connection refused)."
        " Start it, or correct --flink_master."
    )


RAISED = "Traceback (most recent call last):\n  File x\n{} [while running 'Read']\n"


def test_a_failure_is_the_workers_own_a_lost_machine_or_a_refusal() -> None:
    data = portable_job.failure("X", [RAISED.format("seqline.errors.DataError: row 3 is bad")])
    assert (type(data), str(data)) == (DataError, "row 3 is bad")

    bug = portable_job.failure("X", [RAISED.format("KeyError: 'a'")])
    assert type(bug) is RuntimeError

    lost = portable_job.failure("X", ["SDK worker disconnected: context canceled"])
    assert (type(lost), str(lost)) == (
        LostWorkerError,
        "A worker of the job on X was lost: SDK worker disconnected: context canceled."
        " Run the same command again: it goes on from there.",
    )
    absent = portable_job.failure("X", ["ModuleNotFoundError: No module named 'seqline'"])
    assert type(absent) is dataflow.JobFailedError
    other = portable_job.failure("X", ["not enough slots"])
    assert str(other) == "The job on X failed: not enough slots."
