"""Object stores that others wrote, each a process of its own on loopback.

| name | written in | speaks |
|---|---|---|
| moto | Python | S3 |
| versitygw | Go | S3 |
| s3rver | Node.js | S3, without conditional puts |
| azurite | Node.js | Azure Blob Storage |
| fake-gcs-server | Go | Google Cloud Storage |

`make test-stores` installs them into .emulators of the checkout; SEQLINE_EMULATORS names another
folder of the same layout: bin/ has programs by Go, node_modules/.bin those by npm.
"""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.support import CHECKOUT
from tests.support.training import free_ports

FOLDER = Path(os.environ.get("SEQLINE_EMULATORS") or CHECKOUT / ".emulators")
BUCKET = "bucket"
TIMEOUT = 60
# The account that azurite has, with its key, which Microsoft publishes.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@dataclass(frozen=True)
class Emulator:
    """A running store with an empty bucket.

    Attributes:
        name: Which one.
        place: The bucket: s3://bucket, az://bucket or gs://bucket.
        environment: The variables by which clients find it.
        log: What it has printed.
    """

    name: str
    place: str
    environment: dict[str, str]
    log: Path


@contextmanager
def moto(folder: Path) -> Iterator[Emulator]:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]
    with _s3("moto", command, folder) as emulator:
        yield emulator


@contextmanager
def versitygw(folder: Path) -> Iterator[Emulator]:
    (folder / "buckets").mkdir()
    program = _program("versitygw", "bin")
    keys = ["--access", "seqline", "--secret", "seqline-secret"]
    command = [program, *keys, "--port", "127.0.0.1:{port}", "posix", str(folder / "buckets")]
    with _s3("versitygw", command, folder, "seqline", "seqline-secret") as emulator:
        yield emulator


@contextmanager
def s3rver(folder: Path) -> Iterator[Emulator]:
    program = _program("s3rver", "node_modules/.bin")
    place = ["--directory", str(folder / "buckets"), "--no-vhost-buckets"]
    command = [program, "--address", "127.0.0.1", "--port", "{port}", *place]
    with _s3("s3rver", command, folder, "S3RVER", "S3RVER") as emulator:
        yield emulator


@contextmanager
def azurite(folder: Path) -> Iterator[Emulator]:
    program = _program("azurite-blob", "node_modules/.bin")
    place = ["--location", str(folder / "blobs"), "--disableTelemetry", "--silent"]
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", "{port}", *place]
    with _running("azurite", command, folder) as url:
        endpoint = f"{url}/{ACCOUNT}"
        _make_container(endpoint)
        environment = {
            "AZURE_STORAGE_ENDPOINT": endpoint,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        }
        yield Emulator("azurite", f"az://{BUCKET}", environment, folder / "log.txt")


@contextmanager
def fake_gcs_server(folder: Path) -> Iterator[Emulator]:
    program = _program("fake-gcs-server", "bin")
    place = ["-backend", "filesystem", "-filesystem-root", str(folder / "buckets")]
    address = ["-scheme", "http", "-host", "127.0.0.1", "-port", "{port}"]
    names = ["-public-host", "127.0.0.1:{port}", "-external-url", "http://127.0.0.1:{port}"]
    command = [program, *address, *names, *place, "-log-level", "warn"]
    with _running("fake-gcs-server", command, folder) as url:
        made = requests.post(f"{url}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10)
        made.raise_for_status()
        environment = {"STORAGE_EMULATOR_HOST": url}
        yield Emulator("fake-gcs-server", f"gs://{BUCKET}", environment, folder / "log.txt")


EMULATORS: dict[str, Callable] = {
    "moto": moto,
    "versitygw": versitygw,
    "azurite": azurite,
    "fake-gcs-server": fake_gcs_server,
}


@contextmanager
def _s3(
    name: str, command: list[str], folder: Path, key: str = "seqline", secret: str = "seqline"
) -> Iterator[Emulator]:
    """Runs a store that speaks S3, and makes the bucket by the client of Amazon's own."""
    import boto3

    with _running(name, command, folder) as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield Emulator(name, f"s3://{BUCKET}", environment, folder / "log.txt")


def _program(name: str, subfolder: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    program = FOLDER / subfolder / name
    if not program.exists():
        pytest.skip(f"{program} is not there: `make test-stores` installs it")
    if subfolder.startswith("node_modules") and shutil.which("node") is None:
        pytest.skip(f"{name} needs node, which is not on the PATH")
    return str(program)


@contextmanager
def _running(name: str, command: list[str], folder: Path) -> Iterator[str]:
    """Runs a command, {port} a free port, until the block ends. Yields its URL once it answers."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    log = folder / "log.txt"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}

    with log.open("w") as output:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the tests ends them first, and they end it.
            start_new_session=True,
        )
    try:
        _wait_for(name, url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(name: str, url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        assert process.poll() is None, f"{name} has ended:\n{log.read_text()}"
        try:
            requests.get(url, timeout=5).close()
            return
        except requests.RequestException:
            assert time.monotonic() < deadline, f"{name} does not answer:\n{log.read_text()}"
            time.sleep(0.05)


def _make_container(endpoint: str) -> None:
    """Creates the container by one request of Azure's REST API, signed by the account's key."""
    headers = {
        "x-ms-date": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}",
        "x-ms-version": "2021-08-06",
    }
    # The method, eleven standard headers that are not sent, the service's own, and the resource.
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    signed = f"PUT{12 * chr(10)}{canonical}{resource}"
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"

    made = requests.put(
        f"{endpoint}/{BUCKET}", params={"restype": "container"}, headers=headers, timeout=10
    )
    assert made.status_code == 201, made.text
