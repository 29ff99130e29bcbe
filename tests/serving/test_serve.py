"""TensorFlow Serving's REST API as its documentation (api_rest) has it, case by case, and what is
no request at all.
"""

import base64
import json
import math
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.components.evaluator.test_evaluator import fake_model
from tests.support.served import TIMEOUT, Server, documented, half_plus, serving, typed

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
  config {{ name: "half_plus_three" base_path: "half" model_platform: "tensorflow"
           model_version_policy {{ specific {{ versions: 123 versions: 124 }} }}
           version_labels {{ key: "stable" value: 123 }} version_labels {{ key: "canary" value: 124 }} }}
  config {{ name: "documented" base_path: "documented" }}
  config {{ name: "typed" base_path: "typed" }}
  config {{ name: "tokens" base_path: "tokens" }}
  config {{ name: "sequence" base_path: "sequence" }}
  config {{ name: "empty" base_path: "empty" }}
  config {{ name: "text" base_path: "{text}" }}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    half_plus(folder / "half" / "123", 3)
    half_plus(folder / "half" / "124", 4)
    documented(folder / "documented" / "1")
    typed(folder / "typed" / "1", TYPES)
    for content in ("tokens", "sequence"):
        fake_model(folder / "made" / content, content).rename(
            (folder / content).mkdir() or folder / content / "1"
        )
    (folder / "text").mkdir()
    (folder / "text" / "7").symlink_to(saved_model / "saved_model")
    (folder / "models.config").write_text(CONFIG.format(text=folder / "text"))
    limits = ("--max_body_bytes=100000", "--max_rows=300", "--max_batch_size=8")
    with serving(folder, f"--model_config_file={folder / 'models.config'}", *limits) as started:
        started.wait("/v1/models/half_plus_three", "AVAILABLE", "AVAILABLE")
        for name in ("documented", "typed", "tokens", "sequence", "text"):
            started.wait(f"/v1/models/{name}", "AVAILABLE")
        yield started


def answer(server: Server, path: str, body: Any) -> Any:
    got = server.post(path, body)
    assert got.status_code == 200, got.text
    assert got.headers["content-type"] == "application/json"
    return got.json()


def refusal(server: Server, path: str, body: Any) -> str:
    got = server.post(path, body)
    assert got.status_code == 400, got.text
    assert list(got.json()) == ["error"]
    return got.json()["error"]


def status_of(version: str) -> dict[str, Any]:
    return {
        "version": version,
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


# Model status API.


def test_status_of_all_versions_of_one_and_of_a_label(server: Server) -> None:
    path = "/v1/models/half_plus_three"
    assert server.get(path).json() == {"model_version_status": [status_of("124"), status_of("123")]}
    assert server.get(f"{path}/versions/123").json() == {"model_version_status": [status_of("123")]}
    assert server.get(f"{path}/labels/canary").json() == {
        "model_version_status": [status_of("124")]
    }


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/half", 404, "Could not find any versions of model half"),
        ("/v1/models/empty", 404, "Could not find any versions of model empty"),
        (
            "/v1/models/half_plus_three/versions/5",
            404,
            "Could not find version 5 of model half_plus_three",
        ),
        (
            "/v1/models/half_plus_three/labels/gone",
            400,
            "Unrecognized servable version label: gone",
        ),
        (
            "/v1/models/half_plus_three/versions/one",
            400,
            "Malformed request: GET /v1/models/half_plus_three/versions/one",
        ),
        (
            "/v1/models/half_plus_three/versions/" + "9" * 5000,
            400,
            "Malformed request: GET /v1/models/half_plus_three/versions/999",
        ),
        ("/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("/elsewhere", 404, "Malformed request: GET /elsewhere"),
        ("/v1/models/half_plus_three:predict", 405, "Method GET is not allowed here; use POST."),
    ],
)
def test_what_is_not_there(server: Server, path: str, status: int, message: str) -> None:
    got = server.get(path)
    assert got.status_code == status
    assert got.json()["error"].startswith(message)
    assert got.headers.get("allow") == ("POST" if status == 405 else None)


# Model metadata API.


def test_metadata(server: Server) -> None:
    got = server.get("/v1/models/text/metadata").json()
    assert got["model_spec"] == {"name": "text", "signature_name": "", "version": "7"}
    signature = got["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"] == {
        "text": {"dtype": "DT_STRING", "tensor_shape": shape, "name": "serving_default_text:0"}
    }
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert {"probabilities", "label", "class_id"} <= signature["outputs"].keys()
    assert (
        server.get("/v1/models/half_plus_three/versions/123/metadata").json()["model_spec"][
            "version"
        ]
        == "123"
    )


