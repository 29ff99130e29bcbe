"""state[t] = activation(input[t] + state[t - 1] @ recurrent), forward and backward, fast on a CPU.

XLA compiles only what is sequential: one call runs forward through time, one backward, which is
written by hand. Both stop after the last time step of the batch, but compute on arrays whose time
is rounded up to a power of two and whose rows are rounded up to a multiple of eight. So XLA
compiles two functions (about 0.5 s together) for each power of two, not for each length.

    time   0 .. 37, computed | 38 .. 63, zeros       forward: left to right
                                                     backward: right to left

Calls that do not need each other run at the same time, each on its own core: the two directions of
a network, or the parts of a batch. Pooling happens inside the loop, so that neither the states nor
their gradients are transposed, masked or copied outside of it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import tensorflow as tf

# The least time steps of a compiled loop.
LEAST_TIME = 32
# Rows of a part are rounded up to a multiple of this: batches of nearly one size share a loop.
ROUND_ROWS = 8
# Distinct rows are summed in tables of this many rows, or 4, 16, ... times as many.
LEAST_DISTINCT = 1024
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
    num_parts: int = PARTS,
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
        num_parts: of the batch that run at the same time on a CPU.

    Returns:
        The states [time, batch, units], or [batch, units], or [batch, 2 * units] for "mean_max";
        zeros where the length is 0. Of states that are equally high, the first has the whole
        gradient of the maximum.
    """
    source = projected if positions is None else positions
    batch = tf.shape(source)[1]
    num_parts = 1 if _has_gpu() else num_parts
    # Rows that nothing reads fill up the last part: parts of one size need one compilation.
    missing = -batch % (num_parts * ROUND_ROWS)

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


def _has_gpu() -> bool:
    """Whether what is built now runs on a GPU: on a device of the strategy, or by default."""
    if tf.distribute.has_strategy():
        devices = tf.distribute.get_strategy().extended.worker_devices
        return any("GPU" in device.upper() for device in devices)
    # Those that this process may use. Unlike a list of logical ones it starts nothing.
    return bool(tf.config.get_visible_devices("GPU"))


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
    units = projected.shape[-1]
    shape = [source.shape[1], units]  # of a state, as far as it is known

    whole = _rounded(time, LEAST_TIME, 2)
    limits = tf.fill([batch, 1], time) if length is None else length[:, None]  # [batch, 1]
    named: dict[str, Any] = {"limits": limits, "steps": time}
    if kept is not None:
        named["kept"] = kept
    if mask is not None:
        named["mask"] = _padded(mask[:, :, None], whole)

    @tf.custom_gradient
    def run(projected: tf.Tensor, recurrent: tf.Tensor) -> Any:
        # An eager GradientTape would otherwise record the compiled loops, too, which have no
        # gradient of their own.
        projected, recurrent = tf.stop_gradient(projected), tf.stop_gradient(recurrent)
        inputs = _padded(source if positions is not None else projected, whole)
        if positions is not None:
            inputs = tf.gather(projected, inputs)  # [whole, batch, units]

        states, collected = forward(inputs, recurrent, **named)
        states = tf.ensure_shape(states, [None, *shape])  # [whole + 1, batch, units]
        pooled = [
            tf.ensure_shape(_finish(pooling, values, limits), shape)
            for pooling, values in zip(poolings, collected, strict=True)
        ]

        def gradient(upstream: tf.Tensor) -> Any:
            d_states = {"d_states": _padded(upstream, whole)} if result == "sequences" else {}
            d_pooled = tf.split(upstream, len(pooled), axis=1) if pooled else []
            into = tuple(
                _upstream(pooling, d_pooling, values, limits)
                for pooling, d_pooling, values in zip(poolings, d_pooled, collected, strict=True)
            )
            d_inputs = backward(states, into, recurrent, **d_states, **named)
            d_inputs = tf.ensure_shape(d_inputs, [None, *shape])  # [whole, batch, units]

            before, d_flat = states[:time], tf.reshape(d_inputs[:time], [-1, units])
            if kept is not None:
                before *= kept
            flat_before = tf.reshape(before, [-1, units])  # [time * batch, units]
            d_recurrent = tf.matmul(flat_before, d_flat, transpose_a=True)  # [units, units]

            if positions is None:
                return d_inputs[:time], d_recurrent
            return _summed_by_row(d_inputs, _padded(positions, whole), projected), d_recurrent

        return states[1 : time + 1] if result == "sequences" else tf.concat(pooled, 1), gradient

    return run(projected, recurrent)


def _rounded(size: tf.Tensor, least: int, factor: int) -> tf.Tensor:
    """The first of least, least * factor, least * factor ** 2, ... that is not below size."""
    # Compared with each: a logarithm in floating point may be off by one.
    sizes = [least * factor**power for power in range(31) if least * factor**power < 2**31]
    return tf.gather(sizes, tf.searchsorted(sizes, size[None])[0])


