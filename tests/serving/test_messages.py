"""TensorProtos and Examples of clients that lie about them."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2

from serving import messages
from serving.errors import RefusedError
from serving.tensors import Tensor

MAX_BYTES = 1 << 16
FLOATS = Tensor("x:0", np.dtype(np.float32), (-1, 2))
TEXTS = Tensor("x:0", np.dtype(object), (-1,))
ANY = Tensor("x:0", np.dtype(np.float32), None)


def proto(kind: int, shape: list[int], **fields: Any) -> Any:
    made = tensor_pb2.TensorProto(dtype=kind, **fields)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


def read(given: Any, spec: Tensor = FLOATS, max_rows: int = 1000) -> np.ndarray:
    return messages.to_array(given, spec, "x", max_rows, MAX_BYTES)


@pytest.mark.parametrize("kind", list(messages.FIELDS))
def test_every_type_there_and_back(kind: int) -> None:
    dtype = messages.DTYPES[kind]
    array = np.array([[1, 0], [3, 2], [5, 4]]).astype(dtype)
    if dtype.kind == "O":
        array = np.array([[b"a\0", b""], [b"\xff", b"b"]], object)
    spec = Tensor("x:0", dtype, (-1, 2))

    ours = messages.to_proto(array)
    assert not ours.tensor_content  # Clients read the field of the type.
    np.testing.assert_array_equal(tf.make_ndarray(ours), array)
    for sent in (ours, tf.make_tensor_proto(array, tf.dtypes.as_dtype(kind))):
        got = read(sent, spec)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, array)


def test_the_last_value_stands_for_those_that_are_missing() -> None:
    kind = types_pb2.DT_FLOAT
    assert read(proto(kind, [2, 2], float_val=[1, 2])).tolist() == [[1, 2], [2, 2]]
    assert read(proto(kind, [2, 2])).tolist() == [[0, 0], [0, 0]]
    assert read(proto(kind, [0, 2])).shape == (0, 2)
    texts = proto(types_pb2.DT_STRING, [3], string_val=[b"a"])
    assert read(texts, TEXTS).tolist() == [b"a", b"a", b"a"]
    content = proto(types_pb2.DT_BOOL, [2], tensor_content=b"\x02\x00")
    assert read(content, Tensor("x:0", np.dtype(bool), (-1,))).tolist() == [True, False]


@pytest.mark.parametrize(
    ("given", "spec", "message"),
    [
        (proto(1, [1 << 40, 2], float_val=[1]), FLOATS, "has 1099511627776 rows"),
        (proto(1, [900, 1 << 40], float_val=[1]), ANY, "would hold 3958241859993600 bytes"),
        (proto(1, [0, 1 << 62], float_val=[]), ANY, "would hold 18446744073709551616 bytes"),
        (proto(1, [900, 2**63 - 1, 2**63 - 1]), ANY, "would hold "),
        (proto(7, [1000], string_val=[b"a" * 100]), TEXTS, "would hold 100000 bytes"),
        (proto(7, [1000], string_val=[b""]), TEXTS, None),
        (proto(1, [-1, 2], float_val=[1]), FLOATS, "tensor parsing error: shape [?,2]"),
        (proto(1, [1, -(2**63)]), FLOATS, "tensor parsing error: shape [1,-9223372036854775808]"),
        (proto(1, [2]), FLOATS, "got shape [2], expecting [?,2]"),
        (proto(1, [1] * 33), ANY, "a shape of 33 dimensions"),
        (proto(1, [1, 2], float_val=[1, 2, 3]), FLOATS, "3 values for shape [1,2]"),
        (
            proto(1, [1, 2], tensor_content=b"123"),
            FLOATS,
            "tensor_content has 3 bytes, its shape 8",
        ),
        (proto(7, [1], tensor_content=b"123"), TEXTS, "send strings as string_val"),
        (proto(9, [1, 2]), FLOATS, "Expects DT_FLOAT but DT_INT64 is provided"),
        (proto(0, [1, 2]), FLOATS, "Expects DT_FLOAT but DT_INVALID is provided"),
        (proto(101, [1, 2]), FLOATS, "Expects DT_FLOAT but DT_FLOAT_REF is provided"),
        (proto(9999, [1, 2]), FLOATS, "Expects DT_FLOAT but type 9999 is provided"),
        (proto(20, [1]), FLOATS, "Expects DT_FLOAT but DT_RESOURCE is provided"),
        (proto(6, [1], int_val=[300]), Tensor("", np.dtype(np.int8), (-1,)), "not of type int8"),
        (proto(19, [1], half_val=[-1]), Tensor("", np.dtype(np.float16), (-1,)), "of type float16"),
        (proto(8, [1], scomplex_val=[1]), Tensor("", np.dtype(np.complex64), (-1,)), "1 values"),
    ],
)
def test_what_no_tensor_is(given: Any, spec: Tensor, message: str | None) -> None:
    if message is None:
        assert read(given, spec).shape == (1000,)
        return
    with pytest.raises(RefusedError) as raised:
        read(given, spec)
    assert message in str(raised.value)


def test_an_unknown_rank_is_refused() -> None:
    given = tensor_pb2.TensorProto(dtype=1)
    given.tensor_shape.unknown_rank = True
    with pytest.raises(RefusedError, match="a shape of unknown rank"):
        read(given, ANY)


@given(
    st.sampled_from([0, 1, 2, 3, 4, 7, 8, 9, 10, 14, 19, 20, 21, 22, 101, 500]),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 4), max_size=4),
    st.sampled_from([b"", b"\0" * 8, b"1234567"]),
    st.lists(st.floats(width=32), max_size=9),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9),
    st.lists(st.binary(max_size=3), max_size=9),
    st.sampled_from([np.float32, np.int8, np.float16, np.complex64, np.bool_, object]),
)
def test_any_tensor_is_read_or_refused(
    kind: int,
    shape: list[int],
    content: bytes,
    floats: list[float],
    integers: list[int],
    texts: list[bytes],
    dtype: Any,
) -> None:
    given = proto(kind, shape, tensor_content=content, float_val=floats, scomplex_val=floats)
    given.int_val.extend(integers)
    given.half_val.extend(integers)
    given.string_val.extend(texts)
    try:
        array = read(given, Tensor("x:0", np.dtype(dtype), None))
    except RefusedError:
        return
    assert array.shape == tuple(shape)
    assert array.dtype == np.dtype(dtype)
    assert array.nbytes <= MAX_BYTES


# Messages.


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + messages._encoded(len(content)) + content


MANY = messages.SHORT + 2 * messages.MAX_FIELDS


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (classification_pb2.ClassificationRequest, field(2, field(1, b"\x0a\x00" * MANY))),
        (predict_pb2.PredictRequest, b"\x12\x00" * MANY),
        (predict_pb2.PredictRequest, field(2, field(2, b"\x42\x00" * MANY))),
        (predict_pb2.PredictRequest, field(2, field(2, field(2, b"\x12\x00" * MANY)))),
        (predict_pb2.PredictRequest, field(2, field(2, field(10, b"\x01" * 10 * MANY)))),
        (predict_pb2.PredictRequest, b"\x98\x06\x01" * MANY),  # unknown fields
    ],
    ids=["examples", "inputs", "strings", "dimensions", "numbers", "unknown"],
)
def test_fields_are_counted_before_they_are_read(kind: Any, body: bytes) -> None:
    with pytest.raises(RefusedError, match="more than 150000 values and fields") as raised:
        messages.parse(kind, body)
    assert raised.value.status == 413


def test_a_long_message_within_the_limit_is_read() -> None:
    request = predict_pb2.PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a text"] * 100_000))
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(100_000, np.float32)))
    assert messages.parse(predict_pb2.PredictRequest, request.SerializeToString()) == request


@pytest.mark.parametrize("size", [1, messages.SHORT + 1])
def test_bytes_that_are_no_message(size: int) -> None:
    for byte in (b"\xff", b"\x0b", b"\x0a"):  # no tag, a group, a length that is too long
        with pytest.raises(RefusedError, match=r"no tensorflow\.serving\.PredictRequest"):
            messages.parse(predict_pb2.PredictRequest, byte * size)

    deep = b""
    for _ in range(200):  # a variant of a tensor of a variant ...
        deep = field(15, field(3, deep))
    with pytest.raises(RefusedError):
        messages.parse(tensor_pb2.TensorProto, deep + b"\x42\x01a" * messages.SHORT)


@given(st.binary(max_size=300))
def test_counting_agrees_with_reading(body: bytes) -> None:
    kind = predict_pb2.PredictRequest
    try:
        kind.FromString(body)
    except messages.DecodeError:
        return
    try:
        messages._count_fields(body, kind.DESCRIPTOR)
    except messages.DecodeError as error:
        assert str(error) == "a group"  # noqa: PT017 - this one is refused, no other


def test_a_context_counts_for_each_example() -> None:
    given = input_pb2.Input()
    listed = given.example_list_with_context
    listed.context.features.feature["x"].bytes_list.value.append(b"a" * 1000)
    for _ in range(3):
        listed.examples.add().features.feature["y"].int64_list.value.append(1)
    listed.examples[2].features.feature["x"].bytes_list.value.append(b"own")

    rows = messages.examples_of(given, 10, MAX_BYTES)
    read_back = [tf.train.Example.FromString(row).features.feature for row in rows]
    assert [len(row["x"].bytes_list.value[0]) for row in read_back] == [1000, 1000, 3]
    assert [row["y"].int64_list.value[0] for row in read_back[:2]] == [1, 1]

    with pytest.raises(RefusedError, match="once for each of 3 examples"):
        messages.examples_of(given, 10, 3000)
    with pytest.raises(RefusedError, match="has 3 rows"):
        messages.examples_of(given, 2, MAX_BYTES)
    with pytest.raises(RefusedError, match="Input is empty"):
        messages.examples_of(input_pb2.Input(), 10, MAX_BYTES)
