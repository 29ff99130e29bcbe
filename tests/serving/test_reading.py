"""Bodies as clients send them: compressed, with a byte order mark, with base64 of any kind."""

import gzip
import json
import os
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import MAX_LENGTH, RefusedError
from serving.limits import RequestLimits
from serving.reading import Question, ReadRequest, inflate, read
from serving.tensors import Tensor

STRING, FLOAT = np.dtype(object), np.dtype(np.float32)
SIGNATURES = {
    "serving_default": {"text": Tensor("", STRING, (-1,))},
    "serving_examples": {"examples": Tensor("", STRING, (-1,))},
    "numbers": {"x": Tensor("", FLOAT, (-1, -1)), "n": Tensor("", np.dtype(np.int64), (-1,))},
    "any": {"x": Tensor("", STRING, None)},
}
LIMITS = RequestLimits(max_body_bytes=2000, max_rows=10, max_text_bytes=100, max_held_bytes=1500)


def ask(body: bytes, encoding: str = "", limits: RequestLimits = LIMITS) -> ReadRequest:
    question = Question(encoding, "serving_default", SIGNATURES, ["serving_examples"])
    return read(question, body, limits)


def texts(body: bytes, encoding: str = "") -> list[bytes]:
    return ask(body, encoding).inputs["text"].tolist()


def status_and_error(body: bytes, encoding: str = "") -> tuple[int, str]:
    with pytest.raises(RefusedError) as error:
        ask(body, encoding)
    return error.value.status, str(error.value)


BODY = b'{"instances": ["abc"]}'
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(BODY, mtime=0),  # The same in each process of the tests.
    "x-gzip": gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),
    "deflate": zlib.compress(BODY),
    "identity": BODY,
    "": BODY,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_a_compressed_body_is_inflated(encoding: str) -> None:
    assert texts(PACKED[encoding], encoding) == [b"abc"]


def test_deflate_may_lack_the_header_of_zlib() -> None:
    assert texts(RAW.compress(BODY) + RAW.flush(), "deflate") == [b"abc"]


def test_inflating_ends_at_the_limit_of_a_body() -> None:
    """A body of 2,000 bytes is allowed."""
    for encoding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        assert inflate(encoding, compress(b"a" * 2000), LIMITS) == b"a" * 2000
        for size in (2001, 50_000_000):
            status, error = status_and_error(compress(b"a" * size), encoding)
            assert (status, error[:44]) == (413, "The request's body has more than 2000 bytes;")

    members = gzip.compress(b"a" * 1500) * 2
    assert status_and_error(members, "gzip")[0] == 413


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (BODY, "gzip", "The request's body is not gzip, as its Content-Encoding says: "),
        (
            PACKED["gzip"][:-1],
            "gzip",
            "The request's body ends before its gzip does.",
        ),
        (PACKED["gzip"][:9], "gzip", "The request's body ends before its gzip does."),
        (b"\xff" * 9, "deflate", "The request's body is not deflate, as its Content-Encoding"),
        (b"", "gzip", "JSON Parse error: The document is empty"),
    ],
)
def test_a_body_that_does_not_inflate(body: bytes, encoding: str, message: str) -> None:
    status, error = status_and_error(body, encoding)
    assert (status, error[: len(message)]) == (400, message)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert texts(b"\xef\xbb\xbf" + BODY) == [b"abc"]
    assert status_and_error(b"\xef\xbb\xbf" * 2 + BODY)[0] == 400
    assert "not UTF-8" in status_and_error(BODY.decode().encode("utf-16"))[1]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        ("YWI=", b"ab"),
        ("YWI", b"ab"),
        ("YQ", b"a"),
        ("YQ==", b"a"),
        ("", b""),
        ("Y W\r\nI\t=\n", b"ab"),
        ("YW\nJj", b"abc"),
        *[(broken, None) for broken in ("A", "YWI==", "Y=Q=", "YWJj=", "YW-_", "Y?", "\u0139")],
    ],
)
def test_base64_as_tensorflow_serving_takes_it(encoded: str, expected: bytes | None) -> None:
    body = json.dumps({"instances": [{"b64": encoded}]}).encode()
    if expected is not None:
        assert texts(body) == [expected]
    else:
        assert status_and_error(body)[1].startswith("Input text: Unable to base64 decode ")


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    assert texts(b'{"instances": ["a"], "instances": ["b"]}') == [b"b"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": ["a"] * 11}, "The request has 11 rows; this server takes 10 at most."),
        ({"instances": ["a", "b" * 101]}, "Input text: a string of item 1 has 101 bytes; this"),
        ({"instances": ["\u00e9" * 51]}, "Input text: a string of item 0 has 102 bytes; this"),
        (
            {"signature_name": "any", "instances": [[[""] * 7] * 10]},
            "The request's values take 1680 bytes; this server holds 1500 at most.",
        ),
        ({"signature_name": "any", "inputs": "a" * 101}, "Input x: a string has 101 bytes; this"),
    ],
)
def test_what_is_too_much_is_refused_with_its_size(body: Any, message: str) -> None:
    status, error = status_and_error(json.dumps(body).encode())
    assert (status, error[: len(message)]) == (413, message)


