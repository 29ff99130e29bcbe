"""state[t] = activation(input[t] + state[t - 1] @ recurrent), forward and backward, as a CPU likes
it.

Only what is sequential is compiled by XLA: CHUNK time steps a call, with a backward pass written by
hand. A chunk has the same shape whatever the length of the texts: XLA compiles two functions (about
0.5 s together) for each size of a batch, not for each length. A batch runs in two parts side by
side, each on a core of its own. What pooling reads of the states is taken up inside the loop, so
that neither the states nor their gradients are turned, masked or copied outside of it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import tensorflow as tf

# Time steps of one compiled call.
CHUNK = 32
# Parts of a batch that run side by side on a CPU: a compiled loop keeps one core busy. Fixed, not
# the number of cores: sums would be taken in another order elsewhere, and the weights would differ
# in their last bits.
PARTS = 2

# The activation of a pre-activation, and its derivative by its output.
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (tf.tanh, lambda state: 1 - state * state),
    "relu": (tf.nn.relu, lambda state: tf.cast(state > 0, state.dtype)),
    "linear": (tf.identity, tf.ones_like),
}
# What may be read of the states, and what has to be known for that.
RESULTS: dict[str, tuple[str, ...]] = {
    "sequences": (),
    "last": ("last",),
    "mean": ("mean",),
    "max": ("max",),
    "mean_max": ("mean", "max"),
}
# Below every state.
LOWEST = -1e9


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
    """The states, or what `result` reads of them, with gradients by `projected` and `recurrent`.

    projected: float32 [time, batch, units], the inputs by the kernel; with positions, int32 [time,
        batch], rows [distinct, units] that they index.
    result: "sequences" gives the states [time, batch, units]; "last", "mean" and "max" over the
        first `length` (int32 [batch]; all of them unless given) give [batch, units], "mean_max"
        [batch, 2 * units]; zeros where the length is 0. Of states that are equally high the first
        has the whole gradient of the maximum.
    mask: bool [time, batch]; where it is False, state[t] is state[t - 1].
    kept: float32 [batch, units], factors on state[t - 1]: recurrent dropout.
    """
    source = projected if positions is None else positions
    batch = tf.shape(source)[1]
    num_parts = 1 if tf.config.list_physical_devices("GPU") else PARTS
    missing = -batch % num_parts  # rows that nothing reads: parts of one size need one compilation

    def split(tensor: tf.Tensor | None, axis: int) -> list[Any]:
        if tensor is None:
            return [None] * num_parts
        sizes = [[0, missing if each == axis else 0] for each in range(len(tensor.shape))]
        return tf.split(tf.pad(tensor, sizes), num_parts, axis)

    sources, lengths, masks, factors = (
        split(source, 1),
        split(length, 0),
        split(mask, 1),
        split(kept, 0),
    )
    results = [
        _recurrence(
            *(
                (projected, recurrent, source)
                if positions is not None
                else (source, recurrent, None)
            ),
            activation=activation,
            result=result,
            length=length,
            mask=mask,
            kept=kept,
        )
        for source, length, mask, kept in zip(sources, lengths, masks, factors, strict=True)
    ]
    axis = 1 if result == "sequences" else 0
    return tf.concat(results, axis)[:, :batch] if axis else tf.concat(results, axis)[:batch]


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
    forward, backward = _compiled(activation, RESULTS[result])
    source = projected if positions is None else positions
    time, batch = tf.shape(source)[0], tf.shape(source)[1]
    shape = [source.shape[1], projected.shape[-1]]  # of a state, as far as it is known
    num_chunks = (time + CHUNK - 1) // CHUNK
    source = _padded(source, num_chunks)
    limits = tf.fill([batch, 1], time) if length is None else length[:, None]  # [batch, 1]
    options = {"limits": limits} | ({} if kept is None else {"kept": kept})
    whole_mask = None if mask is None else _padded(mask[:, :, None], num_chunks)

    def arguments(number: tf.Tensor) -> dict[str, Any]:
        start = number * CHUNK
        masked = {} if whole_mask is None else {"mask": _chunk(whole_mask, number)}
        return {**options, **masked, "start": start, "steps": tf.minimum(CHUNK, time - start)}

    def chunks() -> tf.TensorArray:
        return tf.TensorArray(projected.dtype, num_chunks, element_shape=[CHUNK, *shape])

    zeros = tf.ensure_shape(tf.zeros([batch, projected.shape[-1]], projected.dtype), shape)

    @tf.custom_gradient
    def run(projected: tf.Tensor, recurrent: tf.Tensor) -> Any:
        # An eager GradientTape would otherwise record the compiled loops, too, which have no
        # gradient of their own.
        projected, recurrent = tf.stop_gradient(projected), tf.stop_gradient(recurrent)
        inputs = _padded(projected, num_chunks) if positions is None else None

        def advance(number: tf.Tensor, state: tf.Tensor, read: Any, written: tf.TensorArray) -> Any:
            piece = (
                tf.gather(projected, _chunk(source, number))
                if inputs is None
                else _chunk(inputs, number)
            )
            states, state, read = forward(piece, state, read, recurrent, **arguments(number))
            return number + 1, state, read, written.write(number, states)

        initial = (0, zeros, tuple(_START[part](zeros) for part in RESULTS[result]), chunks())
        _, _, read, written = tf.while_loop(
            lambda number, *_: number < num_chunks, advance, initial, maximum_iterations=num_chunks
        )
        all_states = written.concat()  # [num_chunks * CHUNK, batch, units]
        parts = [
            _finish(part, values, limits)
            for part, values in zip(RESULTS[result], read, strict=True)
        ]

        def gradient(upstream: tf.Tensor) -> Any:
            given = _padded(upstream, num_chunks) if result == "sequences" else None
            shares = tf.split(upstream, len(parts), axis=1) if parts else []
            into = tuple(
                _upstream(part, share, known, limits)
                for part, share, known in zip(RESULTS[result], shares, read, strict=True)
            )
            transposed = tf.transpose(recurrent)

            def retreat(number: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
                more = {} if given is None else {"d_states": _chunk(given, number)}
                d_inputs, d_state = backward(
                    _chunk(all_states, number),
                    d_state,
                    into,
                    transposed,
                    **arguments(number),
                    **more,
                )
                return number - 1, d_state, written.write(number, d_inputs)

            initial = (num_chunks - 1, zeros, chunks())
            written = tf.while_loop(
                lambda number, *_: number >= 0, retreat, initial, maximum_iterations=num_chunks
            )[2]
            d_projected = written.concat()[:time]
            units = shape[1]
            before = all_states[: time - 1] if kept is None else all_states[: time - 1] * kept
            d_recurrent = tf.matmul(
                tf.reshape(before, [-1, units]),
                tf.reshape(d_projected[1:], [-1, units]),
                transpose_a=True,
            )
            if positions is not None:
                d_projected = tf.math.unsorted_segment_sum(
                    d_projected, positions, tf.shape(projected)[0]
                )
            return d_projected, d_recurrent

        return all_states[:time] if result == "sequences" else tf.concat(parts, axis=1), gradient

    return run(projected, recurrent)


def _padded(tensor: tf.Tensor, num_chunks: tf.Tensor) -> tf.Tensor:
    """[time, ...] -> [num_chunks * CHUNK, ...]."""
    rest = num_chunks * CHUNK - tf.shape(tensor)[0]
    return tf.pad(tensor, [[0, rest], *([0, 0] for _ in tensor.shape[1:])])


def _chunk(padded: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(
        padded[number * CHUNK : (number + 1) * CHUNK], [CHUNK, *padded.shape[1:]]
    )


# What a part of a result knows before the first time step.
_START: dict[str, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]] = {
    "last": lambda zeros: (zeros,),
    "mean": lambda zeros: (zeros,),
    "max": lambda zeros: (
        zeros + LOWEST,
        tf.cast(zeros, tf.int32) - 1,
    ),  # and the time step that it is from
}


def _take_up(
    part: str, known: tuple[tf.Tensor, ...], state: tf.Tensor, now: tf.Tensor, limits: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """What a part knows after the state of the time step `now`."""
    if part == "last":
        return (tf.where(now == limits - 1, state, known[0]),)
    if part == "mean":
        return (known[0] + tf.where(now < limits, state, tf.zeros_like(state)),)
    highest, when = known
    higher = (now < limits) & (state > highest)
    return tf.where(higher, state, highest), tf.where(higher, now, when)


def _finish(part: str, known: tuple[tf.Tensor, ...], limits: tf.Tensor) -> tf.Tensor:
    if part == "mean":
        return known[0] / tf.cast(tf.maximum(limits, 1), known[0].dtype)
    if part == "max":
        return tf.where(limits > 0, known[0], tf.zeros_like(known[0]))
    return known[0]


def _upstream(
    part: str, d_part: tf.Tensor, known: tuple[tf.Tensor, ...], limits: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """What `_arriving` needs of a part's gradient [batch, units]."""
    if part == "mean":
        return (d_part / tf.cast(tf.maximum(limits, 1), d_part.dtype),)
    return (d_part, known[1]) if part == "max" else (d_part,)


