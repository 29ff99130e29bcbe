"""A server with models of every kind, its gRPC stubs, and a bucket that a server may read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tests.support.explained import explained_model
from tests.support.models import fake_model
from tests.support.served import Server, documented, half_plus, serving, typed
from tests.support.training import free_ports

TYPES = [
    "bool",
    "string",
    "int8",
    "uint8",
    "int16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "half",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
]
CONFIG = """
model_config_list {{
  config {{
    name: "half_plus_three" base_path: "half" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 123 versions: 124 }} }}
    version_labels {{ key: "stable" value: 123 }}
    version_labels {{ key: "canary" value: 124 }}
  }}
  config {{ name: "documented" base_path: "documented" }}
  config {{ name: "typed" base_path: "typed" }}
  config {{ name: "tokens" base_path: "tokens" }}
  config {{ name: "sequence" base_path: "sequence" }}
  config {{ name: "empty" base_path: "empty" }}
  config {{ name: "explained" base_path: "explained" }}
  config {{ name: "text" base_path: "{text}" }}
}}
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    half_plus(folder / "half" / "123", 3)
    half_plus(folder / "half" / "124", 4)
    documented(folder / "documented" / "1")
    typed(folder / "typed" / "1", TYPES)
    for content in ("tokens", "sequence"):
        (folder / content).mkdir()
        fake_model(folder / "made" / content, content).rename(folder / content / "1")

    (folder / "explained").mkdir()
    explained_model(folder / "made" / "explained").rename(folder / "explained" / "1")
    (folder / "text").mkdir()
    (folder / "text" / "7").symlink_to(saved_model / "saved_model")
    (folder / "models.config").write_text(CONFIG.format(text=folder / "text"))

    limits = ("--max_body_bytes=100000", "--max_rows=300", "--max_batch_size=8")
    [port] = free_ports(1)
    config = f"--model_config_file={folder / 'models.config'}"
    with serving(folder, config, f"--port={port}", *limits) as started:
        started.wait("/v1/models/half_plus_three", "AVAILABLE", "AVAILABLE")
        for name in ("documented", "typed", "tokens", "sequence", "explained", "text"):
            started.wait(f"/v1/models/{name}", "AVAILABLE")
        yield started


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        server.grpc, [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    # Here: the other tests of the server do not wait for moto's imports.
    from tests.support.served_bucket import started

    with started() as url:
        yield url


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty bucket, `bucket`, which the environment names."""
    from tests.support.served_bucket import ENVIRONMENT, filled

    places = {"AWS_ENDPOINT_URL": moto, "SEQLINE_CACHE": str(tmp_path / "cache")}
    for name, value in {**ENVIRONMENT, **places}.items():
        monkeypatch.setenv(name, value)
    with filled(moto) as client:
        yield client
