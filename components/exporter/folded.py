"""The network as it is served.

The same probabilities from less work, as plain TensorFlow functions over plain variables.

A token's embedding, the first SimpleRNN's kernel and its bias never change, so they are one table:
E @ W + b, one row for each token, one table for each direction. What is left of a time step is
tanh(row + state @ recurrent). The skip branch, which is linear up to the logits, is a table with a
column for each class wherever that is smaller. Pooling happens inside the loop.

No step needs a mask. Where pooling reads the last state or the mean, a text stands at the end of
the time, behind rows of zeros: the state stays 0, exactly, until the text begins. Where it reads
the maximum, the text stands at the beginning, before rows of LOWEST: the state there is -1, and no
maximum changes by it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from components.exporter import time_loop
from components.exporter.bigrams import narrow_buckets, wide_buckets
from seqline.data.features import NUM_RESERVED_IDS, PAD_ID, oov_id
from seqline.model.network import Spec

TableDtype = Literal["float32", "bfloat16", "int8"]

# The compiled loop is compiled anew for each shape: batches of these sizes, and beyond them
# multiples of the last.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# And where time steps are no ids, times of this or twice, four times, ... as much.
SHORTEST = 32
# As an input of a time step: below everything that the state could add.
LOWEST = -1e9


class Table(tf.Module):
    """Rows [num, width] of float32, or of fewer bits.

    Bfloat16, or int8 with a factor for each row.
    """

    def __init__(self, rows: np.ndarray, dtype: TableDtype, name: str) -> None:
        super().__init__(name=name)
        self.scale = None
        if dtype == "int8":
            scale = (
                np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
            )
            self.scale = _variable(scale, f"{name}_scale")
            rows = np.rint(rows / scale)
        self.rows = _variable(rows, name, dtype)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """ids [...] -> float32 [..., width]."""
        rows = tf.cast(tf.gather(self.rows, ids), tf.float32)
        return rows if self.scale is None else rows * tf.gather(self.scale, ids)


def _wide(weight: np.ndarray) -> np.ndarray:
    """Products of weights are rounded once, as they are stored."""
    return np.asarray(weight, np.float64)


def _variable(value: np.ndarray, name: str, dtype: str = "float32") -> tf.Variable:
    return tf.Variable(tf.cast(tf.constant(value), dtype), trainable=False, name=name)


class Direction(tf.Module):
    """One SimpleRNN in one direction. table.

    Of the inputs' projections, for a first layer over ids; otherwise kernel and bias.
    """

    def __init__(
        self, name: str, weights: Sequence[np.ndarray], backward: bool, table: Table | None = None
    ) -> None:
        super().__init__(name=name)
        self.backward = backward
        self.table = table
        if table is None:
            self.kernel, self.bias = (
                _variable(weights[0], f"{name}_kernel"),
                _variable(weights[2], f"{name}_bias"),
            )
        self.recurrent = _variable(weights[1], f"{name}_recurrent")


class Served(tf.Module):
    """The variables, and `probabilities` over them.

    weights: by the layer's name, as network.build(spec) has them. table_dtype: of the tables of
    ids; other weights are float32.
    """

    def __init__(
        self,
        spec: Spec,
        weights: Mapping[str, Sequence[np.ndarray]],
        table_dtype: TableDtype = "float32",
    ) -> None:
        super().__init__(name="served")
        self.spec = spec
        # Behind max stands LOWEST, before the others zeros.
        self.text_first = spec.pooling in ("max", "mean_max")
        self.fill = LOWEST if self.text_first else 0.0
        # Without masking PAD is a token like others, and another row fills up.
        self.fill_id = PAD_ID if spec.masking else spec.num_tokens + NUM_RESERVED_IDS
        self.layers = [
            self._layer(number, weights, table_dtype) for number in range(1, spec.num_layers + 1)
        ]
        width = (
            spec.rnn_units
            * (2 if spec.bidirectional else 1)
            * (2 if spec.pooling == "mean_max" else 1)
        )
        kernel, bias = weights["output"]
        self.kernel, self.bias = (
            _variable(kernel[:width], "output_kernel"),
            _variable(bias, "output_bias"),
        )
        if spec.skip_dim:
            self._fold_skip(weights, kernel[width:], table_dtype)

    def _layer(
        self, number: int, weights: Mapping[str, Sequence[np.ndarray]], dtype: TableDtype
    ) -> list[Direction]:
        name = "rnn" if number == self.spec.num_layers else f"rnn_{number}"
        directions = []
        for each in [name, f"{name}_backward"] if self.spec.bidirectional else [name]:
            table = None
            if number == 1 and not self.spec.dim:
                kernel, _, bias = (_wide(weight) for weight in weights[each])
                rows = _wide(weights["embedding"][0]) @ kernel + bias
                if self.spec.masking:
                    rows[PAD_ID] = self.fill
                else:
                    rows = np.vstack([rows, np.full((1, rows.shape[1]), self.fill)])
                table = Table(rows, dtype, f"{each}_table")
            directions.append(Direction(each, weights[each], each.endswith("_backward"), table))
        return directions

    def _fold_skip(
        self, weights: Mapping[str, Sequence[np.ndarray]], kernel: np.ndarray, dtype: TableDtype
    ) -> None:
        self.skip_kernel = None
        if self.spec.dim:
            self.skip_layer = [
                _variable(weight, f"skip_{name}")
                for name, weight in zip(("kernel", "bias"), weights["skip_embedding"], strict=True)
            ]
            self.skip_kernel = _variable(kernel * self.spec.skip_gain, "skip_output")
            return
        rows = _wide(weights["skip_embedding"][0]) * self.spec.skip_gain
        if self.spec.num_classes <= self.spec.skip_dim:
            rows = rows @ _wide(kernel)
        else:
            self.skip_kernel = _variable(kernel, "skip_output")
        rows[PAD_ID] = 0
        self.skip_table = Table(rows, dtype, "skip_table")
        if self.spec.bigram_buckets:
            numbers = np.int64(weights["bigrams"][0])
            # The id of each bucket's row, PAD for none.
            self.bigram_ids = _variable(
                np.where(
                    numbers > 0, numbers + (self.spec.num_tokens + NUM_RESERVED_IDS - 1), PAD_ID
                ),
                "bigram_ids",
                "int32",
            )

    def probabilities(
        self, content: tf.Tensor, length: tf.Tensor, fast: bool = False, narrow: bool = False
    ) -> tf.Tensor:
        """[batch, num_classes] of ids, int64 [batch, time], or values, float32 [batch, time, dim].

        length: int64 [batch], of the real rows; behind them is padding. Without masking time is
        max_length. fast: the time loops are compiled by XLA, for a few shapes. narrow: no integer
        needs more than 32 bits.
        """
        pooled = self._recurrent(content, tf.cast(length, tf.int32), fast)
        logits = tf.matmul(pooled, self.kernel) + self.bias
        if self.spec.skip_dim:
            skip = (
                self._skip_of_values(content, length)
                if self.spec.dim
                else self._skip_of_ids(content, narrow_buckets if narrow else wide_buckets)
            )
            logits += skip if self.skip_kernel is None else tf.matmul(skip, self.skip_kernel)
        return tf.nn.softmax(logits)

    def _skip_of_ids(self, ids: tf.Tensor, hashed: Callable[..., Any]) -> tf.Tensor:
        if self.spec.bigram_buckets:
            buckets, known = hashed(ids, self.spec.bigram_buckets, oov_id(self.spec.num_tokens))
            bigrams = tf.where(known, tf.gather(self.bigram_ids, buckets), PAD_ID)
            ids = tf.concat([tf.cast(ids, tf.int32), bigrams], axis=1)
        count = tf.math.count_nonzero(ids, axis=1, keepdims=True, dtype=tf.float32)
        return tf.reduce_sum(self.skip_table(ids), axis=1) / tf.maximum(count, 1)

    def _skip_of_values(self, values: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        kernel, bias = self.skip_layer
        present = tf.sequence_mask(length, tf.shape(values)[1], tf.float32)[:, :, None]
        total = tf.reduce_sum(tf.nn.relu(_project(values, kernel, bias)) * present, axis=1)
        return total / tf.maximum(tf.cast(length, tf.float32), 1)[:, None]

    def _recurrent(self, content: tf.Tensor, length: tf.Tensor, fast: bool) -> tf.Tensor:
        """[batch, what pooling gives of both directions]."""
        batch, time = tf.unstack(tf.shape(content)[:2])
        # Without masking every row has max_length steps, but only its text turns around.
        count = length if self.spec.masking else tf.fill([batch], self.spec.max_length)
        if fast:
            rows = _next(batch, [*BATCH_SIZES, -(-batch // BATCH_SIZES[-1]) * BATCH_SIZES[-1]])
            content, length, count = (
                _padded(each, 0, rows, 0) for each in (content, length, count)
            )
        if not self.spec.dim:
            content = tf.cast(content, tf.int32)
        for directions in self.layers[:-1]:
            content = tf.concat(
                [self._states(each, content, length, time, fast) for each in directions], axis=2
            )
        pooled = tf.concat(
            [self._pooled(each, content, length, count, time, fast) for each in self.layers[-1]],
            axis=1,
        )
        return pooled[:batch]

    def _inputs(
        self,
        direction: Direction,
        content: tf.Tensor,
        length: tf.Tensor,
        time: tf.Tensor,
        fast: bool,
    ) -> tf.Tensor:
        """A direction's inputs in its order.

        Ids [batch, more], or projections [batch, more, units], filled up behind to a few `more`.
        """
        is_ids = direction.table is not None
        if not is_ids:
            content = _project(content, direction.kernel, direction.bias)
        if direction.backward:
            content = tf.reverse_sequence(content, length, seq_axis=1, batch_axis=0)
        if not fast:
            more = -(-time // time_loop.CHUNK) * time_loop.CHUNK
        elif is_ids:
            more = tf.constant(self.spec.max_length)
        else:
            more = _next(time, _powers(SHORTEST, self.spec.max_length))
        return _padded(content, 1, more, self.fill_id if is_ids else self.fill)

    def _pooled(
        self,
        direction: Direction,
        content: tf.Tensor,
        length: tf.Tensor,
        count: tf.Tensor,
        time: tf.Tensor,
        fast: bool,
    ) -> tf.Tensor:
        inputs = self._inputs(direction, content, length, time, fast)
        more = tf.shape(inputs)[1]
        if direction.table is None:  # what is behind a text are projections of padding
            inputs = tf.where(tf.sequence_mask(count, more)[:, :, None], inputs, self.fill)
        if not self.text_first:
            turned = (tf.range(more)[None, :] + count[:, None]) % more
            inputs = tf.gather(inputs, turned, axis=1, batch_dims=1)
        first, last = (0, time) if self.text_first else (more - time, more)
        known = time_loop.run(
            direction.recurrent,
            direction.table or tf.identity,
            _time_major(inputs),
            first,
            last,
            fast,
            self.spec.pooling,
            count,
        )
        full = tf.cast(tf.maximum(count, 1), tf.float32)[:, None]
        pooled = [known[0]] if self.spec.pooling == "last" else []
        pooled += [] if known[1] is None else [known[1] / full]
        pooled += [] if known[2] is None else [tf.where(count[:, None] > 0, known[2], 0.0)]
        return tf.concat(pooled, axis=1)

    def _states(
        self,
        direction: Direction,
        content: tf.Tensor,
        length: tf.Tensor,
        time: tf.Tensor,
        fast: bool,
    ) -> tf.Tensor:
        """[batch, time, units]; behind a text they are anything."""
        inputs = self._inputs(direction, content, length, time, fast)
        states = _time_major(
            time_loop.run(
                direction.recurrent,
                direction.table or tf.identity,
                _time_major(inputs),
                0,
                time,
                fast,
                "states",
                length,
            )[3]
        )[:, :time]
        return (
            tf.reverse_sequence(states, length, seq_axis=1, batch_axis=0)
            if direction.backward
            else states
        )


def _project(inputs: tf.Tensor, kernel: tf.Variable, bias: tf.Variable) -> tf.Tensor:
    """[batch, time, dim] -> [batch, time, units]."""
    sizes = tf.shape(inputs)
    flat = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel) + bias
    return tf.reshape(flat, tf.stack([sizes[0], sizes[1], kernel.shape[1]]))


def _padded(tensor: tf.Tensor, axis: int, size: tf.Tensor, value: float) -> tf.Tensor:
    """Filled up behind to `size` along an axis."""
    paddings = [[0, 0]] * len(tensor.shape)
    paddings[axis] = [0, size - tf.shape(tensor)[axis]]
    return tf.pad(tensor, paddings, constant_values=tf.cast(value, tensor.dtype))


def _time_major(tensor: tf.Tensor) -> tf.Tensor:
    """[batch, time, ...] -> [time, batch, ...], and back."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


def _next(size: tf.Tensor, sizes: Sequence[Any]) -> tf.Tensor:
    """The smallest of the ascending sizes that is not below `size`.

    The last one may be smaller than those before it.
    """
    found = tf.convert_to_tensor(sizes[-1])
    for each in reversed(sizes[:-1]):
        found = tf.where(size <= each, each, found)
    return found


def _powers(smallest: int, largest: int) -> list[int]:
    """smallest, twice that, ..., below `largest`, and `largest`."""
    found = []
    while smallest < largest:
        found.append(smallest)
        smallest *= 2
    return [*found, largest]