def _padded(tensor: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
    """[time, ...] -> [whole, ...]."""
    rest = whole - tf.shape(tensor)[0]
    return tf.pad(tensor, [[0, rest], *([0, 0] for _ in tensor.shape[1:])])


def _summed_by_row(values: tf.Tensor, positions: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Adds up the values [whole, batch, units] of each row that positions name, like `rows`."""
    num_rows = tf.shape(rows)[0]
    if _has_gpu():
        return tf.math.unsorted_segment_sum(values, positions, num_rows)

    # XLA's sum takes a quarter of the time of TensorFlow's, for one more compilation (0.1 s).
    like = tf.zeros([_rounded(num_rows, LEAST_DISTINCT, 4), 0])
    return tf.ensure_shape(_sum_by_row(values, positions, like)[:num_rows], rows.shape)


@partial(tf.function, jit_compile=True, autograph=False)
def _sum_by_row(values: tf.Tensor, positions: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """As many rows as `like` has: XLA knows the size of its arguments only."""
    return tf.math.unsorted_segment_sum(values, positions, tf.shape(like)[0])


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
    recurrent: tf.Tensor,
    *,
    steps: tf.Tensor,
    limits: tf.Tensor,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    activation: Any,
    poolings: tuple[str, ...],
) -> tuple[tf.Tensor, Any]:
    """Runs through the first `steps` time steps.

    Args:
        inputs: [whole, batch, units].
        limits: int32 [batch, 1], time steps that pooling reads.

    Returns:
        (the states before each time step and after the last one [whole + 1, batch, units], zeros
        after the steps; what the poolings have collected).
    """
    whole, zeros = tf.shape(inputs)[0], tf.zeros_like(inputs[0])

    def body(time: tf.Tensor, collected: Any, written: tf.TensorArray) -> Any:
        # Read back, not carried: XLA then computes a state where it is kept, with no copy of it.
        state = written.read(time)
        before = state if kept is None else state * kept
        new = activation(inputs[time] + tf.matmul(before, recurrent))  # [batch, units]
        if mask is not None:
            new = tf.where(mask[time], new, state)

        collected = tuple(
            _collect(pooling, values, new, time, limits)
            for pooling, values in zip(poolings, collected, strict=True)
        )
        return time + 1, collected, written.write(time + 1, new)

    states = tf.TensorArray(inputs.dtype, whole + 1, element_shape=inputs.shape[1:])
    collected = tuple(_START[pooling](zeros) for pooling in poolings)
    _, collected, states = tf.while_loop(
        lambda time, *_: time < steps,
        body,
        (0, collected, states.write(0, zeros)),
        maximum_iterations=whole,
    )
    return states.stack(), collected


def _backward(
    states: tf.Tensor,
    into: tuple[Collected, ...],
    recurrent: tf.Tensor,
    *,
    steps: tf.Tensor,
    limits: tf.Tensor,
    d_states: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    kept: tf.Tensor | None = None,
    derivative: Any,
    poolings: tuple[str, ...],
) -> tf.Tensor:
    """Runs back through the first `steps` time steps.

    Args:
        states: [whole + 1, batch, units], see `_forward`.
        into: of each pooling, see `_upstream`.
        d_states: [whole, batch, units], gradients of the states themselves.

    Returns:
        The gradients of the inputs, [whole, batch, units], zeros after the steps.
    """
    whole = tf.shape(states)[0] - 1
    # Here, not in TensorFlow: its transpose wakes a second thread for a small matrix.
    transposed = tf.transpose(recurrent)

    def body(time: tf.Tensor, d_state: tf.Tensor, written: tf.TensorArray) -> Any:
        for pooling, values in zip(poolings, into, strict=True):
            d_state += _arriving(pooling, values, time, limits)
        if d_states is not None:
            d_state += d_states[time]

        d_input = d_state * derivative(states[time + 1])  # [batch, units]
        if mask is not None:
            d_input = tf.where(mask[time], d_input, tf.zeros_like(d_input))

        d_before = tf.matmul(d_input, transposed)  # [batch, units]
        if kept is not None:
            d_before *= kept
        if mask is not None:
            d_before += tf.where(mask[time], tf.zeros_like(d_state), d_state)
        return time - 1, d_before, written.write(time, d_input)

    d_inputs = tf.TensorArray(states.dtype, whole, element_shape=states.shape[1:])
    d_inputs = tf.while_loop(
        lambda time, *_: time >= 0,
        body,
        (steps - 1, tf.zeros_like(states[0]), d_inputs),
        maximum_iterations=whole,
    )[2]
    return d_inputs.stack()
