"""SimpleRNN with the same weights, outputs and gradients as Keras's, about twice as fast to train on a CPU.

`FastSimpleRNN` is a `layers.SimpleRNN` and takes its arguments; `implementation="keras"` is the stock one, to the bit. Two things
make the other fast: the inputs are projected in one product instead of one per time step, and only what is sequential, a chunk
of CHUNK time steps, is compiled by XLA, with a backward pass written by hand. A chunk has the same shape whatever the length of
the texts: XLA compiles two functions (about 0.5 s together) for each size of a batch, not for each length.

`DistinctEmbedding` before it lets it project each distinct token of the batch once, not every position:

    rows, positions = DistinctEmbedding(vocab, dim, name="embedding")(ids)   # for: embedded = layers.Embedding(...)(ids)
    states = FastSimpleRNN(units, return_sequences=True, name="rnn")(rows, positions=positions)   # for: layers.SimpleRNN(...)(embedded)

Either network has the same weights in the same order: `get_weights` of one goes into `set_weights` of the other. (A weights file
names layers by their class; it does not.) To turn the rows of a text around, turn around `positions`; `layers.Embedding` and
FastSimpleRNN without `positions` go together, too.

Nothing is compiled without `training=True`: an exported signature holds a plain loop, as TensorFlow Serving wants it on a CPU.
"""

from functools import cache, partial
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

# Time steps of one compiled call; benchmarks cannot tell 16 from 32.
CHUNK = 16

# What the fast path knows: the activation of a pre-activation, and its derivative by its output.
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (tf.tanh, lambda state: 1 - state * state),
    "relu": (tf.nn.relu, lambda state: tf.cast(state > 0, state.dtype)),
    "linear": (tf.identity, tf.ones_like),
}


