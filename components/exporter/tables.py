"""Tables of a served model: rows of float32, or of fewer bits."""

from typing import Any

import numpy as np
import tensorflow as tf

from components.exporter import TableDtype

# The largest number of each type of integers.
LARGEST = {"int16": 2**15 - 1, "int8": 2**7 - 1}
# The least numbers of a row for which a factor of its own takes little space.
WIDE_ROW = 16


class Table(tf.Module):
    """Rows [num, width] of float32, or of fewer bits: bfloat16, or integers with factors.

    A factor makes the largest number of a row (or of a column) the largest integer.

    Args:
        alike: rows are of about the same size, so that short rows of int16 can share a factor for
            each column. Rows that fill up time are not.
    """

    def __init__(self, rows: np.ndarray, dtype: TableDtype, name: str, alike: bool = False) -> None:
        super().__init__(name=name)
        self.scale = None
        self.by_column = alike and dtype == "int16" and rows.shape[1] < WIDE_ROW
        if dtype in LARGEST:
            axis = 0 if self.by_column else 1
            largest = np.abs(rows).max(axis=axis, keepdims=True)  # [1, width] or [num, 1]
            scale = np.maximum(largest, np.finfo(np.float32).tiny) / LARGEST[dtype]
            self.scale = constant(scale, f"{name}_scale")
            rows = rows / scale
            np.rint(rows, out=rows)
        self.rows = constant(rows, name, dtype)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """ids [...] -> float32 [..., width]."""
        rows = tf.cast(tf.gather(self.rows, ids), tf.float32)
        if self.scale is None:
            return rows
        return rows * (self.scale if self.by_column else tf.gather(self.scale, ids))

    def at(self, ids: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Some numbers of rows: ids [num], columns [num, k] -> float32 [num, k]."""
        numbers = tf.cast(at(self.rows, ids, columns), tf.float32)
        if self.scale is None:
            return numbers
        if self.by_column:
            return numbers * tf.gather(self.scale[0], columns)
        return numbers * tf.gather(self.scale, ids)


def at(rows: Any, ids: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """rows [..., width], ids int64 [num], columns int64 [num, k] -> [num, k]."""
    ids = tf.repeat(ids[:, None], tf.shape(columns)[1], axis=1)
    return tf.gather_nd(rows, tf.stack([ids, columns], axis=2))


def constant(value: np.ndarray, name: str, dtype: str = "float32") -> tf.Variable:
    if dtype != "bfloat16":  # NumPy has no such type
        value = value.astype(dtype, copy=False)
    return tf.Variable(tf.cast(tf.constant(value), dtype), trainable=False, name=name)
