"""A server with models of every kind, for the tests of the REST API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
