"""The network as it is served: the same probabilities from less work.

Plain TensorFlow functions over plain variables.

A token's embedding, the first SimpleRNN's kernel and its bias never change, so they are one table:
E @ W + b, one row for each token, one table for each direction. What is left of a time step is
tanh(row + state @ recurrent). The skip branch, which is linear up to the logits, is a table with a
column for each class wherever that is smaller. Pooling happens inside the loop.

No step needs a mask. Where pooling reads the last state or the mean, a text stands at the end of
the time, after rows of zeros: the state stays 0, exactly, until the text begins. Where it reads the
maximum, the text stands at the beginning, before rows of LOWEST: the state there is -1, and no
maximum changes by it.

    last, mean          0   0   0  t1  t2  t3
    max, mean_max      t1  t2  t3  LOWEST LOWEST LOWEST
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.exporter import time_loop
from components.exporter.bigrams import narrow_buckets, wide_buckets
from components.exporter.tables import Table, TableDtype, constant
from seqline.data.features import NUM_RESERVED_IDS, PAD_ID, oov_id
from seqline.model.network import Spec

# The compiled loop is compiled once for each shape: batches of these sizes, and above them
# multiples of the last.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Where time steps are not ids, times of this or twice, four times, ... as much.
SHORTEST = 32
# As an input of a time step: below everything that the state could add.
LOWEST = -1e9


def _wide(weight: np.ndarray) -> np.ndarray:
    """Float64: products of weights are rounded once, when they are stored."""
    return np.asarray(weight, np.float64)


class Direction(tf.Module):
    """One SimpleRNN in one direction.

    Attributes:
        table: the projected inputs of a first layer over ids; None for another layer, which has
            kernel and bias instead.
    """

    def __init__(
        self, name: str, weights: Sequence[np.ndarray], backward: bool, table: Table | None = None
    ) -> None:
        super().__init__(name=name)
        self.backward = backward
        self.table = table
        kernel, recurrent, bias = weights
        if table is None:
            self.kernel = constant(kernel, f"{name}_kernel")
            self.bias = constant(bias, f"{name}_bias")
        self.recurrent = constant(recurrent, f"{name}_recurrent")


class FoldedNetwork(tf.Module):
    """The variables of a served network, and `probabilities` over them.

    Args:
        weights: by the layer's name, as network.build(spec) has them.
        table_dtype: of the tables of ids; other weights are float32.
    """

    def __init__(
        self,
        spec: Spec,
        weights: Mapping[str, Sequence[np.ndarray]],
        table_dtype: TableDtype = "float32",
    ) -> None:
        super().__init__(name="served")
        self.spec = spec

        # LOWEST follows a text for the maximum; for the others, zeros precede it.
        self.text_first = spec.pooling in ("max", "mean_max")
        self.fill = LOWEST if self.text_first else 0.0

        # Without masking PAD is a token like others, and another row fills up.
        self.fill_id = PAD_ID if spec.masking else spec.num_tokens + NUM_RESERVED_IDS
        self.layers = [
            self._layer(number, weights, table_dtype) for number in range(1, spec.num_layers + 1)
        ]

        num_directions = 2 if spec.bidirectional else 1
        num_poolings = 2 if spec.pooling == "mean_max" else 1
        width = spec.rnn_units * num_directions * num_poolings
        kernel, bias = weights["output"]
        self.kernel = constant(kernel[:width], "output_kernel")
        self.bias = constant(bias, "output_bias")
        if spec.skip_dim:
            self._fold_skip(weights, kernel[width:], table_dtype)

    def _layer(
        self, number: int, weights: Mapping[str, Sequence[np.ndarray]], dtype: TableDtype
    ) -> list[Direction]:
        name = "rnn" if number == self.spec.num_layers else f"rnn_{number}"
        names = [name, f"{name}_backward"] if self.spec.bidirectional else [name]

        directions = []
        for direction in names:
            table = None
            if number == 1 and not self.spec.dim:
                rows = self._projected(weights["embedding"][0], weights[direction])
                table = Table(rows, dtype, f"{direction}_table")
            backward = direction.endswith("_backward")
            directions.append(Direction(direction, weights[direction], backward, table))
        return directions

    def _projected(self, embedding: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
        """The inputs of a first layer by id, float64 [ids, units], with a row that fills up."""
        kernel, _, bias = (_wide(weight) for weight in weights)
        rows = _wide(embedding) @ kernel + bias  # [V + 2, units]
        if self.spec.masking:
            rows[PAD_ID] = self.fill
            return rows
        return np.vstack([rows, np.full((1, rows.shape[1]), self.fill)])

    def _fold_skip(
        self, weights: Mapping[str, Sequence[np.ndarray]], kernel: np.ndarray, dtype: TableDtype
    ) -> None:
        self.skip_kernel = None
        if self.spec.dim:
            self.skip_layer = [
                constant(weight, f"skip_{name}")
                for name, weight in zip(("kernel", "bias"), weights["skip_embedding"], strict=True)
            ]
            self.skip_kernel = constant(kernel * self.spec.skip_gain, "skip_output")
            return

        rows = _wide(weights["skip_embedding"][0]) * self.spec.skip_gain
        if self.spec.num_classes <= self.spec.skip_dim:
            rows = rows @ _wide(kernel)
        else:
            self.skip_kernel = constant(kernel, "skip_output")

        rows[PAD_ID] = 0
        self.skip_table = Table(rows, dtype, "skip_table")

        if self.spec.bigram_buckets:
            numbers = np.int64(weights["bigrams"][0])  # [num_buckets]
            first_id = self.spec.num_tokens + NUM_RESERVED_IDS - 1
            # The id of each bucket's row, PAD for none.
            ids = np.where(numbers > 0, numbers + first_id, PAD_ID)
            self.bigram_ids = constant(ids, "bigram_ids", "int32")

    def probabilities(
        self, content: tf.Tensor, length: tf.Tensor, fast: bool = False, narrow: bool = False
    ) -> tf.Tensor:
        """The probabilities of rows, float32 [batch, num_classes]; see `logits`."""
        return tf.nn.softmax(self.logits(content, length, fast, narrow))

    def logits(
        self, content: tf.Tensor, length: tf.Tensor, fast: bool = False, narrow: bool = False
    ) -> tf.Tensor:
        """The logits of rows.

        Args:
            content: ids, int64 [batch, time], or values, float32 [batch, time, dim]. Without
                masking, time is max_length.
            length: int64 [batch], of the real rows; padding follows them.
            fast: the time loops are compiled by XLA, for a few shapes.
            narrow: no integer needs more than 32 bits.

        Returns:
            float32 [batch, num_classes].
        """
        pooled = self._recurrent(content, tf.cast(length, tf.int32), fast)
        logits = tf.matmul(pooled, self.kernel) + self.bias  # [batch, num_classes]
        if self.spec.skip_dim:
            if self.spec.dim:
                skip = self._skip_of_values(content, length)
            else:
                skip = self._skip_of_ids(content, narrow_buckets if narrow else wide_buckets)
            logits += skip if self.skip_kernel is None else tf.matmul(skip, self.skip_kernel)
        return logits

    def _skip_of_ids(self, ids: tf.Tensor, hashed: Callable[..., Any]) -> tf.Tensor:
        """[batch, skip_dim], or [batch, num_classes] where the table holds logits."""
        if self.spec.bigram_buckets:
            buckets, known = hashed(ids, self.spec.bigram_buckets, oov_id(self.spec.num_tokens))
            bigrams = tf.where(known, tf.gather(self.bigram_ids, buckets), PAD_ID)
            ids = tf.concat([tf.cast(ids, tf.int32), bigrams], axis=1)  # [batch, 2 * time - 1]
        count = tf.math.count_nonzero(ids, axis=1, keepdims=True, dtype=tf.float32)  # [batch, 1]
        return tf.reduce_sum(self.skip_table(ids), axis=1) / tf.maximum(count, 1)

    def _skip_of_values(self, values: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """[batch, skip_dim]."""
        kernel, bias = self.skip_layer
        present = tf.sequence_mask(length, tf.shape(values)[1], tf.float32)[:, :, None]
        total = tf.reduce_sum(tf.nn.relu(_project(values, kernel, bias)) * present, axis=1)
        return total / tf.maximum(tf.cast(length, tf.float32), 1)[:, None]

    def _recurrent(self, content: tf.Tensor, length: tf.Tensor, fast: bool) -> tf.Tensor:
        """The pooled states of all directions, [batch, width]."""
        batch, time = tf.unstack(tf.shape(content)[:2])
        # Without masking every row has max_length steps, but only its text turns around.
        count = length if self.spec.masking else tf.fill([batch], self.spec.max_length)
        if fast:
            size = _next(batch, [*BATCH_SIZES, -(-batch // BATCH_SIZES[-1]) * BATCH_SIZES[-1]])
            content, length, count = (
                _padded(tensor, 0, size, 0) for tensor in (content, length, count)
            )

        if not self.spec.dim:
            content = tf.cast(content, tf.int32)

        for directions in self.layers[:-1]:
            content = tf.concat(
                [self._states(direction, content, length, time, fast) for direction in directions],
                axis=2,
            )

        pooled = tf.concat(
            [
                self._pooled(direction, content, length, count, time, fast)
                for direction in self.layers[-1]
            ],
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
        """A direction's inputs in the order in which it reads them.

        Ids [batch, more], or projections [batch, more, units], where `more` is `time` filled up to
        one of a few sizes.
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
        """[batch, units], or [batch, 2 * units] for mean_max."""
        inputs = self._inputs(direction, content, length, time, fast)
        more = tf.shape(inputs)[1]
        if direction.table is None:  # What follows a text are projections of padding.
            inputs = tf.where(tf.sequence_mask(count, more)[:, :, None], inputs, self.fill)
        if not self.text_first:
            turned = (tf.range(more)[None, :] + count[:, None]) % more  # [batch, more]
            inputs = tf.gather(inputs, turned, axis=1, batch_dims=1)

        first, last = (0, time) if self.text_first else (more - time, more)
        state, total, maximum, _ = time_loop.run(
            direction.recurrent,
            direction.table or tf.identity,
            _time_major(inputs),
            first,
            last,
            fast,
            self.spec.pooling,
            count,
        )

        full = tf.cast(tf.maximum(count, 1), tf.float32)[:, None]  # [batch, 1]
        pooled = []
        if self.spec.pooling == "last":
            pooled.append(state)
        if total is not None:
            pooled.append(total / full)
        if maximum is not None:
            pooled.append(tf.where(count[:, None] > 0, maximum, 0.0))
        return tf.concat(pooled, axis=1)

    def _states(
        self,
        direction: Direction,
        content: tf.Tensor,
        length: tf.Tensor,
        time: tf.Tensor,
        fast: bool,
    ) -> tf.Tensor:
        """[batch, time, units]; the states after a text are undefined."""
        inputs = self._inputs(direction, content, length, time, fast)
        _, _, _, states = time_loop.run(
            direction.recurrent,
            direction.table or tf.identity,
            _time_major(inputs),
            0,
            time,
            fast,
            "states",
            length,
        )

        states = _time_major(states)[:, :time]
        if direction.backward:
            states = tf.reverse_sequence(states, length, seq_axis=1, batch_axis=0)
        return states


def fold(trained: Any, spec: Spec, table_dtype: TableDtype = "float32") -> FoldedNetwork:
    """The served network of a Keras model that `network.build(spec)` made."""
    weights = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    return FoldedNetwork(spec, weights, table_dtype)


def _project(inputs: tf.Tensor, kernel: tf.Variable, bias: tf.Variable) -> tf.Tensor:
    """[batch, time, dim] -> [batch, time, units]."""
    sizes = tf.shape(inputs)
    flat = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel) + bias
    return tf.reshape(flat, tf.stack([sizes[0], sizes[1], kernel.shape[1]]))


def _padded(tensor: tf.Tensor, axis: int, size: tf.Tensor, value: float) -> tf.Tensor:
    """Filled up to `size` along an axis."""
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
    smallest = tf.convert_to_tensor(sizes[-1])
    for candidate in reversed(sizes[:-1]):
        smallest = tf.where(size <= candidate, candidate, smallest)
    return smallest


def _powers(smallest: int, largest: int) -> list[int]:
    """smallest, twice that, ..., below `largest`, and `largest`."""
    sizes = []
    while smallest < largest:
        sizes.append(smallest)
        smallest *= 2
    return [*sizes, largest]
