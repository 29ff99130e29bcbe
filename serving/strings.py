"""Many strings as one block of bytes, which become objects a few rows at a time.

A million Python objects are slow to make and to free, and all other requests wait meanwhile.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Strings:
    """A tensor of strings.

    Attributes:
        blob: The bytes of all strings, without anything between them.
        ends: Where each one ends in it, after where the first one begins. [size + 1]
        shape: The tensor's shape.
    """

    blob: Any
    ends: np.ndarray
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> "Strings":
        """Some rows, without a copy."""
        start, stop, _ = rows.indices(self.shape[0])
        width = prod(self.shape[1:])
        return Strings(
            self.blob,
            self.ends[start * width : stop * width + 1],
            (max(0, stop - start), *self.shape[1:]),
        )

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return int(self.ends[-1] - self.ends[0])

    def array(self) -> np.ndarray:
        """The strings as bytes objects."""
        ends = self.ends.tolist()
        made = np.empty(self.size, object)
        made[:] = [bytes(self.blob[start:end]) for start, end in pairwise(ends)]
        return made.reshape(self.shape)


def pack(array: np.ndarray) -> Strings:
    """The strings of an array of bytes objects."""
    ends = np.zeros(array.size + 1, np.int64)
    np.cumsum(lengths(array).reshape(-1), out=ends[1:])
    return Strings(b"".join(array.reshape(-1).tolist()), ends, array.shape)


def lengths(value: Any) -> np.ndarray:
    """Bytes of each string, in the shape of the tensor."""
    if isinstance(value, Strings):
        return np.diff(value.ends).reshape(value.shape)
    sizes = np.fromiter(map(len, value.reshape(-1).tolist()), np.int64, value.size)
    return sizes.reshape(value.shape)


def row_bytes(value: Any) -> np.ndarray:
    """Bytes of each row [rows] of a tensor, which has one dimension at least."""
    rows = len(value)
    if not rows:
        return np.zeros(0, np.int64)
    if isinstance(value, Strings) or value.dtype.kind == "O":
        return lengths(value).reshape(rows, -1).sum(axis=1) + 8 * prod(value.shape[1:])
    return np.full(rows, value.nbytes // rows, np.int64)


def as_array(value: Any) -> np.ndarray:
    return value.array() if isinstance(value, Strings) else value
