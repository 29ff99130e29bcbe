"""Tensors and Examples from protocol buffers, and tensors to them.

What a client sent is not trusted. A message of a few bytes may claim a tensor of terabytes, and two
bytes of a message become an object of a hundred. So the fields are counted before they are read,
and the bytes that a tensor will hold before they are allocated.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import RefusedError
from serving.tensors import MAX_RANK, Tensor

# Fields of a message, at most. Reading so many takes up to 60 ms, in which no other thread runs.
# Eight numbers that are packed in one field take as long as a field.
MAX_FIELDS = 150_000
NUM_PACKED = 8
# A message has at most one field for two bytes: a shorter one need not be counted.
SHORT = 1 << 16
MAX_DEPTH = 20
# Values that are converted at once. Between two chunks other threads run.
CHUNK = 1 << 14
# Type of a tensor -> the field of its values.
FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
}
DTYPES = {kind: np.dtype(tf.dtypes.as_dtype(kind).as_numpy_dtype) for kind in FIELDS}
KINDS = {dtype: kind for kind, dtype in DTYPES.items()}
# Fields whose bytes on the wire are those of a little-endian array.
RAW = {"float_val", "double_val", "scomplex_val", "dcomplex_val", "bool_val"}
# What a field that is not a message may hold in place of packed varints.
NOT_VARINTS = {
    FieldDescriptor.CPPTYPE_STRING,
    FieldDescriptor.CPPTYPE_FLOAT,
    FieldDescriptor.CPPTYPE_DOUBLE,
    FieldDescriptor.CPPTYPE_MESSAGE,
}


def parse(kind: Any, body: bytes) -> Any:
    """A message of a kind.

    Raises:
        RefusedError: It is none, or has too many fields.
    """
    try:
        if len(body) > SHORT:
            _count_fields(body, kind.DESCRIPTOR)
        return kind.FromString(body)
    except DecodeError:
        raise RefusedError(f"The message is no {kind.DESCRIPTOR.full_name}.") from None


def _count_fields(body: bytes, descriptor: Any) -> None:
    """Counts the fields of a message and of the messages in it, without reading them.

    Raises:
        RefusedError: There are more than MAX_FIELDS.
        DecodeError: It is not a message.
    """
    # The messages that are open: the end of each, and its fields by number.
    opened = [(len(body), descriptor.fields_by_number)]
    position = count = 0

    while count < MAX_FIELDS:
        count += 1
        while opened and position == opened[-1][0]:
            opened.pop()
        if not opened:
            return

        end, fields = opened[-1]
        tag, position = _varint(body, position, end)
        wire_type = tag & 7

        if wire_type == 0:
            _, position = _varint(body, position, end)
        elif wire_type == 2:
            size, position = _varint(body, position, end)
            field = fields.get(tag >> 3)
            if field is not None and field.message_type and position + size <= end:
                if len(opened) == MAX_DEPTH:
                    raise DecodeError("nested too deeply")
                opened.append((position + size, field.message_type.fields_by_number))
            else:
                position += size
                if field is not None and field.cpp_type not in NOT_VARINTS:
                    count += size // NUM_PACKED
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:  # A group, which nothing writes any more.
            raise DecodeError("a group")

        if position > end:
            raise DecodeError("cut off")

    raise RefusedError(
        f"The message has more than {MAX_FIELDS} values and fields; send its rows in several.",
        status=413,
    )


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = shift = 0
    while position < end and shift < 70:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise DecodeError("cut off in a number")


def to_array(proto: Any, spec: Tensor, name: str, max_rows: int, max_bytes: int) -> np.ndarray:
    """The array of a TensorProto.

    As in TensorFlow, the last value stands for those that are missing, and 0 or "" for all.

    Args:
        proto: A TensorProto.
        spec: The input that it is for.
        name: The input's name.
        max_rows: Sizes of the first dimension, at most.
        max_bytes: Bytes of the array, at most.

    Raises:
        RefusedError: It is not a tensor for that input, or too large.
    """
    dtype = DTYPES.get(proto.dtype)
    if dtype is None or dtype != spec.dtype:
        raise RefusedError(
            f"Input {name}: Expects {_dtype_name(KINDS.get(spec.dtype, 0))} but"
            f" {_dtype_name(proto.dtype)} is provided"
        )

    shape = _shape(proto, spec, name)
    if shape and shape[0] > max_rows:
        raise RefusedError(
            f"The request has {shape[0]} rows; this server takes {max_rows} at most.", status=413
        )

    # Sizes of 0 are left out: numpy refuses [0, 2**62].
    _limit(math.prod(filter(None, shape)) * dtype.itemsize, name, max_bytes)
    count = math.prod(shape)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, dtype, count, name).reshape(shape)

    values = getattr(proto, FIELDS[proto.dtype])
    given = len(values) // 2 if dtype.kind == "c" else len(values)
    if given > count or (dtype.kind == "c" and len(values) % 2):
        raise RefusedError(
            f"Input {name}: tensor parsing error: {len(values)} values for shape {_brackets(shape)}"
        )

    if dtype.kind == "O":
        return _strings(values, count, name, max_bytes).reshape(shape)
    array = np.zeros(count, dtype)
    _fill(array[:given], values, name)
    if 0 < given < count:
        array[given:] = array[given - 1]
    return array.reshape(shape)


def _shape(proto: Any, spec: Tensor, name: str) -> tuple[int, ...]:
    given = proto.tensor_shape
    if given.unknown_rank or len(given.dim) > MAX_RANK:
        raise RefusedError(
            f"Input {name}: tensor parsing error: a shape of"
            f" {'unknown rank' if given.unknown_rank else f'{len(given.dim)} dimensions'}"
        )

    shape = tuple(dim.size for dim in given.dim)
    if any(size < 0 for size in shape):
        raise RefusedError(f"Input {name}: tensor parsing error: shape {_brackets(shape)}")

    wanted = spec.shape
    if wanted is not None and (
        len(wanted) != len(shape)
        or any(dim not in (-1, size) for dim, size in zip(wanted, shape, strict=True))
    ):
        raise RefusedError(
            f"Input {name}: got shape {_brackets(shape)}, expecting {_brackets(wanted)}"
        )
    return shape


def _limit(num_bytes: int, name: str, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise RefusedError(
            f"Input {name} would hold {num_bytes} bytes; this server takes {max_bytes} at most."
            " Send its rows in several.",
            status=413,
        )


def _from_content(content: bytes, dtype: np.dtype, count: int, name: str) -> np.ndarray:
    if dtype.kind == "O":
        raise RefusedError(f"Input {name}: send strings as string_val, not as tensor_content")
    if len(content) != count * dtype.itemsize:
        raise RefusedError(
            f"Input {name}: tensor parsing error: tensor_content has {len(content)} bytes, its"
            f" shape {count * dtype.itemsize}"
        )
    if dtype.kind == "b":
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False)


def _strings(values: Any, count: int, name: str, max_bytes: int) -> np.ndarray:
    texts = list(values)
    num_bytes = sum(map(len, texts))
    if texts:
        num_bytes += (count - len(texts)) * len(texts[-1])
    _limit(num_bytes, name, max_bytes)

    array = np.full(count, texts[-1] if texts else b"", object)
    array[: len(texts)] = texts
    return array


def _fill(array: np.ndarray, values: Any, name: str) -> None:
    """Copies values into an array, in chunks."""
    if not array.size:
        return

    dtype = array.dtype
    is_half = dtype.itemsize == 2 and dtype.kind not in "iu"  # float16 or bfloat16: its bits
    flat = array.view(np.uint16) if is_half else array
    if dtype.kind == "c":
        flat = array.view(array.real.dtype)

    limits = np.iinfo(flat.dtype) if flat.dtype.kind in "iu" else None
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        if limits and not limits.min <= min(chunk) <= max(chunk) <= limits.max:
            raise RefusedError(f"Input {name}: a value is not of type {dtype.name}")
        flat[start : start + CHUNK] = chunk


def _dtype_name(kind: int) -> str:
    return types_pb2.DataType.Name(kind) if kind in types_pb2.DataType.values() else f"type {kind}"


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join('?' if size == -1 else str(size) for size in shape)}]"


def to_proto(array: np.ndarray) -> Any:
    """A TensorProto with the values in the field of their type, as TensorFlow Serving sends it."""
    kind = KINDS[array.dtype]
    proto = tensor_pb2.TensorProto(dtype=kind)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)

    field, flat = FIELDS[kind], np.ascontiguousarray(array).reshape(-1)
    if field in RAW:
        number = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[field].number
        content = flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()
        if content:
            header = bytes([number << 3 | 2]) + _encoded(len(content))
            proto.MergeFromString(header + content)
        return proto

    values = getattr(proto, field)
    if field == "half_val":
        flat = flat.view(np.uint16)
    for start in range(0, flat.size, CHUNK):
        values.extend(flat[start : start + CHUNK].tolist())
    return proto


def _encoded(number: int) -> bytes:
    """A number as a varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def examples_of(given: Any, max_rows: int, max_bytes: int) -> np.ndarray:
    """The serialized tf.Examples [batch] of an Input, each with the features of the context.

    Raises:
        RefusedError: There is none, or there are too many, or they are too large.
    """
    context = b""
    rows = given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        rows = given.example_list_with_context.examples
        context = given.example_list_with_context.context.SerializeToString()

    if not rows:
        raise RefusedError("Input is empty.")
    if len(rows) > max_rows:
        raise RefusedError(
            f"The request has {len(rows)} rows; this server takes {max_rows} at most.", status=413
        )

    held = given.ByteSize() + len(context) * len(rows)
    if held > max_bytes:
        raise RefusedError(
            f"The context, once for each of {len(rows)} examples, makes {held} bytes; this server"
            f" takes {max_bytes} at most. Send the examples in several requests.",
            status=413,
        )

    # Two messages one after the other are one message: the example's features replace the context's
    # of the same name.
    serialized = np.empty(len(rows), object)
    serialized[:] = [context + row.SerializeToString() for row in rows]
    return serialized
