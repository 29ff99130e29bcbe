"""Requests that are wrong in any way are refused, and do no harm."""

import json
import socket
from collections import Counter

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.served import TIMEOUT, Server


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b" \n", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: Expecting property name"),
        (b"[]", "JSON Value: [] Is not object"),
        (b'{"instances": ["\xff"]}', "JSON Parse error: the body is not UTF-8 at byte 16"),
        (
            b'{"instances": ["\\ud800"]}',
            "Input text: JSON Parse error: The surrogate pair in string is invalid",
        ),
        (b"[" * 90_000, "JSON Parse error: nested too deeply"),
        (
            b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}",
            "Input text: Encountered list at unexpected level: 1",
        ),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "JSON Parse error: "),
    ],
)
def test_a_body_that_is_no_request(server: Server, body: bytes, message: str) -> None:
    got = requests.post(f"{server.url}/v1/models/text:predict", body, timeout=TIMEOUT)
    assert (got.status_code, list(got.json())) == (400, ["error"])
    assert got.json()["error"].startswith(message)


def test_limits_of_body_and_rows(server: Server) -> None:
    path = "/v1/models/text:predict"
    assert server.post(path, {"instances": ["a"] * 300}).status_code == 200

    for body in (
        {"instances": ["a"] * 301},
        {"inputs": ["a"] * 301},
        {"instances": ["a" * 100_000]},
    ):
        got = server.post(path, body)
        assert (got.status_code, list(got.json())) == (413, ["error"])

    chunked = requests.post(server.url + path, iter([b"x" * 50_000] * 3), timeout=TIMEOUT)
    assert chunked.status_code == 413
    assert chunked.json()["error"][:40] == "The request's body has more than 100000 "
    packed = requests.post(
        server.url + path, b"{}", headers={"Content-Encoding": "br"}, timeout=TIMEOUT
    )
    assert packed.status_code == 415


def test_an_error_in_the_graph_is_the_requests(server: Server) -> None:
    rows = [{"sequence": [[1, 2]], "length": 1}, {"sequence": [[1, 2]], "length": 1}]
    assert (
        len(server.answer("/v1/models/sequence:predict", {"instances": rows})["predictions"]) == 2
    )
    message = server.refusal(
        "/v1/models/text:predict",
        {"signature_name": "serving_examples", "instances": ["no example"]},
    )
    assert message == (
        "Could not parse example input: item 0 of 1 (counted from 0) is not a serialized"
        " tf.Example: b'no example'"
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([{"b64": "YQ"}, {"b64": 1}, [], {}]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "tokens", "sequence", "length", "b64", "x"]), inner
        )
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"])
NAMES = (
    st.sampled_from(["serving_default", "serving_examples", "transform_features", "float32"]) | JSON
)
REQUESTS = st.builds(
    lambda body, name: {**body, "signature_name": name}, st.dictionaries(KEYS, JSON), NAMES
) | st.dictionaries(KEYS, JSON)
BODIES = (
    REQUESTS.map(lambda each: json.dumps(each).encode())
    | st.binary(max_size=40)
    | JSON.map(lambda each: json.dumps(each).encode())
)
MODELS = st.sampled_from(
    [
        "text",
        "text",
        "tokens",
        "sequence",
        "typed",
        "documented",
        "half_plus_three",
        "empty",
        "explained",
        "gone",
    ]
)
VERBS = st.sampled_from(
    [
        *[":predict", ":classify"] * 3,
        ":regress",
        ":none",
        "",
        "/versions/1:predict",
        "/labels/x:predict",
    ]
)
CALLS = st.tuples(
    st.just("POST"),
    st.builds(lambda model, verb: f"/v1/models/{model}{verb}", MODELS, VERBS),
    BODIES,
)
ANYTHING = st.tuples(
    st.sampled_from(["GET", "PUT", "POST"]),
    st.text("/v1models:%.?#", max_size=12).map("/".__add__),
    BODIES,
)


def test_what_is_malformed_is_refused_cleanly_in_flat_memory(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    session = requests.Session()
    codes: Counter[int] = Counter()

    @settings(
        max_examples=1200,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(CALLS, CALLS, CALLS, ANYTHING))
    def ask(asked: tuple[str, str, bytes]) -> None:
        method, path, body = asked
        got = session.request(method, server.url + path, data=body, timeout=TIMEOUT)
        codes[got.status_code] += 1
        assert got.status_code == 200 or 400 <= got.status_code < 500, (asked, got.text)
        if got.status_code != 200:  # by chance, some are well formed
            assert list(got.json()) == ["error"], (asked, got.text)
            assert len(got.text) < 1500
            assert not any(part in got.text for part in ("Traceback", "/tmp", ".py")), got.text

    ask()
    once, before = codes.copy(), server.rss()
    ask()  # the same ones: nothing new to load, trace or cache

    grown = server.rss() - before
    with capsys.disabled():
        print(
            f"\ntwice {dict(sorted(once.items()))}; memory {before / 1e6:.0f} MB, then grown by"
            f" {grown / 1e6:.1f} MB"
        )

    assert sum(once.values()) - once[200] >= 1000
    assert once[400] >= 400
    assert codes == once + once
    assert grown < 30e6
    assert server.answer(
        "/v1/models/half_plus_three/versions/123:predict", {"instances": [1.0]}
    ) == {"predictions": [3.5]}
    assert "Traceback" not in server.log.read_text()


def test_what_is_not_even_http(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for sent in (
        b"\0\1\2\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/models/text:predict HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
            connection.sendall(sent)
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert server.get("/v1/models/text").status_code == 200
