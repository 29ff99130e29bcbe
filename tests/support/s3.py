"""S3 in this process, by moto, for tests that need no store of their own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@contextmanager
def serve() -> Iterator[str]:
    """S3 with an empty bucket; this process uses it until the block ends. Yields its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        # All servers of a process have one memory, which outlives them.
        requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]:
                patch.delenv(name)
            for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
                patch.setenv(name, value)
            client().create_bucket(Bucket=BUCKET)
            yield url
    finally:
        server.stop()


def client() -> "boto3.client":
    """Amazon's own client of the store that the environment names."""
    return boto3.client("s3")