# Classify and regress API.


def test_regress_as_in_the_example(server: Server) -> None:
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert answer(server, "/v1/models/half_plus_three/versions/123:regress", body)["results"] == [
        3.5,
        4.0,
    ]
    body = {
        "signature_name": "tensorflow/serving/regress",
        "context": {"x": 1.0},
        "examples": [{}, {"other": [1, 2]}],
    }
    assert answer(server, "/v1/models/half_plus_three/labels/canary:regress", body)["results"] == [
        4.5,
        4.5,
    ]


def test_classify(server: Server) -> None:
    body = {"signature_name": "classify", "examples": [{"x": 1.0}, {"x": 2.0}]}
    expected = [[["plus", 3.5], ["minus", -3.5]], [["plus", 4.0], ["minus", -4.0]]]
    got = answer(server, "/v1/models/half_plus_three/versions/123:classify", body)
    assert got == {"results": expected, "result": expected}


def test_classify_asks_the_exporters_signature_of_examples(server: Server) -> None:
    texts = ["The cat and dog", "The plum", ""]
    [plain] = answer(server, "/v1/models/text:predict", {"inputs": texts}).values()
    got = answer(
        server, "/v1/models/text:classify", {"examples": [{"text": text} for text in texts]}
    )["results"]
    assert [[label for label, _ in row] for row in got] == [["animals", "fruit", "metals"]] * 3
    np.testing.assert_allclose(
        [[score for _, score in row] for row in got], plain["probabilities"], atol=1e-6
    )
    encoded = {"b64": base64.b64encode(texts[0].encode()).decode()}
    [alone] = answer(server, "/v1/models/text:classify", {"examples": [{"text": encoded}]})[
        "results"
    ]
    assert [label for label, _ in alone] == ["animals", "fruit", "metals"]
    # A batch of another size is summed up in another order: the same but for the rounding of
    # float32.
    assert [score for _, score in alone] == pytest.approx([score for _, score in got[0]], abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("text:regress", {"examples": [{"text": "a"}]}, "Expected a regress signature"),
        ("half_plus_three:classify", {"examples": [{"x": 1.0}]}, "Expected a classify signature"),
        (
            "text:classify",
            {"signature_name": "serving_default", "examples": [{"text": "a"}]},
            "Expected a classify signature",
        ),
        (
            "text:classify",
            {"signature_name": "none", "examples": [{"text": "a"}]},
            'Serving signature name: "none" not found',
        ),
        ("text:classify", {}, "Expecting 'examples' value to be an list/array"),
        ("text:classify", {"examples": []}, "'examples' value is an empty array"),
        ("text:classify", {"examples": ["a"]}, "Example must be JSON object"),
        (
            "text:classify",
            {"examples": [{"text": None}]},
            "Feature: text has element with unexpected JSON type",
        ),
        (
            "text:classify",
            {"examples": [{"text": ["a", 1]}]},
            "Feature: text has elements of several types",
        ),
        (
            "text:classify",
            {"examples": [{"text": [["a"]]}]},
            "Feature: text has element with unexpected JSON type",
        ),
        (
            "text:classify",
            {"examples": [{"number": 2**63, "text": "a"}]},
            'Feature: "number" cannot be stored',
        ),
        (
            "text:classify",
            {"examples": [{"text": "a"}], "context": {"text": "b"}},
            "Feature: text is in 'context' and in example 0",
        ),
        (
            "text:classify",
            {"examples": [{}]},
            "Name: <unknown>, Feature: text (data type: string) is required",
        ),
        ("text:classify", {"examples": [{"text": 1}]}, "Name: <unknown>, Key: text"),
    ],
)
def test_what_classify_and_regress_refuse(
    server: Server, path: str, body: Any, message: str
) -> None:
    assert refusal(server, f"/v1/models/{path}", body).startswith(message)


# Predict API: row format.


def test_predict_as_in_the_example(server: Server) -> None:
    path = "/v1/models/half_plus_three/versions/123:predict"
    got = server.post(path, {"instances": [1.0, 2.0, 5.0]})
    assert got.json() == {"predictions": [3.5, 4.0, 5.5]}
    assert got.headers["x-model-version"] == "123"
    assert server.post("/v1/models/half:predict", {"instances": [1.0, 5.0]}).status_code == 404
    assert server.post("/v1/models/half:predict", {}).json() == {
        "error": "Servable not found for request: Latest(half)"
    }


def test_without_a_version_the_latest_answers(server: Server) -> None:
    for path, expected in (
        ("", 4.5),
        ("/labels/stable", 3.5),
        ("/labels/canary", 4.5),
        ("/versions/123", 3.5),
    ):
        assert answer(server, f"/v1/models/half_plus_three{path}:predict", {"instances": [1]}) == {
            "predictions": [expected]
        }


