"""Beam's portable runners (Prism, Flink, Spark, any job server): their flags, checked before a job.

Beam waits five minutes in silence for a job server that is not there, and downloads an engine that
is missing. Here both are refused within seconds. Imports Beam and gRPC only where an address is
asked.
"""

import os
import platform
import re
import shutil
import socket
import time
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqline.errors import UserError
from seqline.jobs.dataflow import option
from seqline.jobs.shipping import CODE_FLAGS
from seqline.suggest import suggestion

RUNNERS = ("PortableRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "KafkaStreamsRunner")
ENVIRONMENTS = ("LOOPBACK", "EXTERNAL", "PROCESS", "DOCKER")
# Each of the two is waited for this long: a server that has just been started may still load, and
# one that is stopped accepts connections without an answer.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 8.0
BEAM_CACHE = "~/.apache_beam/cache"
MAVEN = "https://repo.maven.apache.org/maven2/org/apache/beam"
# Masters that the job server itself starts.
OWN_MASTER = re.compile(r"\[(local|auto)\]|local(\[.*\])?")
POOL_COMMAND = "python -m apache_beam.runners.worker.worker_pool_main --service_port={port}"


class UnreachableError(UserError):
    """An address that a flag names does not answer, or something else answers there."""


def runner(beam_args: Sequence[str]) -> str:
    """The name of the portable runner that these flags name; "" for any other, and for none."""
    given = (option(beam_args, "runner") or "").rpartition(".")[2].lower()
    for name in RUNNERS:
        if given in (name.lower(), name.lower().removesuffix("runner")):
            return name
    return ""


def check(beam_args: Sequence[str]) -> None:
    """Checks that the job server, the engine and the worker pool that the flags name are there.

    Does nothing for another runner. Takes less than 20 seconds whatever is wrong.

    Raises:
        UserError: a flag is missing or wrong, or a file that it names.
        UnreachableError: an address does not answer.
    """
    name = runner(beam_args)
    if not name:
        return

    endpoint = option(beam_args, "job_endpoint")
    has_jar = name == "KafkaStreamsRunner" and option(beam_args, "kafka_streams_job_server_jar")
    if endpoint is None and name in ("PortableRunner", "KafkaStreamsRunner") and not has_jar:
        raise UserError(f"--runner={name} needs a job server: add -- --job_endpoint=HOST:PORT.")

    _check_environment(name, beam_args)
    if endpoint is not None:
        if endpoint != "embed":
            _check_job_server(endpoint)
    elif name == "PrismRunner":
        prism(beam_args)
    elif name == "FlinkRunner":
        _check_java_server(beam_args, "flink", "flink_master", "[auto]")
    elif name == "SparkRunner":
        _check_java_server(beam_args, "spark", "spark_master_url", "local[4]")

    pool = worker_pool(beam_args)
    if pool and (endpoint is None or is_here(endpoint)):
        _check_pool(pool)


def is_here(address: str) -> bool:
    """Whether an address is on the loopback device of this machine."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1", "embed", "") or host.startswith("127.")


def worker_pool(beam_args: Sequence[str]) -> str | None:
    """The address of the worker pool of --environment_type=EXTERNAL; None without one."""
    if _environment(beam_args) != "EXTERNAL":
        return None
    return option(beam_args, "environment_config") or _environment_option(
        beam_args, "external_service_address"
    )


def _environment(beam_args: Sequence[str]) -> str:
    return option(beam_args, "environment_type") or ""


def _environment_option(beam_args: Sequence[str], name: str) -> str | None:
    for flag in ("environment_option", "environment_options"):
        value = option(beam_args, flag) or ""
        if value.startswith(f"{name}="):
            return value.partition("=")[2]
    return None


def _check_environment(name: str, beam_args: Sequence[str]) -> None:
    """Checks what says where the workers run."""
    kind = _environment(beam_args)
    config = option(beam_args, "environment_config")
    if kind and kind not in ENVIRONMENTS and not kind.startswith("beam:env:"):
        raise UserError(
            f"--environment_type={kind} is none of {', '.join(ENVIRONMENTS)}."
            f"{suggestion(kind, ENVIRONMENTS)}"
        )

    if kind == "LOOPBACK" and config:
        raise UserError(
            f"--environment_type=LOOPBACK runs the workers in this command and takes no"
            f" --environment_config={config}: leave it out, or use EXTERNAL for a worker pool."
        )
    if kind == "EXTERNAL":
        pool = worker_pool(beam_args)
        if not pool:
            raise UserError(
                "--environment_type=EXTERNAL needs the worker pool's address:"
                f" --environment_config=HOST:PORT. `{POOL_COMMAND.format(port='PORT')}` starts one."
            )
        _check_address("environment_config", pool)
    if kind == "PROCESS" and not (config or _environment_option(beam_args, "process_command")):
        raise UserError(
            "--environment_type=PROCESS needs the command of a worker:"
            ' --environment_config=\'{"command": "/opt/apache/beam/boot"}\'.'
        )
    if _is_stock_image(name, kind, beam_args):
        raise UserError(
            f"--runner={name} would run the workers in Beam's stock image, which has no seqline:"
            " add --environment_type=LOOPBACK (in this command), --environment_type=EXTERNAL"
            " (a worker pool), or --environment_type=DOCKER --environment_config=IMAGE."
        )


def _is_stock_image(name: str, kind: str, beam_args: Sequence[str]) -> bool:
    """Whether the workers run in an image that nobody named, and no code is shipped to them."""
    if kind == "":
        master = option(beam_args, "flink_master") or option(beam_args, "spark_master_url")
        has_own_master = master is None or OWN_MASTER.fullmatch(master)
        if name != "PortableRunner" and has_own_master:
            return False  # Beam takes LOOPBACK
    elif kind != "DOCKER":
        return False

    named = option(beam_args, "environment_config")
    named = named or _environment_option(beam_args, "docker_container_image")
    return not named and not any(option(beam_args, flag) for flag in CODE_FLAGS)


def prism(beam_args: Sequence[str]) -> Path:
    """The binary of Prism: the one of --prism_location, on PATH, or in Beam's cache.

    Raises:
        UserError: there is none, or it cannot be executed.
    """
    release = f"v{version('apache-beam')}"
    way_out = (
        f"`go install github.com/apache/beam/sdks/v2/go/cmd/prism@{release}` builds it;"
        " name it with -- --prism_location=PATH."
    )
    given = option(beam_args, "prism_location")
    if given is None:
        return _prism_here() or _missing(
            f"--runner=PrismRunner needs Prism, and there is none on PATH. {way_out}"
        )

    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(f"--prism_location={given} is not a file of this machine. {way_out}")
    if zipfile.is_zipfile(path):
        raise UserError(f"--prism_location={given} is a zip archive: unpack it, and name the file.")
    if not os.access(path, os.X_OK):
        raise UserError(f"--prism_location={given} cannot be executed: `chmod +x {path}`.")
    return path.absolute()


def _prism_here() -> Path | None:
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    release = version("apache-beam")
    cache = Path(BEAM_CACHE, "prism", "bin").expanduser()
    downloaded = cache / f"apache_beam-v{release}-prism-{system}-{machine}"
    for candidate in (shutil.which("prism"), downloaded, cache / "prism"):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate).absolute()
    return None


def _missing(message: str) -> Any:
    raise UserError(message)


def _check_java_server(
    beam_args: Sequence[str], engine: str, master_flag: str, master_default: str
) -> None:
    """Checks what a job server of Flink's or Spark's is started from, and that its master answers.

    Args:
        beam_args: the flags.
        engine: "flink" or "spark".
        master_flag: the name of the flag for the master's address.
        master_default: Beam's default for it.
    """
    jar = _jar(beam_args, engine)
    if not zipfile.is_zipfile(jar):
        raise UserError(f"{jar} is not a whole jar: copy the job server's jar again.")

    launcher = option(beam_args, "job_server_java_launcher") or "java"
    if not shutil.which(launcher):
        raise UserError(
            f"{engine.title()}'s job server needs Java, and {launcher!r} is not on PATH: install a"
            " Java of at least version 11, or name it with -- --job_server_java_launcher=PATH."
        )

    master = option(beam_args, master_flag) or master_default
    if OWN_MASTER.fullmatch(master):
        return
    address = re.sub(r"^\w+://", "", master).rstrip("/")
    _check_address(master_flag, address, master)
    if why := _cannot_connect(address):
        raise UnreachableError(
            f"--{master_flag}={master}: no master of {engine.title()}'s answers ({why})."
            f" Start it, or correct --{master_flag}."
        )


def _jar(beam_args: Sequence[str], engine: str) -> Path:
    flag = f"{engine}_job_server_jar"
    kind = "3" if engine == "spark" else option(beam_args, "flink_version") or _flink_version()
    release = version("apache-beam")
    artifact = f"beam-runners-{engine}-{kind}-job-server"
    url = f"{MAVEN}/{artifact}/{release}/{artifact}-{release}.jar"

    given = option(beam_args, flag)
    if given is not None:
        if not Path(given).is_file():
            raise UserError(
                f"--{flag}={given} is not a file of this machine. `curl -O {url}` fetches one."
            )
        return Path(given)

    cache = Path(option(beam_args, "jar_cache_dir") or f"{BEAM_CACHE}/jars").expanduser()
    cached = cache / url.rpartition("/")[2]
    if not cached.is_file():
        raise UserError(
            f"--runner={engine.title()}Runner needs a job server: -- --job_endpoint=HOST:PORT"
            f" names one that runs, --{flag}=PATH its jar. `curl -O {url}` fetches the jar."
        )
    return cached


def _flink_version() -> str:
    """Beam's default: the newest version of Flink that it supports."""
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    return str(FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS[-1])


def _check_address(flag: str, address: str, given: str = "") -> None:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise UserError(f"--{flag}={given or address} is not an address: write HOST:PORT.")


def _cannot_connect(address: str) -> str:
    """Why no connection is made to an address, "" if one is."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            return ""
        except socket.gaierror:
            return f"there is no host {host!r}"
        except OSError as error:
            if time.monotonic() + 0.5 > deadline:
                return (error.strerror or str(error)).lower()
            time.sleep(0.5)


def _check_job_server(endpoint: str) -> None:
    """Raises UnreachableError if no job server answers at an address."""
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    _check_address("job_endpoint", endpoint)
    stub = beam_job_api_pb2_grpc.JobServiceStub
    request = beam_job_api_pb2.DescribePipelineOptionsRequest()
    if why := _no_answer(endpoint, stub, "DescribePipelineOptions", request):
        raise UnreachableError(
            f"--job_endpoint={endpoint}: no job server answers ({why})."
            " Start it, or correct --job_endpoint; then run the same command again."
        )


def _check_pool(pool: str) -> None:
    """Raises UnreachableError if no worker pool answers at an address."""
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

    stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub
    request = beam_fn_api_pb2.StopWorkerRequest(worker_id="none")  # a pool takes any id
    if why := _no_answer(pool, stub, "StopWorker", request):
        port = pool.rpartition(":")[2]
        raise UnreachableError(
            f"--environment_config={pool}: no worker pool answers ({why})."
            f" `{POOL_COMMAND.format(port=port)}` starts one; then run the same command again."
        )


def _no_answer(address: str, stub: Any, method: str, request: Any) -> str:
    """Why a gRPC service does not answer at an address, "" if it does."""
    if why := _cannot_connect(address):
        return why

    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            getattr(stub(channel), method)(request, timeout=ANSWER_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"connected, but no answer in {ANSWER_SECONDS:.0f} s"
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return "it is another service that listens there"
            return str(error.details() or error.code().name).lower()[:200]
    return ""
