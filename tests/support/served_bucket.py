"""A serving_dir in a bucket: a moto server, its client, and what a push uploads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from serving.mirror import Choose

FLAG = "--model_base_path"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def started() -> Iterator[str]:
    """A moto server. Yields its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def filled(url: str) -> Iterator[Any]:
    """A client of a new bucket, `bucket`, which is emptied at the end."""
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    yield client
    for listed in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=listed["Key"])
    client.close()


def push(s3: Any, version: str, content: str = "model") -> None:
    """Uploads a version as a push does, saved_model.pb last."""
    for name in ("variables/variables.index", "saved_model.pb"):
        s3.put_object(Bucket="bucket", Key=f"{version}/{name}", Body=content.encode())


def remove(s3: Any, version: str) -> None:
    for name in ("saved_model.pb", "variables/variables.index"):
        s3.delete_object(Bucket="bucket", Key=f"{version}/{name}")


def files_of(folder: Path) -> list[str]:
    return [
        file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()
    ]


def files(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in files_of(folder)}


def newest(count: int) -> Choose:
    return lambda folder, numbers: set(sorted(numbers)[-count:])