def test_a_list_of_tensors_of_one_named_input(server: Server) -> None:
    body = {"signature_name": "matrix", "instances": [[[1, 2]], [[3, 4]]]}
    assert answer(server, "/v1/models/documented:predict", body) == {
        "predictions": [[[1.5, 2.5]], [[3.5, 4.5]]]
    }
    body["instances"] = [{"x": [[1, 2]]}]
    assert answer(server, "/v1/models/documented:predict", body) == {"predictions": [[[1.5, 2.5]]]}


ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": {"b64": "YmFy"}, "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]


def test_several_named_inputs_and_outputs(server: Server) -> None:
    assert answer(server, "/v1/models/documented:predict", {"instances": ROWS}) == {
        "predictions": [
            {
                "sensor": [[2.0, 4.0], [6.0, 8.0]],
                "sum": 15,
                "tag": "foo",
                "tag_bytes": {"b64": "Zm9v"},
            },
            {
                "sensor": [[8.0, 10.0], [12.0, 16.0]],
                "sum": 15,
                "tag": "bar",
                "tag_bytes": {"b64": "YmFy"},
            },
        ]
    }


# Predict API: column format.


def test_columns(server: Server) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    assert answer(server, "/v1/models/documented:predict", {"inputs": columns}) == {
        "outputs": {
            "sensor": [[[2.0, 4.0], [6.0, 8.0]], [[8.0, 10.0], [12.0, 16.0]]],
            "sum": [15, 15],
            "tag": ["foo", "bar"],
            "tag_bytes": [{"b64": "Zm9v"}, {"b64": "YmFy"}],
        }
    }


def test_columns_need_not_share_their_first_dimension(server: Server) -> None:
    body = {"signature_name": "sizes", "inputs": {"a": [1, 2, 3], "b": [1]}}
    assert answer(server, "/v1/models/documented:predict", body) == {
        "outputs": {"a": 3, "b": [1.0]}
    }
    body = {"signature_name": "sizes", "instances": [{"a": 1, "b": 2}]}
    assert "no common batch size" in refusal(server, "/v1/models/documented:predict", body)


@pytest.mark.parametrize("value", ["abc", {"b64": "YWJj"}, {"x": "abc"}])
def test_one_value_for_one_named_input(server: Server, value: Any) -> None:
    body = {"signature_name": "scalar", "inputs": value}
    assert answer(server, "/v1/models/documented:predict", body) == {"outputs": 3}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Not formatted correctly: Missing 'inputs' or 'instances' key"),
        ({"instances": ROWS, "inputs": {}}, "Not formatted correctly: expecting only one of"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": {}}, "Expecting 'instances' to be an list/array"),
        ({"instances": ["foo"]}, "instances is a plain list, but expecting list of objects"),
        (
            {"instances": [ROWS[0], "foo"]},
            "Expecting object but got value/list at item 1 of input list",
        ),
        (
            {"instances": [{"tag": "foo"}]},
            "Failed to process element: 0 of 'instances' list. JSON object keys must be equal to: ",
        ),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
        (
            {"inputs": {"tag": ["foo"], "sensor": [[[1, 2], [3, 4]]]}},
            "Missing named input: signal in 'inputs' object.",
        ),
        (
            {"instances": [{**ROWS[0], "signal": [1, 2]}]},
            "Input signal: got shape [1,2], expecting [?,5]",
        ),
        (
            {"instances": [{**ROWS[0], "signal": [1, 2, 3, 4, 5.5]}]},
            "Input signal: JSON Value: 5.5 is not of expected type: int32",
        ),
        (
            {"instances": [{**ROWS[0], "sensor": [[1, 2], [3]]}]},
            "Input sensor: Encountered list at unexpected size: 1 at level: 2",
        ),
        (
            {"instances": [{**ROWS[0], "sensor": [[1, 2], 3]}]},
            "Input sensor: JSON Value: 3 found at incorrect level: 3",
        ),
        (
            {"instances": [{**ROWS[0], "tag": ["foo"]}]},
            "Input tag: Encountered list at unexpected level: 1",
        ),
        ({"instances": [{**ROWS[0], "tag": {"b64": "?"}}]}, "Input tag: Unable to base64 decode"),
        ({"instances": [{**ROWS[0], "tag": {"b65": "YQ=="}}]}, "Input tag: JSON Value: "),
        ({"instances": ROWS, "signature_name": 3}, "'signature_name' key must be a string value."),
        (
            {"instances": ROWS, "signature_name": "none"},
            'Serving signature name: "none" not found in signature def; there are matrix, ',
        ),
    ],
)
def test_what_predict_refuses(server: Server, body: Any, message: str) -> None:
    assert refusal(server, "/v1/models/documented:predict", body).startswith(message)