@keras.saving.register_keras_serializable("seqline")
class DistinctEmbedding(layers.Embedding):
    """layers.Embedding, each distinct id once. ids [batch, time] -> (rows [distinct, dim], positions [batch, time] int32).

    The embedded sequence is `tf.gather(rows, positions)`. `positions` index `rows`, in order of first occurrence in the batch.
    The gradient of the embeddings is dense: with a row per distinct id, replicas would not agree on its shape.
    """

    def call(self, inputs: Any) -> Any:
        ids = tf.cast(inputs, tf.int32)
        distinct, positions = tf.unique(tf.reshape(ids, [-1]))
        rows = _rows(tf.convert_to_tensor(self.embeddings), distinct)
        return tf.cast(rows, self.compute_dtype), tf.reshape(positions, tf.shape(ids))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (None, self.output_dim), tuple(input_shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        rows, positions = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(rows, dtype=self.compute_dtype), keras.KerasTensor(positions, dtype="int32")


@keras.saving.register_keras_serializable("seqline")
class FastSimpleRNN(layers.SimpleRNN):
    """layers.SimpleRNN; sequences [batch, time, dim], or rows [distinct, dim] with positions [batch, time] int32 of them.

    What the fast path does not know goes the stock way: dropout, an initial state, other activations than ACTIVATIONS, states
    that are kept or returned, unrolling, other types than float32, and everything that is not training.
    """

    def __init__(self, units: int, *, implementation: Literal["fast", "keras"] = "fast", **kwargs: Any) -> None:
        if implementation not in ("fast", "keras"):
            raise ValueError(f'implementation of FastSimpleRNN is {implementation!r}; it is "fast" or "keras"')
        super().__init__(units, **kwargs)
        self.implementation = implementation
        self.input_spec = None  # SimpleRNN's own wants three dimensions

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "implementation": self.implementation}

    def build(self, sequences_shape: Any, positions_shape: Any = None, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape if positions_shape is None else (*positions_shape, sequences_shape[-1]))

    def compute_output_shape(self, sequences_shape: Any, positions_shape: Any = None, initial_state_shape: Any = None) -> Any:
        return super().compute_output_shape(sequences_shape if positions_shape is None else positions_shape)

    def call(self, sequences: Any, positions: Any = None, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        if not training or initial_state is not None or not self._has_fast_path():
            embedded = sequences if positions is None else tf.gather(sequences, positions)
            return super().call(embedded, initial_state=initial_state, mask=mask, training=training)
        kernel, recurrent = tf.convert_to_tensor(self.cell.kernel), tf.convert_to_tensor(self.cell.recurrent_kernel)
        sequences = tf.convert_to_tensor(sequences)
        projected = tf.reshape(tf.matmul(tf.reshape(sequences, [-1, sequences.shape[-1]]), kernel), [*_shape(sequences)[:-1], self.units])
        if self.use_bias:
            projected += tf.convert_to_tensor(self.cell.bias)
        if positions is None:
            projected = self._time_major(projected)
        else:
            positions = self._time_major(positions)
        if mask is not None:
            mask = self._time_major(tf.cast(mask, tf.bool))[:, :, None]
        states = _recurrence(projected, recurrent, positions, mask, keras.activations.serialize(self.activation), self.return_sequences)
        return tf.transpose(states, [1, 0, 2]) if self.return_sequences else states

    def _has_fast_path(self) -> bool:
        stock_only = (
            self.dropout or self.recurrent_dropout or self.stateful or self.return_state or self.unroll or self.zero_output_for_mask
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


@tf.custom_gradient
def _rows(table: tf.Tensor, distinct: tf.Tensor) -> Any:
    """tf.gather(table, distinct), no index twice, with a dense gradient."""

    def gradient(upstream: tf.Tensor) -> Any:
        return tf.scatter_nd(distinct[:, None], upstream, tf.shape(table)), None

    return tf.gather(table, distinct), gradient


def _recurrence(
    projected: tf.Tensor,
    recurrent: tf.Tensor,
    positions: tf.Tensor | None,
    mask: tf.Tensor | None,
    activation: str,
    return_sequences: bool,
) -> tf.Tensor:
    """state[t] = activation(projected[t] + state[t - 1] @ recurrent), from zeros; where the mask is False, state[t - 1].

    projected: [time, batch, units], or with positions [time, batch], [distinct, units] that they index. mask: bool [time, batch, 1].
    Returns the states [time, batch, units], or the last one.
    """
    forward, backward = _compiled(activation)
    time, batch = _shape(projected if positions is None else positions)[:2]
    static_batch = (projected if positions is None else positions).shape[1]
    units = projected.shape[-1]
    num_chunks = (time + CHUNK - 1) // CHUNK

    def chunk(tensor: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        piece = tensor[number * CHUNK : (number + 1) * CHUNK]
        rest = [[0, CHUNK - tf.shape(piece)[0]], *([0, 0] for _ in tensor.shape[1:])]
        return tf.ensure_shape(tf.pad(piece, rest), [CHUNK, *tensor.shape[1:]])

    def arguments(number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"steps": tf.minimum(CHUNK, time - number * CHUNK)} | ({} if mask is None else {"mask": chunk(mask, number)})

    def chunks() -> tf.TensorArray:
        return tf.TensorArray(projected.dtype, num_chunks, element_shape=[CHUNK, static_batch, units])

    zeros = tf.ensure_shape(tf.zeros([batch, units], projected.dtype), [static_batch, units])

    @tf.custom_gradient
    def run(projected: tf.Tensor, recurrent: tf.Tensor) -> Any:
        # An eager GradientTape would otherwise record the compiled loops, too, which have no gradient of their own.
        projected, recurrent = tf.stop_gradient(projected), tf.stop_gradient(recurrent)

        def advance(number: tf.Tensor, state: tf.Tensor, written: tf.TensorArray) -> Any:
            inputs = chunk(projected, number) if positions is None else tf.gather(projected, chunk(positions, number))
            states, state = forward(inputs, state, recurrent, **arguments(number))
            return number + 1, state, written.write(number, states)

        _, last, written = tf.while_loop(
            lambda number, *_: number < num_chunks, advance, (0, zeros, chunks()), maximum_iterations=num_chunks
        )
        states = written.concat()[:time]

        def gradient(upstream: tf.Tensor) -> Any:
            transposed = tf.transpose(recurrent)
            nothing = tf.ensure_shape(tf.zeros([CHUNK, batch, units], upstream.dtype), [CHUNK, static_batch, units])

            def retreat(number: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
                d_states = chunk(upstream, number) if return_sequences else nothing
                d_inputs, d_state = backward(d_states, chunk(states, number), d_state, transposed, **arguments(number))
                return number - 1, d_state, written.write(number, d_inputs)

            initial = (num_chunks - 1, zeros if return_sequences else upstream, chunks())
            written = tf.while_loop(lambda number, *_: number >= 0, retreat, initial, maximum_iterations=num_chunks)[2]
            d_projected = written.concat()[:time]
            before, after = tf.reshape(states[:-1], [-1, units]), tf.reshape(d_projected[1:], [-1, units])
            d_recurrent = tf.matmul(before, after, transpose_a=True)
            if positions is not None:
                # Compiled by XLA the sum takes a third of the time, but every number of distinct tokens would be compiled anew.
                d_projected = tf.math.unsorted_segment_sum(d_projected, positions, tf.shape(projected)[0])
            return d_projected, d_recurrent

        return states if return_sequences else last, gradient

    return run(projected, recurrent)


@cache
def _compiled(activation: str) -> tuple[Any, Any]:
    function, derivative = ACTIVATIONS[activation]
    return (
        tf.function(partial(_forward, activation=function), jit_compile=True, autograph=False),
        tf.function(partial(_backward, derivative=derivative), jit_compile=True, autograph=False),
    )


def _forward(
    inputs: tf.Tensor, state: tf.Tensor, recurrent: tf.Tensor, steps: tf.Tensor, mask: tf.Tensor | None = None, *, activation: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """The states [CHUNK, batch, units] of the first `steps` of a chunk, and the last one of these."""

    def body(time: tf.Tensor, state: tf.Tensor, written: tf.TensorArray) -> Any:
        new = activation(inputs[time] + tf.matmul(state, recurrent))
        if mask is not None:
            new = tf.where(mask[time], new, state)
        return time + 1, new, written.write(time, new)

    written = tf.TensorArray(inputs.dtype, CHUNK, element_shape=inputs.shape[1:])
    _, state, written = tf.while_loop(lambda time, *_: time < steps, body, (0, state, written), maximum_iterations=CHUNK)
    return written.stack(), state


def _backward(
    d_states: tf.Tensor,
    states: tf.Tensor,
    d_state: tf.Tensor,
    transposed: tf.Tensor,
    steps: tf.Tensor,
    mask: tf.Tensor | None = None,
    *,
    derivative: Any,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients of a chunk's inputs [CHUNK, batch, units] and of the state before it. transposed: recurrent, transposed."""

    def body(time: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
        d_state += d_states[time]
        d_input = d_state * derivative(states[time])
        if mask is None:
            d_state = tf.matmul(d_input, transposed)
        else:
            d_input = tf.where(mask[time], d_input, tf.zeros_like(d_input))
            d_state = tf.matmul(d_input, transposed) + tf.where(mask[time], tf.zeros_like(d_state), d_state)
        return time - 1, d_state, written.write(time, d_input)

    written = tf.TensorArray(states.dtype, CHUNK, element_shape=states.shape[1:])
    _, d_state, written = tf.while_loop(lambda time, *_: time >= 0, body, (steps - 1, d_state, written), maximum_iterations=CHUNK)
    return written.stack(), d_state


def _shape(tensor: tf.Tensor) -> list[Any]:
    """Its dimensions, as numbers where they are known."""
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape)]