def _arriving(
    part: str, into: tuple[tf.Tensor, ...], now: tf.Tensor, limits: tf.Tensor
) -> tf.Tensor:
    """The part's gradient by the state of the time step `now`."""
    reads = (
        {"last": now == limits - 1, "mean": now < limits}[part] if part != "max" else into[1] == now
    )
    return tf.where(reads, into[0], tf.zeros_like(into[0]))


@cache
def _compiled(activation: str, parts: tuple[str, ...]) -> tuple[Any, Any]:
    function, derivative = ACTIVATIONS[activation]
    return (
        tf.function(
            partial(_forward, activation=function, parts=parts), jit_compile=True, autograph=False
        ),
        tf.function(
            partial(_backward, derivative=derivative, parts=parts),
            jit_compile=True,
            autograph=False,
        ),
    )


def _forward(
    inputs: tf.Tensor,
    state: tf.Tensor,
    read: tuple[tuple[tf.Tensor, ...], ...],
    recurrent: tf.Tensor,
    *,
    start: tf.Tensor,
    steps: tf.Tensor,
    limits: tf.Tensor,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    activation: Any,
    parts: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor, Any]:
    """The states [CHUNK, batch, units] of the first `steps` of a chunk, zeros behind them.

    The last one; what is read of them.
    """

    def body(time: tf.Tensor, state: tf.Tensor, read: Any, written: tf.TensorArray) -> Any:
        new = activation(
            inputs[time] + tf.matmul(state if kept is None else state * kept, recurrent)
        )
        if mask is not None:
            new = tf.where(mask[time], new, state)
        read = tuple(
            _take_up(part, known, new, start + time, limits)
            for part, known in zip(parts, read, strict=True)
        )
        return time + 1, new, read, written.write(time, new)

    written = tf.TensorArray(inputs.dtype, CHUNK, element_shape=inputs.shape[1:])
    _, state, read, written = tf.while_loop(
        lambda time, *_: time < steps, body, (0, state, read, written), maximum_iterations=CHUNK
    )
    return written.stack(), state, read


def _backward(
    states: tf.Tensor,
    d_state: tf.Tensor,
    into: tuple[tuple[tf.Tensor, ...], ...],
    transposed: tf.Tensor,
    *,
    start: tf.Tensor,
    steps: tf.Tensor,
    limits: tf.Tensor,
    d_states: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    derivative: Any,
    parts: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients of a chunk's inputs [CHUNK, batch, units] and of the state before it.
    transposed: recurrent, transposed.
    """

    def body(time: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
        for part, each in zip(parts, into, strict=True):
            d_state += _arriving(part, each, start + time, limits)
        if d_states is not None:
            d_state += d_states[time]
        d_input = d_state * derivative(states[time])
        if mask is not None:
            d_input = tf.where(mask[time], d_input, tf.zeros_like(d_input))
        d_before = tf.matmul(d_input, transposed)
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
