"""state = tanh(input + state @ recurrent) through time, with what pooling reads taken up on the
way; plain, or compiled by XLA.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Time steps of one round of the plain loop: the loop itself costs as much as two steps.
CHUNK = 8
# What the loop knows: the state, the sum and the maximum of the states, all states; None for what
# nobody asks for.
Known = tuple[Any, ...]


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
    """What `read` (a pooling, or "states" [time, batch, units]) needs of the steps first..last.

    inputs: [time, batch], ids that rows_of looks up, or [time, batch, units], which it leaves
    alone. count: int32 [batch], the steps of each row. The plain loop takes all steps, CHUNK by
    CHUNK: those before `first` and behind `last` change nothing.
    """

    def compiled(
        inputs: tf.Tensor, first: tf.Tensor, last: tf.Tensor, count: tf.Tensor
    ) -> list[tf.Tensor]:
        known = _rounds(
            recurrent, lambda step: [rows_of(inputs[step])], inputs, first, last, 1, read, count
        )
        return [each for each in known if each is not None]

    if fast:
        arguments = (inputs, tf.convert_to_tensor(first), tf.convert_to_tensor(last), count)
        found = iter(tf.function(compiled, jit_compile=True, autograph=False)(*arguments))
        return tuple(next(found) if wanted else None for wanted in _wanted(read))
    chunks = tf.reshape(inputs, tf.concat([[-1, CHUNK], tf.shape(inputs)[1:]], axis=0))

    def steps(number: tf.Tensor) -> list[tf.Tensor]:
        return tf.unstack(rows_of(tf.gather(chunks, number)), CHUNK)

    return _rounds(recurrent, steps, inputs, 0, tf.shape(chunks)[0], CHUNK, read, count)


def _wanted(read: str) -> tuple[bool, bool, bool, bool]:
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
    """Rounds first..last of `width` steps each; steps(round) gives their inputs [batch, units]."""
    recurrent = tf.convert_to_tensor(kernel)
    zeros = tf.zeros([tf.shape(inputs)[1], recurrent.shape[0]])
    _, adds, highest, written = _wanted(read)
    states = (
        tf.TensorArray(tf.float32, tf.shape(inputs)[0], element_shape=[None, recurrent.shape[0]])
        if written
        else None
    )

    def advance(number: tf.Tensor, state: tf.Tensor, total: Any, maximum: Any, states: Any) -> Any:
        for offset, row in enumerate(steps(number)):
            now = number * width + offset
            state = tf.tanh(row + tf.matmul(state, recurrent))
            if (
                read == "mean_max"
            ):  # the only one that has to ask, as it stands before rows of LOWEST
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
    found = tf.while_loop(lambda number, *_: number < last, advance, initial)
    return (
        found[1],
        found[2] if adds else None,
        found[3] if highest else None,
        found[4].stack() if written else None,
    )
