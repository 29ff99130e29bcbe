"""Tables of a served model: rows of float32, or of fewer bits."""

from typing import Any, Literal

import numpy as np
import tensorflow as tf

TableDtype = Literal["float32", "bfloat16", "int8"]


class Table(tf.Module):
    """Rows [num, width] of float32, or of fewer bits: bfloat16, or int8 with a factor a row."""

    def __init__(self, rows: np.ndarray, dtype: TableDtype, name: str) -> None:
        super().__init__(name=name)
        self.scale = None
        if dtype == "int8":
            largest = np.abs(rows).max(axis=1, keepdims=True)  # [num, 1]
            scale = np.maximum(largest, np.finfo(np.float32).tiny) / 127
            self.scale = constant(scale, f"{name}_scale")
            rows = np.rint(rows / scale)
        self.rows = constant(rows, name, dtype)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """ids [...] -> float32 [..., width]."""
        rows = tf.cast(tf.gather(self.rows, ids), tf.float32)
        return rows if self.scale is None else rows * tf.gather(self.scale, ids)

    def at(self, ids: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Some numbers of rows: ids [num], columns [num, k] -> float32 [num, k]."""
        numbers = tf.cast(at(self.rows, ids, columns), tf.float32)
        return numbers if self.scale is None else numbers * tf.gather(self.scale, ids)


def at(rows: Any, ids: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """rows [..., width], ids int64 [num], columns int64 [num, k] -> [num, k]."""
    ids = tf.repeat(ids[:, None], tf.shape(columns)[1], axis=1)
    return tf.gather_nd(rows, tf.stack([ids, columns], axis=2))


def constant(value: np.ndarray, name: str, dtype: str = "float32") -> tf.Variable:
    return tf.Variable(tf.cast(tf.constant(value), dtype), trainable=False, name=name)
