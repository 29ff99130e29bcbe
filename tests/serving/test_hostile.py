"""Every hostile body is answered at once, in one short line, and none as the server's own error."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from serving.errors import MAX_LENGTH
from tests.support.hostile import bodies
from tests.support.served import TIMEOUT, Server, serving

# What an answer has around its error, in bytes: '{"error":""}', and escapes.
MORE = 600
ALLOWED = {200, 400, 413, 415}


@pytest.fixture(scope="module")
def text_server(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "m").mkdir()
    (folder / "m" / "1").symlink_to(saved_model / "saved_model")
    with serving(folder, "--model_name=m", f"--model_base_path={folder / 'm'}") as server:
        server.wait("/v1/models/m", "AVAILABLE")
        yield server


def test_no_body_is_the_servers_error(text_server: Server) -> None:
    wrong = {}
    for name, (path, headers, body) in bodies().items():
        got = requests.post(text_server.url + path, body, headers=headers, timeout=TIMEOUT)
        is_short = got.status_code == 200 or len(got.content) <= MAX_LENGTH + MORE
        if got.status_code not in ALLOWED or not is_short or "\n" in got.text:
            wrong[name] = (got.status_code, got.text[:200])

    assert not wrong
    log = text_server.log.read_text()
    assert "Traceback" not in log
    assert len(log) < 1000


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("context of 8 KB in 9,000", 413, "'context' in each of 9000 examples takes 72"),
        ("context of 900 KB in 10,000", 413, "'context' in each of 10000 examples takes 9000"),
        ("lists, 1 MB", 413, "The request has 333334 rows; this server takes 10000 at most."),
        ("lists, 16 MB", 413, "The request's body has more than 2097152 bytes; send its rows in"),
        ("text of one mark, 1 MB", 413, "Input text: a string of item 0 has 1000001 bytes; this"),
        ("gzip bomb", 413, "The request's body has more than 2097152 bytes; send its rows in"),
        ("an unknown encoding", 415, "Content-Encoding 'br' is not known here; send one of"),
        *(
            (f"{signature}: {kind}", 400, "Could not parse example input: item 0 of 1 (counted")
            for signature in ("serving_examples", "transform_features")
            for kind in ("no Example", "a cut Example", "a huge length", "deep groups")
        ),
        ("serving_examples: text of numbers", 400, "Name: <unknown>, Key: text"),
        ("serving_examples: an empty Example", 400, "Name: <unknown>, Feature: text (data type"),
        (
            "transform_features: one long and 9,000 short",
            413,
            "The rows, each as long as the longest, take 540",
        ),
    ],
)
def test_what_each_kind_is_told(text_server: Server, name: str, status: int, message: str) -> None:
    path, headers, body = bodies()[name]
    got = requests.post(text_server.url + path, body, headers=headers, timeout=TIMEOUT)
    assert (got.status_code, got.json()["error"][: len(message)]) == (status, message)


def test_a_compressed_request_is_answered(text_server: Server) -> None:
    path, headers, _ = bodies()["gzip bomb"]
    body = gzip.compress(b'\xef\xbb\xbf{"instances":["The cat and dog"]}')
    packed = requests.post(text_server.url + path, body, headers=headers, timeout=TIMEOUT)
    plain = text_server.answer(path, {"instances": ["The cat and dog"]})
    assert packed.json() == plain
