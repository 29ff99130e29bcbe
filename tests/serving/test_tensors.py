"""From JSON to tensors and back, case by case as TensorFlow Serving's documentation has them."""

import json
import math
from typing import Any

import pytest
import requests

from tests.support.served import TIMEOUT, Server

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
        assert server.answer(f"/v1/models/half_plus_three{path}:predict", {"instances": [1]}) == {
            "predictions": [expected]
        }


def test_a_list_of_tensors_of_one_named_input(server: Server) -> None:
    body = {"signature_name": "matrix", "instances": [[[1, 2]], [[3, 4]]]}
    assert server.answer("/v1/models/documented:predict", body) == {
        "predictions": [[[1.5, 2.5]], [[3.5, 4.5]]]
    }
    body["instances"] = [{"x": [[1, 2]]}]
    assert server.answer("/v1/models/documented:predict", body) == {"predictions": [[[1.5, 2.5]]]}


ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": {"b64": "YmFy"}, "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]


def test_several_named_inputs_and_outputs(server: Server) -> None:
    assert server.answer("/v1/models/documented:predict", {"instances": ROWS}) == {
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
    assert server.answer("/v1/models/documented:predict", {"inputs": columns}) == {
        "outputs": {
            "sensor": [[[2.0, 4.0], [6.0, 8.0]], [[8.0, 10.0], [12.0, 16.0]]],
            "sum": [15, 15],
            "tag": ["foo", "bar"],
            "tag_bytes": [{"b64": "Zm9v"}, {"b64": "YmFy"}],
        }
    }


def test_columns_need_not_share_their_first_dimension(server: Server) -> None:
    body = {"signature_name": "sizes", "inputs": {"a": [1, 2, 3], "b": [1]}}
    assert server.answer("/v1/models/documented:predict", body) == {"outputs": {"a": 3, "b": [1.0]}}
    body = {"signature_name": "sizes", "instances": [{"a": 1, "b": 2}]}
    assert "no common batch size" in server.refusal("/v1/models/documented:predict", body)


@pytest.mark.parametrize("value", ["abc", {"b64": "YWJj"}, {"x": "abc"}])
def test_one_value_for_one_named_input(server: Server, value: Any) -> None:
    body = {"signature_name": "scalar", "inputs": value}
    assert server.answer("/v1/models/documented:predict", body) == {"outputs": 3}


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
    assert server.refusal("/v1/models/documented:predict", body).startswith(message)


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
        *(("bool", bad) for bad in (0, 1.0, "true", None)),
        *(("string", bad) for bad in (1, None, True, {"b64": 1}, {"b64": "YQ==", "more": 1})),
        *(("int8", bad) for bad in (128, 1.0, True, "1", math.nan)),
        *(("uint64", bad) for bad in (-1, 2 * BIG)),
        *(("int64", bad) for bad in (BIG, 10**400)),
        *(("float32", bad) for bad in (2**24, -(2**24), 3.5e38, True, "1", 10**400)),
        *(("float64", bad) for bad in (2**53, None)),
        ("complex64", 1),
    ],
)
def test_a_value_of_another_type_is_refused(server: Server, name: str, value: Any) -> None:
    message = server.refusal(
        "/v1/models/typed:predict", {"signature_name": name, "instances": [value]}
    )
    wrong = (
        "is not of expected type: ",
        "without loss of precision.",
        "is not supported",
        "JSON object keys must be equal to: x",
    )
    assert any(part in message for part in wrong), message


# JSON conformance.


@pytest.mark.parametrize("signature", ["float32", "float64", "half"])
@pytest.mark.parametrize("body", ['"instances": [1.0, -3.14, NaN, 2, Infinity, -Infinity]', None])
def test_an_answer_that_json_cannot_hold_is_refused_and_names_the_items(
    server: Server, signature: str, body: str | None
) -> None:
    body = body or '"inputs": [1.0, -3.14, NaN, 2, Infinity, -Infinity]'
    body = f'{{"signature_name": "{signature}", {body}}}'
    got = requests.post(f"{server.url}/v1/models/typed:predict", body, timeout=TIMEOUT)
    assert got.status_code == 400
    assert got.json()["error"].startswith("No answer for item 2, 4, 5 of 6 (counted from 0): its ")


@pytest.mark.parametrize("number", ["1e400", "-1E+999", "1e0400", "9" * 400 + ".0"])
def test_a_number_that_no_double_holds_is_a_parse_error(server: Server, number: str) -> None:
    body = f'{{"signature_name": "float64", "instances": [{number}]}}'
    got = requests.post(f"{server.url}/v1/models/typed:predict", body, timeout=TIMEOUT)
    assert got.status_code == 400
    assert "JSON Parse error: Number too big to be stored in double" in got.json()["error"]


@pytest.mark.parametrize("number", ["1e300", "1e-400", "0" + ".0" + "0" * 400, "-1e100"])
def test_a_number_with_a_long_exponent_may_be_a_double(server: Server, number: str) -> None:
    body = f'{{"signature_name": "float64", "instances": [{number}]}}'
    got = requests.post(f"{server.url}/v1/models/typed:predict", body, timeout=TIMEOUT)
    assert got.json() == {"predictions": [float(number)]}


def test_an_item_of_a_batch_without_a_class_is_named(server: Server) -> None:
    """The first number of each time step is summed up; the sum of these is infinite."""
    url = f"{server.url}/v1/models/sequence:predict"
    good = {"sequence": [[1.0, 9.0]], "length": 1}
    bad = {"sequence": [[3e38, 9.0], [3e38, 9.0]], "length": 2}
    assert requests.post(url, json={"instances": [good]}, timeout=TIMEOUT).status_code == 200
    padded = {"sequence": [[1.0, 9.0], [0.0, 0.0]], "length": 1}
    got = requests.post(url, json={"instances": [padded, bad]}, timeout=TIMEOUT)
    assert got.status_code == 400
    assert "No answer for item 1 of 2" in got.json()["error"]
