"""Serialized tf.Examples from the JSON of a classify or regress request.

They are written byte by byte: importing TensorFlow's own messages imports all of TensorFlow, and
the process that reads long bodies has to stay small.

    Example { 1: Features { 1: entry { 1: name, 2: Feature }, 1: entry ... } }
    Feature { 1: { 1: bytes ... } or 2: { 1: packed floats } or 3: { 1: packed varints } }
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import RefusedError
from serving.limits import RequestLimits
from serving.tensors import LEAVES, Literal, convert, show, to_bytes

INT64 = np.iinfo(np.int64)


def read_examples(document: Mapping[str, Any], limits: RequestLimits) -> np.ndarray:
    """The serialized tf.Examples [batch] of a classify or regress request.

    Each holds the features of `context`, too.
    """
    examples = document.get("examples")
    if not isinstance(examples, list):
        raise RefusedError("Expecting 'examples' value to be an list/array")
    if not examples:
        raise RefusedError("'examples' value is an empty array")
    limits.check_rows(len(examples))

    context = _entries(document.get("context", {}), "'context'")
    shared = b"".join(context.values())
    # Counted before it is held: a short body can ask for gigabytes.
    limits.check_held(
        len(shared) * len(examples), f"'context' in each of {len(examples)} examples takes"
    )

    serialized = np.empty(len(examples), object)
    held = 0
    for number, given in enumerate(examples):
        entries = _entries(given, f"example {number}")
        both = sorted(entries.keys() & context.keys())
        if both:
            raise RefusedError(f"Feature: {both[0][:100]} is in 'context' and in example {number}")

        example = _field(1, b"".join(entries.values()) + shared)
        held += len(example)
        limits.check_held(held, "The examples take")
        serialized[number] = example

    return serialized


def check_serialized(examples: np.ndarray) -> None:
    """Refuses bytes that are not tf.Examples, and names the item.

    TensorFlow needs seconds for fields that are nested deeply (groups, which no tf.Example has),
    and its own error does not say which item it was.
    """
    values = examples.reshape(-1).tolist()
    for number, value in enumerate(values):
        try:
            _check_fields(value, 0, len(value), PARTS)
        except (ValueError, IndexError):
            raise RefusedError(
                f"Could not parse example input: item {number} of {len(values)} (counted from 0)"
                f" is not a serialized tf.Example: {value[:20]!r}"
            ) from None


# Number of a field -> the fields of its message, or None for bytes: of a tf.Example, of its
# Features, of an entry, of a Feature, of a list of bytes, floats or integers.
PARTS: dict[int, Any] = {1: {1: {1: None, 2: {1: {}, 2: {}, 3: {}}}}}


def _check_fields(data: bytes, position: int, stop: int, parts: dict[int, Any]) -> None:
    """Walks through the fields of a message.

    Raises:
        ValueError: A field does not end with the message, or is none.
        IndexError: A number does not end with the data.
    """
    while position < stop:
        tag, position = _read_varint(data, position)
        kind = tag & 7
        if kind == 2:
            size, position = _read_varint(data, position)
            inner = parts.get(tag >> 3)
            if inner is not None and position + size <= stop:
                _check_fields(data, position, position + size, inner)
            position += size
        elif kind == 0:
            _, position = _read_varint(data, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError("a group, or no field")
        if not tag >> 3:
            raise ValueError("no number of a field")

    if position != stop:
        raise ValueError("cut")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = data[position]
    if value < 128:
        return value, position + 1

    value, shift = value & 127, 7
    while shift < 70:
        position += 1
        digit = data[position]
        value |= (digit & 127) << shift
        if digit < 128:
            return value, position + 1
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _entries(given: Any, place: str) -> dict[str, bytes]:
    """Name -> the entry of a feature."""
    if not isinstance(given, dict):
        raise RefusedError(f"Example must be JSON object but got {show(given)} for {place}")

    entries = {}
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        try:
            entry = _field(1, name.encode()) + _field(2, _feature(values, name))
        except (ValueError, OverflowError) as error:
            # An integer beyond int64, a lone surrogate in a name.
            raise RefusedError(
                f"Feature: {show(name)} cannot be stored: {str(error)[:100]} ({place})"
            ) from None
        entries[name] = _field(1, entry)
    return entries


def _feature(values: list[Any], name: str) -> bytes:
    kinds = set(map(type, values))
    if kinds <= {str, dict}:
        return _field(1, b"".join(_field(1, to_bytes(value, name)) for value in values))

    if kinds <= {int, bool}:
        for value in (min(values), max(values)):
            if not INT64.min <= value <= INT64.max:
                raise ValueError(f"{show(value)} is no integer of 64 bits")
        return _field(3, _field(1, b"".join(_varint(int(value)) for value in values)))

    if kinds <= LEAVES["f"]:
        # TensorFlow Serving refuses a list of both, but JavaScript writes 1.0 as 1.
        floats = convert(values, np.dtype("<f4"), name)
        return _field(2, _field(1, floats.tobytes()))

    problem = "has elements of several types"
    if unexpected := kinds - {str, dict, int, bool, float, Literal}:
        problem = "has element with unexpected JSON type"
    names = sorted(kind.__name__ for kind in unexpected or kinds)
    raise RefusedError(f"Feature: {name[:100]} {problem}: {', '.join(names)}")


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes, or of a message."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes([value])
    value &= 0xFFFF_FFFF_FFFF_FFFF
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)