# JSON mapping.

BIG = 2**63
MAPPED = {
    "bool": [True, False],
    "string": ["Hello World!", "", "\u00e9\U0001f600"],
    "int8": [-128, 127],
    "uint8": [0, 255],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [1, -10, 0],
    "uint32": [2**32 - 1],
    "int64": [-BIG, BIG - 1],
    "uint64": [2 * BIG - 1],
    "half": [0.1, -65504.0],
    "bfloat16": [0.5, 3.0],
    "float32": [1.1, -10.0, 0.0, 1e-45, 3.4028235e38, 0.2],
    "float64": [1.1, 1e300, 0.30000000000000004],
}


@pytest.mark.parametrize("name", MAPPED)
def test_each_type_comes_back_as_it_went(server: Server, name: str) -> None:
    body = {"signature_name": name, "instances": MAPPED[name]}
    got = server.post("/v1/models/typed:predict", body)
    if name == "bfloat16":
        assert "bfloat16 is not supported" in got.json()["error"]
        return
    # As text: 0.2, and not what its nearest float32 is as a double.
    values = json.dumps({"predictions": MAPPED[name]}, separators=(",", ":"), ensure_ascii=False)
    assert got.text == (values if name != "half" else '{"predictions":[0.1,-65500.0]}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bool", each) for each in (0, 1.0, "true", None)),
        *(("string", each) for each in (1, None, True, {"b64": 1}, {"b64": "YQ==", "more": 1})),
        *(("int8", each) for each in (128, 1.0, True, "1", math.nan)),
        *(("uint64", each) for each in (-1, 2 * BIG)),
        *(("int64", each) for each in (BIG, 10**400)),
        *(("float32", each) for each in (2**24, -(2**24), 3.5e38, True, "1", 10**400)),
        *(("float64", each) for each in (2**53, None)),
        ("complex64", 1),
    ],
)
def test_a_value_of_another_type_is_refused(server: Server, name: str, value: Any) -> None:
    message = refusal(
        server, "/v1/models/typed:predict", {"signature_name": name, "instances": [value]}
    )
    wrong = (
        "is not of expected type: ",
        "without loss of precision.",
        "is not supported",
        "JSON object keys must be equal to: x",
    )
    assert any(part in message for part in wrong), message


# JSON conformance.


def test_nan_and_infinity(server: Server) -> None:
    body = '{"signature_name": "float32", "instances": [1.0, -3.14, NaN, Infinity, -Infinity]}'
    got = requests.post(f"{server.url}/v1/models/typed:predict", body, timeout=TIMEOUT)
    assert got.text == '{"predictions":[1.0,-3.14,NaN,Infinity,-Infinity]}'


# What is no request.


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
    assert (chunked.status_code, chunked.json()["error"][:40]) == (
        413,
        "The request's body has more than 100000 ",
    )
    packed = requests.post(
        server.url + path, b"{}", headers={"Content-Encoding": "gzip"}, timeout=TIMEOUT
    )
    assert packed.status_code == 415


def test_an_error_in_the_graph_is_the_requests(server: Server) -> None:
    rows = [{"sequence": [[1, 2]], "length": 1}, {"sequence": [[1, 2]], "length": 1}]
    assert (
        len(answer(server, "/v1/models/sequence:predict", {"instances": rows})["predictions"]) == 2
    )
    message = refusal(
        server,
        "/v1/models/text:predict",
        {"signature_name": "serving_examples", "instances": ["no example"]},
    )
    assert message == "Could not parse example input, value: 'no example'"


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
    assert answer(
        server, "/v1/models/half_plus_three/versions/123:predict", {"instances": [1.0]}
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


def test_metrics(server: Server) -> None:
    answer(server, "/v1/models/half_plus_three/versions/123:predict", {"instances": [1.0]})
    refusal(server, "/v1/models/documented:predict", {})
    got = server.get("/monitoring/prometheus/metrics")
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    labels = 'code="200",method="predict",model_name="half_plus_three",status="OK",version="123"'
    assert f":tensorflow:serving:request_count{{{labels}}} " in got.text
    assert (
        ':tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="100.0",model_name="text"} '
        in got.text
    )
    assert ':tensorflow:serving:loaded_version{model_name="text",version="7"} 1.0' in got.text
    assert ":tensorflow:serving:batching_session:batch_size_bucket" in got.text
    assert "gone" not in got.text  # a name that somebody made up is no label
