"""Schemathesis against the server's own OpenAPI document; and what the health paths say."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.openapi import MODES, ask, operations
from tests.support.served import Server, half_plus, serving

# Each kind of signature once: the models of other kinds have the same ones.
MODELS = r"/(text|sequence|half_plus_three)[:/]?\w*$|half_plus_three/(versions|labels)/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.mark.slow
def test_answers_keep_to_the_document(server: Server) -> None:
    statuses: Counter[int] = Counter()
    for operation in operations(server.url):
        is_call = operation.method == "post"
        if "/v1/models/" in operation.path and not re.search(MODELS, operation.path):
            continue
        for mode in MODES if is_call or "{" in operation.path else MODES[:1]:
            statuses += ask(server.url, operation, mode, 12 if is_call else 4, first=1)

    assert {200, 400} <= statuses.keys() <= {200, 400, 404, 413}
    assert "Traceback" not in server.log.read_text()


def test_any_other_method_is_refused_with_those_that_are_allowed(server: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    for path in [path for path in paths if "{" not in path]:
        allowed = "POST" if "post" in paths[path] else "GET, HEAD"
        for method in set(METHODS) - set(allowed.split(", ")):
            response = requests.request(method, server.url + path, timeout=60)
            assert response.status_code == 405, (method, path)
            assert response.headers["allow"] == allowed
            assert response.headers["content-type"] == "application/json"


def test_the_document_names_every_model_and_its_tensors(server: Server) -> None:
    response = server.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document["openapi"] == "3.1.0"
    paths = document["paths"]
    assert {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/models"} <= paths.keys()
    for name in ("text", "tokens", "sequence", "documented", "typed", "half_plus_three"):
        assert {f"/v1/models/{name}", f"/v1/models/{name}/metadata"} <= paths.keys()
        assert f"/v1/models/{name}/versions/{{version}}:predict" in paths
    assert "/v1/models/empty" not in paths  # It has no signatures yet.
    assert "/v1/models/half_plus_three:regress" in paths
    assert "/v1/models/text:regress" not in paths

    body = paths["/v1/models/text:predict"]["post"]["requestBody"]["content"]["application/json"]
    rows, columns, *_ = body["schema"]["anyOf"]
    assert rows["required"] == ["instances"]
    assert columns["required"] == ["inputs"]


# Health.


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_server_with_a_version_is_alive_and_ready(server: Server, path: str) -> None:
    response = server.get(path)
    status = {"/healthz": "ok", "/readyz": "ready"}[path]
    assert (response.status_code, response.json()) == (200, {"status": status})
    assert requests.head(server.url + path, timeout=60).status_code == 200
    refused = requests.post(server.url + path, timeout=60)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_metrics_have_a_second_path(server: Server) -> None:
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert ':tensorflow:serving:loaded_version{model_name="text",version="7"} 1.0' in response.text


@pytest.fixture
def without_a_version(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    base = tmp_path / "models" / "half"
    base.mkdir(parents=True)
    poll = "--file_system_poll_wait_seconds=0.05"
    with serving(tmp_path, f"--model_base_path={base}", "--model_name=half", poll) as started:
        yield started, base


def test_a_server_without_a_version_is_alive_and_not_ready(
    without_a_version: tuple[Server, Path],
) -> None:
    server, base = without_a_version
    assert server.get("/healthz").status_code == 200
    response = server.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"error": "No version of any model is available."}
    assert response.headers["retry-after"] == "1"
    assert "/v1/models/half" not in server.get("/openapi.json").json()["paths"]

    half_plus(base / "made", 1).rename(base / "1")
    server.wait("/v1/models/half", "AVAILABLE")
    assert server.get("/readyz").json() == {"status": "ready"}
    assert "/v1/models/half:predict" in server.get("/openapi.json").json()["paths"]
