"""A SimpleRNN that has the weights, outputs and gradients of Keras's and trains faster on a CPU.

`FastSimpleRNN` is a `layers.SimpleRNN` and takes its arguments; `implementation="keras"` is the
stock layer, bit for bit. The fast one projects the inputs in one product instead of one for each
time step, and runs through time by `seqline.model.time_loops`.

With a `DistinctEmbedding` before it, it projects each distinct token of the batch once instead of
every position:

    rows, positions = DistinctEmbedding(vocab, dim, name="embedding")(ids)
    states = FastSimpleRNN(units, return_sequences=True, name="rnn")(rows, positions=positions)

stands for

    embedded = layers.Embedding(vocab, dim, name="embedding")(ids)
    states = layers.SimpleRNN(units, return_sequences=True, name="rnn")(embedded)

Both networks have the same weights in the same order: `get_weights` of one fits `set_weights` of
the other. (A weights file does not: it names layers by their class.) To reverse the rows of a text,
reverse `positions`. `layers.Embedding` and FastSimpleRNN without `positions` work together, too.

Without `pooling`, nothing is compiled unless `training=True`: an exported signature holds a plain
loop, as TensorFlow Serving needs it on a CPU.
"""

from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from seqline.model.time_loops import ACTIVATIONS, PARTS, recurrence


@keras.saving.register_keras_serializable("seqline")
class DistinctEmbedding(layers.Embedding):
    """layers.Embedding that looks up each distinct id once.

    ids [batch, time] -> (rows [distinct, dim], positions int32 [batch, time]).

    The embedded sequence is `tf.gather(rows, positions)`. The rows are in the order of their first
    occurrence in the batch. The gradient of the embeddings is an IndexedSlices in which no row
    occurs twice.
    """

    def call(self, inputs: Any) -> Any:
        ids = tf.cast(inputs, tf.int32)
        distinct, positions = tf.unique(tf.reshape(ids, [-1]))
        rows = tf.gather(_of_replica(self.embeddings.value), distinct)
        return tf.cast(rows, self.compute_dtype), tf.reshape(positions, tf.shape(ids))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (None, self.output_dim), tuple(input_shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        rows, positions = self.compute_output_shape(inputs.shape)
        return (
            keras.KerasTensor(rows, dtype=self.compute_dtype),
            keras.KerasTensor(positions, dtype="int32"),
        )


def _of_replica(variable: Any) -> Any:
    """This replica's own copy of a variable, of which rows can be read.

    Of a strategy's variable, `tf.gather` would first read all rows, which copies the table.
    """
    context = tf.distribute.get_replica_context()
    if context is None:
        return variable
    copies = context.strategy.experimental_local_results(variable)
    if len(copies) == 1:
        return copies[0]
    return next(copy for copy in copies if copy.handle is variable.handle)


@keras.saving.register_keras_serializable("seqline")
class FastSimpleRNN(layers.SimpleRNN):
    """layers.SimpleRNN over sequences [batch, time, dim], or over rows that positions index.

    Rows are [distinct, dim], their positions int32 [batch, time].

    The stock layer computes what the fast path does not support: dropout of the inputs, an initial
    state, activations other than tanh, relu and none, states that are kept or returned, unrolling,
    types other than float32, and everything that is not training.

    Args:
        pooling: "last", "mean", "max" or "mean_max" of the first `length` (int [batch]) states, in
            place of all states: [batch, units], or [batch, 2 * units] for "mean_max". It always
            takes the fast path. None for the states.
        num_parts: of a batch that run at the same time on a CPU; 1 where other layers run at the
            same time as this one.

    Raises:
        ValueError: `pooling` with an argument that the fast path does not support.
    """

    def __init__(
        self,
        units: int,
        *,
        implementation: Literal["fast", "keras"] = "fast",
        pooling: str | None = None,
        num_parts: int = PARTS,
        **kwargs: Any,
    ) -> None:
        if implementation not in ("fast", "keras"):
            raise ValueError(
                f'implementation of FastSimpleRNN is {implementation!r}; it is "fast" or "keras"'
            )

        super().__init__(units, **kwargs)
        self.implementation = implementation
        self.pooling = pooling
        self.num_parts = num_parts
        if pooling is not None and not self._has_fast_path():
            raise ValueError(
                "FastSimpleRNN pools on its fast path only: with none of dropout, return_state,"
                " stateful, unroll, float64"
            )

        self.input_spec = None  # SimpleRNN's own wants three dimensions

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "implementation": self.implementation,
            "pooling": self.pooling,
            "num_parts": self.num_parts,
        }

    def build(self, sequences_shape: Any, positions_shape: Any = None, **_: Any) -> None:
        super().build(
            sequences_shape if positions_shape is None else (*positions_shape, sequences_shape[-1])
        )

    def compute_output_shape(
        self, sequences_shape: Any, positions_shape: Any = None, **_: Any
    ) -> Any:
        shape = sequences_shape if positions_shape is None else positions_shape
        if self.pooling is not None:
            return (shape[0], self.units * (2 if self.pooling == "mean_max" else 1))
        return super().compute_output_shape(shape)

    def call(
        self,
        sequences: Any,
        positions: Any = None,
        length: Any = None,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        if self.pooling is None and (
            not training or initial_state is not None or not self._has_fast_path()
        ):
            embedded = sequences if positions is None else tf.gather(sequences, positions)
            return super().call(embedded, initial_state=initial_state, mask=mask, training=training)

        projected = self._project(tf.convert_to_tensor(sequences))  # [..., units]
        source = projected if positions is None else positions
        kept = None
        if training and self.recurrent_dropout:
            shape = [tf.shape(source)[0], self.units]  # [batch, units]
            kept = keras.random.dropout(
                tf.ones(shape, projected.dtype),
                self.recurrent_dropout,
                seed=self.cell.seed_generator,
            )

        outputs = recurrence(
            self._time_major(projected) if positions is None else projected,
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            None if positions is None else self._time_major(positions),
            activation=keras.activations.serialize(self.activation),
            result=self.pooling or ("sequences" if self.return_sequences else "last"),
            length=None if length is None else tf.cast(length, tf.int32),
            mask=None if mask is None else self._time_major(tf.cast(mask, tf.bool)),
            kept=kept,
            num_parts=self.num_parts,
        )
        if len(outputs.shape) == 3:
            return tf.transpose(outputs, [1, 0, 2])  # [batch, time, units]
        return outputs

    def _project(self, sequences: tf.Tensor) -> tf.Tensor:
        """[..., dim] -> [..., units]."""
        kernel = tf.convert_to_tensor(self.cell.kernel)
        sizes = tf.shape(sequences)
        flat = tf.matmul(tf.reshape(sequences, [-1, sequences.shape[-1]]), kernel)
        projected = tf.reshape(flat, tf.concat([sizes[:-1], [self.units]], axis=0))
        projected = tf.ensure_shape(projected, [*sequences.shape[:-1], self.units])
        return projected + tf.convert_to_tensor(self.cell.bias) if self.use_bias else projected

    def _has_fast_path(self) -> bool:
        stock_only = (
            self.dropout
            or self.stateful
            or self.return_state
            or self.unroll
            or self.zero_output_for_mask
        )
        return (
            self.implementation == "fast"
            and not stock_only
            and keras.activations.serialize(self.activation) in ACTIVATIONS
            and self.compute_dtype == self.variable_dtype == "float32"
        )

    def _time_major(self, tensor: tf.Tensor) -> tf.Tensor:
        """[batch, time, ...] -> [time, batch, ...], time in the order in which it is read."""
        swapped = tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])
        return swapped[::-1] if self.go_backwards else swapped
