"""tf.Examples written byte by byte, read by TensorFlow's own messages."""

import base64
from typing import Any

import numpy as np
import pytest
from tensorflow.core.example import example_pb2

from serving.errors import RefusedError
from serving.examples import check_serialized, read_examples
from serving.limits import RequestLimits
from tests.support.hostile import example_of

LIMITS = RequestLimits()


def parsed(body: dict[str, Any]) -> list[example_pb2.Example]:
    return [example_pb2.Example.FromString(one) for one in read_examples(body, LIMITS)]


def test_each_kind_of_value_is_what_tensorflow_reads() -> None:
    encoded = {"b64": base64.b64encode(b"\xff\0").decode()}
    [example] = parsed(
        {
            "examples": [
                {
                    "text": "\u00e9",
                    "both": ["a", encoded],
                    "numbers": [0, 1, -1, 127, 128, 2**63 - 1, -(2**63), True],
                    "floats": [1, 2.5, -0.1],
                    "none": [],
                    "long": "x" * 300,
                }
            ]
        }
    )
    feature = example.features.feature
    assert set(feature) == {"text", "both", "numbers", "floats", "none", "long"}
    assert feature["text"].bytes_list.value == ["\u00e9".encode()]
    assert feature["both"].bytes_list.value == [b"a", b"\xff\0"]
    assert feature["numbers"].int64_list.value == [0, 1, -1, 127, 128, 2**63 - 1, -(2**63), 1]
    assert feature["floats"].float_list.value == [1.0, 2.5, np.float32(-0.1)]
    assert feature["none"].WhichOneof("kind") == "bytes_list"
    assert feature["long"].bytes_list.value == [b"x" * 300]


def test_the_context_is_in_each_example() -> None:
    first, second = parsed({"context": {"a": 1}, "examples": [{"b": 2}, {}]})
    assert {name: one.int64_list.value[0] for name, one in first.features.feature.items()} == {
        "a": 1,
        "b": 2,
    }
    assert list(second.features.feature) == ["a"]


@pytest.mark.parametrize(("num_examples", "is_refused"), [(209, False), (210, True)])
def test_the_context_is_counted_for_each_example_before_it_is_held(
    num_examples: int, is_refused: bool
) -> None:
    """A context of 160 KB: 159,993 letters, one of name, and 21 bytes of tags and lengths."""
    body = {"context": {"t": "a" * 159_993}, "examples": [{}] * num_examples}
    if not is_refused:
        assert len(read_examples(body, LIMITS)) == num_examples
        return
    with pytest.raises(RefusedError, match="'context' in each of 210 examples takes 336") as error:
        read_examples(body, LIMITS)
    assert error.value.status == 413


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xfe not an Example",
        b"\x0a\x20\x0a",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a" + b"\xff" * 10 + b"\x7f",
        b"\x0b" * 50_000,
        b"\x00\x01",
        example_of("text", b"\x0a\x05\x0a\x09a"),
    ],
)
def test_bytes_that_are_no_example_are_refused_by_their_number(broken: bytes) -> None:
    good = example_of("text", b"\x0a\x03\x0a\x01a")
    with pytest.raises(RefusedError, match=r"item 1 of 2 \(counted from 0\) is not a serialized"):
        check_serialized(np.array([good, broken], object))


def test_what_tensorflow_reads_is_no_broken_example() -> None:
    example = example_pb2.Example()
    example.features.feature["a"].float_list.value.extend([1.5] * 100)
    example.features.feature["b"].int64_list.value.extend([-1] * 100)
    example.features.feature["c"].bytes_list.value.extend([b"\x0b" * 10] * 100)
    unknown = b"\xf8\x01\x01" + b"\xf9\x01" + b"\0" * 8 + b"\xfd\x01" + b"\0" * 4
    check_serialized(np.array([b"", example.SerializeToString() + unknown], object))
