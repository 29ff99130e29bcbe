"""state = tanh(input + state @ recurrent) through time, plain or compiled by XLA.

What pooling reads of the states is collected on the way.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Time steps of one round of the plain loop: the loop itself costs as much as two steps.
CHUNK = 8
# The state, the sum and the maximum of the states, all states; None for what is not read.
Known = tuple[Any, Any, Any, Any]


def run(
    recurrent: tf.Variable,
    rows_of: Callable[[tf.Tensor], tf.Tensor],
    inputs: tf.Tensor,
    first: Any,
    last: Any,
    fast: bool,
    read: str,
    count: tf.Tensor,
) -> Known:
    """Runs the steps from `first` up to `last` (not included).

    The plain loop takes all steps, CHUNK by CHUNK: those before `first` and from `last` on change
    nothing.

    Args:
        rows_of: looks up inputs that are ids; leaves others unchanged.
        inputs: ids [time, batch], or [time, batch, units].
        fast: the loop is compiled by XLA.
        read: a pooling, or "states" for all of them, [time, batch, units].
        count: int32 [batch], the steps of each row.
    """

    def compiled(
        inputs: tf.Tensor, first: tf.Tensor, last: tf.Tensor, count: tf.Tensor
    ) -> list[tf.Tensor]:
        known = _rounds(
            recurrent, lambda step: [rows_of(inputs[step])], inputs, first, last, 1, read, count
        )
        return [tensor for tensor in known if tensor is not None]

    if fast:
        arguments = (inputs, tf.convert_to_tensor(first), tf.convert_to_tensor(last), count)
        results = iter(tf.function(compiled, jit_compile=True, autograph=False)(*arguments))
        state, total, maximum, states = (
            next(results) if is_read else None for is_read in _wanted(read)
        )
        return state, total, maximum, states

    # [time / CHUNK, CHUNK, batch, ...]
    chunks = tf.reshape(inputs, tf.concat([[-1, CHUNK], tf.shape(inputs)[1:]], axis=0))

    def steps(number: tf.Tensor) -> list[tf.Tensor]:
        return tf.unstack(rows_of(tf.gather(chunks, number)), CHUNK)

    return _rounds(recurrent, steps, inputs, 0, tf.shape(chunks)[0], CHUNK, read, count)


def _wanted(read: str) -> tuple[bool, bool, bool, bool]:
    """Which part of `Known` is read."""
    return True, read in ("mean", "mean_max"), read in ("max", "mean_max"), read == "states"


def _rounds(
    kernel: tf.Variable,
    steps: Callable[[tf.Tensor], list[tf.Tensor]],
    inputs: tf.Tensor,
    first: Any,
    last: Any,
    width: int,
    read: str,
    count: tf.Tensor,
) -> Known:
    """Runs rounds of `width` steps each; steps(round) gives their inputs, [batch, units] each."""
    recurrent = tf.convert_to_tensor(kernel)
    zeros = tf.zeros([tf.shape(inputs)[1], recurrent.shape[0]])  # [batch, units]
    _, adds, highest, written = _wanted(read)
    states = None
    if written:
        shape = [None, recurrent.shape[0]]
        states = tf.TensorArray(tf.float32, tf.shape(inputs)[0], element_shape=shape)

    def advance(number: tf.Tensor, state: tf.Tensor, total: Any, maximum: Any, states: Any) -> Any:
        for offset, row in enumerate(steps(number)):
            now = number * width + offset
            state = tf.tanh(row + tf.matmul(state, recurrent))  # [batch, units]
            if read == "mean_max":
                # The only sum that has to ask: it stands before rows of LOWEST.
                total += tf.where((now < count)[:, None], state, 0.0)
            elif adds:
                total += state

            if highest:
                maximum = tf.maximum(maximum, state)
            if written:
                states = states.write(now, state)
        return number + 1, state, total, maximum, states

    initial = (
        tf.convert_to_tensor(first),
        zeros,
        zeros if adds else (),
        zeros - 1.0 if highest else (),
        states if written else (),
    )

    _, state, total, maximum, states = tf.while_loop(
        lambda number, *_: number < last, advance, initial
    )
    return (
        state,
        total if adds else None,
        maximum if highest else None,
        states.stack() if written else None,
    )
