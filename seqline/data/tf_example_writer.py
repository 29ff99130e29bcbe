"""Writes the bytes of tf.Examples, a whole shard of rows at once.

They are the bytes of protobuf's deterministic serialization, at a third of its cost.

Format: protobuf's wire encoding (protobuf.dev/programming-guides/encoding) of
tensorflow/core/example/{example,feature}.proto: Example.features = 1, Features.feature = 1 (a map:
key = 1, value = 2), Feature.bytes_list = 1, float_list = 2, int64_list = 3, and in each list value
= 1. A map's entries are in ascending order of their keys.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

# Field number and wire type in one byte: number << 3 | 2 (length-delimited).
FIRST, SECOND, THIRD = b"\x0a", b"\x12", b"\x1a"


def examples(columns: Sequence[list[bytes]]) -> Iterator[bytes]:
    """Serialized tf.Examples of n rows.

    Args:
        columns: For each feature its n entries, as the functions below return them. Features are in
            ascending order of their names.
    """
    for row in zip(*columns, strict=True):
        yield _field(FIRST, b"".join(row))


def bytes_features(name: str, values: Sequence[bytes]) -> list[bytes]:
    """A feature with one value for each row."""
    key = _field(FIRST, name.encode())
    return [
        _field(FIRST, key + _field(SECOND, _field(FIRST, _field(FIRST, value)))) for value in values
    ]


def few_bytes_features(name: str, values: Sequence[bytes]) -> list[bytes]:
    """The same where most rows have one of a few values, such as labels."""
    distinct = list(set(values))
    entry = dict(zip(distinct, bytes_features(name, distinct), strict=True))
    return [entry[value] for value in values]


def bytes_lists(name: str, rows: Sequence[Sequence[bytes]]) -> list[bytes]:
    """A feature with any number of values for each row."""
    lists = [b"".join([_field(FIRST, value) for value in row]) for row in rows]
    return _entries(name, FIRST, lists)


def float_lists(name: str, values: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    """A feature with lengths[i] numbers for row i.

    Args:
        name: Of the feature.
        values: float32 [sum(lengths)], row after row.
        lengths: int64 [rows].
    """
    packed = np.ascontiguousarray(values, "<f4").tobytes()
    return _packed(name, SECOND, packed, np.cumsum(4 * lengths))


def single_floats(name: str, values: np.ndarray) -> list[bytes]:
    """A feature with one number for each row.

    Args:
        name: Of the feature.
        values: float32 [rows].
    """
    return float_lists(name, values, np.ones(len(values), np.int64))


def int_lists(name: str, values: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    """A feature with lengths[i] integers for row i.

    Args:
        name: Of the feature.
        values: Integers >= 0, [sum(lengths)], row after row.
        lengths: int64 [rows].
    """
    packed, sizes = _varints(values)
    ends = np.concatenate([[0], np.cumsum(sizes)])  # [sum(lengths) + 1], in bytes
    return _packed(name, THIRD, packed, ends[np.cumsum(lengths)])


def few_int_features(name: str, values: np.ndarray) -> list[bytes]:
    """A feature with one integer >= 0 for each row, where most rows have one of a few."""
    distinct, row = np.unique(values, return_inverse=True)
    entries = int_lists(name, distinct, np.ones(len(distinct), np.int64))
    return [entries[number] for number in row.tolist()]


def _packed(name: str, tag: bytes, packed: bytes, ends: np.ndarray) -> list[bytes]:
    """The entries of a feature whose packed values end for each row at ends[row]."""
    starts = [0, *ends.tolist()]
    # An empty list is written without its values field.
    lists = [
        _field(FIRST, packed[start:end]) if end > start else b"" for start, end in pairwise(starts)
    ]
    return _entries(name, tag, lists)


def _entries(name: str, tag: bytes, lists: Sequence[bytes]) -> list[bytes]:
    """The entries of a feature whose lists are of the kind of a tag."""
    key = _field(FIRST, name.encode())
    return [_field(FIRST, key + _field(SECOND, _field(tag, values))) for values in lists]


def _varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The varints of all values, one after the other, and the size of each in bytes.

    A varint has seven bits in each byte, the lowest first.
    """
    assert not len(values) or values.min() >= 0, "negative integers take another encoding"
    largest = int(values.max()) if len(values) else 0
    width = max(1, -(-largest.bit_length() // 7))

    # Narrow integers where they fit: ids of a vocabulary do, and numpy is twice as fast on them.
    values = values.astype(np.uint32 if largest < 1 << 32 else np.uint64)

    table = np.empty((len(values), width), np.uint8)  # the bytes of each varint, padded
    kept = np.empty((len(values), width), bool)  # whether a byte belongs to the varint

    for place in range(width):
        rest = values >> (7 * place)
        kept[:, place] = rest > 0
        table[:, place] = (rest & 127) | ((rest > 127).astype(np.uint8) << 7)

    kept[:, 0] = True
    return table[kept].tobytes(), kept.sum(axis=1)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


SHORT = [_varint(number) for number in range(1 << 14)]


def _field(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    return tag + (SHORT[size] if size < 1 << 14 else _varint(size)) + content
