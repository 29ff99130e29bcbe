"""state[t] = activation(input[t] + state[t - 1] @ recurrent), forward and backward, fast on a CPU.

XLA compiles only what is sequential: CHUNK time steps a call, with a backward pass written by hand.
A chunk has the same shape whatever the length of the texts, so XLA compiles two functions (about
0.5 s together) for each size of a batch, not for each length.

    time   0 .. 31 | 32 .. 63 | 64 .. 69, zeros      forward: chunk after chunk, left to right
                                                     backward: the same chunks, right to left

A batch runs in two parts at the same time, each on its own core. Pooling happens inside the loop,
so that neither the states nor their gradients are transposed, masked or copied outside of it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import tensorflow as tf

# Time steps of one compiled call.
CHUNK = 32
# Parts of a batch that run at the same time on a CPU: a compiled loop keeps one core busy. Fixed,
# not the number of cores: sums would be taken in another order elsewhere, and the weights would
# differ in their last bits.
PARTS = 2

# The activation of a pre-activation, and its derivative by its output.
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (tf.tanh, lambda state: 1 - state * state),
    "relu": (tf.nn.relu, lambda state: tf.cast(state > 0, state.dtype)),
    "linear": (tf.identity, tf.ones_like),
}
# What a result is made of: the poolings that the loop collects.
RESULTS: dict[str, tuple[str, ...]] = {
    "sequences": (),
    "last": ("last",),
    "mean": ("mean",),
    "max": ("max",),
    "mean_max": ("mean", "max"),
}
# Below every state.
LOWEST = -1e9

# What the loop has collected for one pooling, each [batch, units]: (the last state), (the sum of
# the states), or (the maximum, the time step that it is from).
Collected = tuple[tf.Tensor, ...]


def recurrence(
    projected: tf.Tensor,
    recurrent: tf.Tensor,
    positions: tf.Tensor | None = None,
    *,
    activation: str = "tanh",
    result: str = "sequences",
    length: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
) -> tf.Tensor:
    """Runs through time, with gradients by `projected` and `recurrent`.

    Args:
        projected: float32 [time, batch, units], the inputs by the kernel; with positions, rows
            [distinct, units] that they index.
        recurrent: float32 [units, units].
        positions: int32 [time, batch].
        result: "sequences" for the states; "last", "mean", "max" or "mean_max" for the pooling of
            the first `length` states.
        length: int32 [batch]; None for all time steps.
        mask: bool [time, batch]; where it is False, state[t] is state[t - 1].
        kept: float32 [batch, units], factors on state[t - 1]: recurrent dropout.

    Returns:
        The states [time, batch, units], or [batch, units], or [batch, 2 * units] for "mean_max";
        zeros where the length is 0. Of states that are equally high, the first has the whole
        gradient of the maximum.
    """
    source = projected if positions is None else positions
    batch = tf.shape(source)[1]
    num_parts = 1 if tf.config.list_physical_devices("GPU") else PARTS
    # Rows that nothing reads fill up the last part: parts of one size need one compilation.
    missing = -batch % num_parts

    def split(tensor: tf.Tensor | None, batch_axis: int) -> list[Any]:
        if tensor is None:
            return [None] * num_parts
        paddings = [[0, missing if axis == batch_axis else 0] for axis in range(len(tensor.shape))]
        return tf.split(tf.pad(tensor, paddings), num_parts, batch_axis)

    sources = split(source, 1)
    lengths = split(length, 0)
    masks = split(mask, 1)
    factors = split(kept, 0)

    results = []
    for part in range(num_parts):
        inputs = (sources[part], recurrent, None)
        if positions is not None:
            inputs = (projected, recurrent, sources[part])

        results.append(
            _recurrence(
                *inputs,
                activation=activation,
                result=result,
                length=lengths[part],
                mask=masks[part],
                kept=factors[part],
            )
        )

    if result == "sequences":
        return tf.concat(results, 1)[:, :batch]
    return tf.concat(results, 0)[:batch]


def _recurrence(
    projected: tf.Tensor,
    recurrent: tf.Tensor,
    positions: tf.Tensor | None,
    *,
    activation: str,
    result: str,
    length: tf.Tensor | None,
    mask: tf.Tensor | None,
    kept: tf.Tensor | None,
) -> tf.Tensor:
    """`recurrence` of one part of a batch."""
    poolings = RESULTS[result]
    forward, backward = _compiled(activation, poolings)
    source = projected if positions is None else positions
    time, batch = tf.shape(source)[0], tf.shape(source)[1]
    shape = [source.shape[1], projected.shape[-1]]  # of a state, as far as it is known

    num_chunks = (time + CHUNK - 1) // CHUNK
    source = _padded(source, num_chunks)
    limits = tf.fill([batch, 1], time) if length is None else length[:, None]  # [batch, 1]
    whole_mask = None if mask is None else _padded(mask[:, :, None], num_chunks)
    zeros = tf.ensure_shape(tf.zeros([batch, projected.shape[-1]], projected.dtype), shape)

    def arguments(number: tf.Tensor) -> dict[str, Any]:
        """The arguments about a chunk that both compiled functions take."""
        start = number * CHUNK
        named = {"limits": limits, "start": start, "steps": tf.minimum(CHUNK, time - start)}
        if kept is not None:
            named["kept"] = kept
        if whole_mask is not None:
            named["mask"] = _chunk(whole_mask, number)
        return named

    def chunks() -> tf.TensorArray:
        return tf.TensorArray(projected.dtype, num_chunks, element_shape=[CHUNK, *shape])

    @tf.custom_gradient
    def run(projected: tf.Tensor, recurrent: tf.Tensor) -> Any:
        # An eager GradientTape would otherwise record the compiled loops, too, which have no
        # gradient of their own.
        projected, recurrent = tf.stop_gradient(projected), tf.stop_gradient(recurrent)
        inputs = _padded(projected, num_chunks) if positions is None else None

        def advance(
            number: tf.Tensor, state: tf.Tensor, collected: Any, written: tf.TensorArray
        ) -> Any:
            if inputs is None:
                chunk = tf.gather(projected, _chunk(source, number))
            else:
                chunk = _chunk(inputs, number)
            states, state, collected = forward(
                chunk, state, collected, recurrent, **arguments(number)
            )
            return number + 1, state, collected, written.write(number, states)

        initial = (0, zeros, tuple(_START[pooling](zeros) for pooling in poolings), chunks())
        _, _, collected, written = tf.while_loop(
            lambda number, *_: number < num_chunks, advance, initial, maximum_iterations=num_chunks
        )
        all_states = written.concat()  # [num_chunks * CHUNK, batch, units]

        pooled = [
            _finish(pooling, values, limits)
            for pooling, values in zip(poolings, collected, strict=True)
        ]

        def gradient(upstream: tf.Tensor) -> Any:
            d_all_states = _padded(upstream, num_chunks) if result == "sequences" else None
            d_pooled = tf.split(upstream, len(pooled), axis=1) if pooled else []
            into = tuple(
                _upstream(pooling, d_pooling, values, limits)
                for pooling, d_pooling, values in zip(poolings, d_pooled, collected, strict=True)
            )
            transposed = tf.transpose(recurrent)

            def retreat(number: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
                named = arguments(number)
                if d_all_states is not None:
                    named["d_states"] = _chunk(d_all_states, number)
                states = _chunk(all_states, number)
                d_inputs, d_state = backward(states, d_state, into, transposed, **named)
                return number - 1, d_state, written.write(number, d_inputs)

            initial = (num_chunks - 1, zeros, chunks())
            written = tf.while_loop(
                lambda number, *_: number >= 0, retreat, initial, maximum_iterations=num_chunks
            )[2]
            d_projected = written.concat()[:time]  # [time, batch, units]

            units = shape[1]
            before = all_states[: time - 1] if kept is None else all_states[: time - 1] * kept
            flat_before = tf.reshape(before, [-1, units])  # [time * batch, units]
            d_flat = tf.reshape(d_projected[1:], [-1, units])
            d_recurrent = tf.matmul(flat_before, d_flat, transpose_a=True)  # [units, units]

            if positions is not None:
                num_rows = tf.shape(projected)[0]
                d_projected = tf.math.unsorted_segment_sum(d_projected, positions, num_rows)
            return d_projected, d_recurrent

        return all_states[:time] if result == "sequences" else tf.concat(pooled, axis=1), gradient

    return run(projected, recurrent)


def _padded(tensor: tf.Tensor, num_chunks: tf.Tensor) -> tf.Tensor:
    """[time, ...] -> [num_chunks * CHUNK, ...]."""
    rest = num_chunks * CHUNK - tf.shape(tensor)[0]
    return tf.pad(tensor, [[0, rest], *([0, 0] for _ in tensor.shape[1:])])


def _chunk(padded: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """[num_chunks * CHUNK, ...] -> [CHUNK, ...]."""
    chunk = padded[number * CHUNK : (number + 1) * CHUNK]
    return tf.ensure_shape(chunk, [CHUNK, *padded.shape[1:]])


# What a pooling has collected before the first time step, from zeros [batch, units].
_START: dict[str, Callable[[tf.Tensor], Collected]] = {
    "last": lambda zeros: (zeros,),
    "mean": lambda zeros: (zeros,),
    "max": lambda zeros: (zeros + LOWEST, tf.cast(zeros, tf.int32) - 1),
}


def _collect(
    pooling: str, collected: Collected, state: tf.Tensor, now: tf.Tensor, limits: tf.Tensor
) -> Collected:
    """The values that a pooling has collected after the state of the time step `now`."""
    if pooling == "last":
        return (tf.where(now == limits - 1, state, collected[0]),)
    if pooling == "mean":
        return (collected[0] + tf.where(now < limits, state, tf.zeros_like(state)),)
    highest, when = collected
    higher = (now < limits) & (state > highest)  # [batch, units]
    return tf.where(higher, state, highest), tf.where(higher, now, when)


def _finish(pooling: str, collected: Collected, limits: tf.Tensor) -> tf.Tensor:
    """The pooled states, [batch, units]."""
    if pooling == "mean":
        return collected[0] / tf.cast(tf.maximum(limits, 1), collected[0].dtype)
    if pooling == "max":
        return tf.where(limits > 0, collected[0], tf.zeros_like(collected[0]))
    return collected[0]


def _upstream(
    pooling: str, d_pooling: tf.Tensor, collected: Collected, limits: tf.Tensor
) -> Collected:
    """The values that `_arriving` reads, from the gradient [batch, units] of a pooling."""
    if pooling == "mean":
        return (d_pooling / tf.cast(tf.maximum(limits, 1), d_pooling.dtype),)
    return (d_pooling, collected[1]) if pooling == "max" else (d_pooling,)


def _arriving(pooling: str, into: Collected, now: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """The gradient of a pooling by the state of the time step `now`, [batch, units]."""
    if pooling == "last":
        reads = now == limits - 1
    elif pooling == "mean":
        reads = now < limits
    else:
        reads = into[1] == now
    return tf.where(reads, into[0], tf.zeros_like(into[0]))


@cache
def _compiled(activation: str, poolings: tuple[str, ...]) -> tuple[Any, Any]:
    """The compiled `_forward` and `_backward`."""
    function, derivative = ACTIVATIONS[activation]
    forward = partial(_forward, activation=function, poolings=poolings)
    backward = partial(_backward, derivative=derivative, poolings=poolings)
    return (
        tf.function(forward, jit_compile=True, autograph=False),
        tf.function(backward, jit_compile=True, autograph=False),
    )


def _forward(
    inputs: tf.Tensor,
    state: tf.Tensor,
    collected: tuple[Collected, ...],
    recurrent: tf.Tensor,
    *,
    start: tf.Tensor,
    steps: tf.Tensor,
    limits: tf.Tensor,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    activation: Any,
    poolings: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor, Any]:
    """Runs the first `steps` time steps of a chunk.

    Args:
        inputs: [CHUNK, batch, units].
        state: [batch, units], before the chunk.
        start: the chunk's first time step.
        limits: int32 [batch, 1], time steps that pooling reads.

    Returns:
        (the states [CHUNK, batch, units], zeros after the steps; the last one; what the poolings
        have collected).
    """

    def body(time: tf.Tensor, state: tf.Tensor, collected: Any, written: tf.TensorArray) -> Any:
        before = state if kept is None else state * kept
        new = activation(inputs[time] + tf.matmul(before, recurrent))  # [batch, units]
        if mask is not None:
            new = tf.where(mask[time], new, state)

        collected = tuple(
            _collect(pooling, values, new, start + time, limits)
            for pooling, values in zip(poolings, collected, strict=True)
        )
        return time + 1, new, collected, written.write(time, new)

    written = tf.TensorArray(inputs.dtype, CHUNK, element_shape=inputs.shape[1:])
    _, state, collected, written = tf.while_loop(
        lambda time, *_: time < steps,
        body,
        (0, state, collected, written),
        maximum_iterations=CHUNK,
    )
    return written.stack(), state, collected


def _backward(
    states: tf.Tensor,
    d_state: tf.Tensor,
    into: tuple[Collected, ...],
    transposed: tf.Tensor,
    *,
    start: tf.Tensor,
    steps: tf.Tensor,
    limits: tf.Tensor,
    d_states: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    derivative: Any,
    poolings: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs back through the first `steps` time steps of a chunk.

    Args:
        states: [CHUNK, batch, units].
        d_state: [batch, units], the gradient of the state after the chunk.
        into: of each pooling, see `_upstream`.
        transposed: recurrent, transposed.
        d_states: [CHUNK, batch, units], gradients of the states themselves.

    Returns:
        The gradients of (the chunk's inputs [CHUNK, batch, units], the state before it).
    """

    def body(time: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
        for pooling, values in zip(poolings, into, strict=True):
            d_state += _arriving(pooling, values, start + time, limits)
        if d_states is not None:
            d_state += d_states[time]

        d_input = d_state * derivative(states[time])  # [batch, units]
        if mask is not None:
            d_input = tf.where(mask[time], d_input, tf.zeros_like(d_input))

        d_before = tf.matmul(d_input, transposed)  # [batch, units]
        if kept is not None:
            d_before *= kept
        if mask is not None:
            d_before += tf.where(mask[time], tf.zeros_like(d_state), d_state)
        return time - 1, d_before, written.write(time, d_input)

    written = tf.TensorArray(states.dtype, CHUNK, element_shape=states.shape[1:])
    _, d_state, written = tf.while_loop(
        lambda time, *_: time >= 0, body, (steps - 1, d_state, written), maximum_iterations=CHUNK
    )
    return written.stack(), d_state