def test_no_error_repeats_a_long_body() -> None:
    long = "k" * 1900
    for body in (
        {"signature_name": long},
        {"instances": [{long: "a"}]},
        {"instances": [{"b64": long + "?"}]},
        {"inputs": {"text": [[long]]}},
        {"inputs": {"text": [{long: 1}]}},
        long,
        {"signature_name": "serving_examples", "instances": [long[:90]]},
    ):
        _, error = status_and_error(json.dumps(body).encode())
        assert len(error) <= MAX_LENGTH


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([{"b64": "YQ"}, {"b64": "\nCg=="}, {"b64": 1}, [], {}, "a" * 101, 10**400]),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(st.sampled_from(["text", "x", "n", "b64", "examples"]), inner)
    ),
    max_leaves=20,
)
KEYS = st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"])
NAMES = st.sampled_from([*SIGNATURES, "", "none", 1])
BODIES = st.one_of(
    st.builds(
        lambda body, name: {**body, "signature_name": name}, st.dictionaries(KEYS, JSON), NAMES
    ),
    JSON,
).map(lambda body: json.dumps(body).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body of which some bytes are replaced, repeated or cut."""
    body = bytearray(draw(BODIES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4)) * draw(
            st.sampled_from([1, 1, 1, 200])
        )
    packers = (bytes, bytes, gzip.compress, zlib.compress)
    return draw(st.sampled_from(packers))(bytes(body))


# SEQLINE_FUZZ=1000000 for an hour of it.
@settings(
    max_examples=int(os.environ.get("SEQLINE_FUZZ", "500")),
    deadline=None,
    derandomize="SEQLINE_FUZZ" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    damaged() | BODIES | st.binary(max_size=60),
    st.sampled_from(["", "", "identity", "gzip", "deflate"]),
    st.sampled_from(["serving_default", None]),
)
def test_any_body_is_read_within_the_limits_or_refused_in_one_line(
    body: bytes, encoding: str, default: str | None
) -> None:
    question = Question(encoding, default, SIGNATURES, ["serving_examples"])
    got, refused = None, None
    try:
        got = read(question, body, LIMITS)
    except RefusedError as error:
        refused = error

    if got is None:
        assert refused is not None
        assert refused.status in (400, 413)
        assert 0 < len(str(refused)) <= MAX_LENGTH
        assert "\n" not in str(refused)
        return

    LIMITS.check_inputs(got.inputs)
    if default is not None:
        specs = SIGNATURES[got.signature]
        assert got.inputs.keys() == specs.keys()
        for name, value in got.inputs.items():
            assert value.dtype == specs[name].dtype
