"""One batch: the rows that may be joined, the call of the model, and each request's answer."""

from collections.abc import Hashable
from typing import Any

import numpy as np

from serving.errors import RefusedError, short
from serving.model import ABOUT_INPUT, LoadedModel, Signature
from serving.strings import row_bytes
from serving.tensors import Tensors

# Bytes of a batch, each row counted as its longest one, to which the model may pad it.
BATCH_BYTES = 64 << 10


class RowError(RefusedError):
    """TensorFlow refuses one row of a request.

    Attributes:
        row: Which one, counted from 0.
        message: Why.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(f"{short(message)} (item {row} of the request, counted from 0)")
        self.row = row
        self.message = message


def bytes_of_rows(inputs: dict[str, Any], rows: int | None) -> np.ndarray:
    """Bytes of each row [rows]. One row that has them all where the inputs have no common rows."""
    if rows is None:
        total = sum(int(row_bytes(value).sum()) if value.shape else 64 for value in inputs.values())
        return np.array([total], np.int64)
    each = np.zeros(rows, np.int64)
    for value in inputs.values():
        each += row_bytes(value)
    return each


def parts_of(each: np.ndarray, max_rows: int) -> list[slice]:
    """Cuts rows into parts of up to BATCH_BYTES, every row counted as the longest of its part."""
    sizes = each.tolist()
    parts, start, longest = [], 0, 0
    for row, size in enumerate(sizes):
        longer, num_rows = max(longest, size), row - start + 1
        if row > start and (num_rows > max_rows or num_rows * longer > BATCH_BYTES):
            parts.append(slice(start, row))
            start, longer = row, size
        longest = longer
    if sizes:
        parts.append(slice(start, len(sizes)))
    return parts


def key_of(
    model: LoadedModel, signature: Signature, inputs: dict[str, Any]
) -> tuple[Hashable, ...]:
    """The queue of a request. Requests in one queue may be joined.

    Their rows have one shape or, where the signature says how to pad, up to twice the time steps.
    """
    shapes = []
    for name, value in inputs.items():
        shape = value.shape[1:]
        if name in signature.padding:
            shape = (shape[0].bit_length(), *shape[1:])
        shapes.append((name, shape))
    return (model, signature.name, *shapes)


def execute(model: LoadedModel, signature: Signature, requests: list[Tensors]) -> list[Any]:
    """The answer to each request, or the exception that it raised.

    A batch that fails is halved, so that a bad request fails alone.
    """
    try:
        if len(requests) == 1:
            return [model.run(signature.name, requests[0])]

        joined = {
            name: join([request[name] for request in requests], signature.padding.get(name))
            for name in signature.inputs
        }
        outputs = model.run(signature.name, joined)

        sizes = [next(iter(request.values())).shape[0] for request in requests]
        if any(value.shape[:1] != (sum(sizes),) for value in outputs.values()):
            raise ValueError(f"signature {signature.name} does not answer row by row")

        ends = np.cumsum(sizes)
        return [
            {name: value[end - size : end] for name, value in outputs.items()}
            for size, end in zip(sizes, ends.tolist(), strict=True)
        ]
    except Exception as error:
        if len(requests) == 1:
            return [_of_row(error, model, signature, requests[0])]
        middle = len(requests) // 2
        return [
            *execute(model, signature, requests[:middle]),
            *execute(model, signature, requests[middle:]),
        ]


def _of_row(
    error: Exception, model: LoadedModel, signature: Signature, inputs: Tensors
) -> Exception:
    """The error of the first row that fails alone; the given one if none does."""
    sizes = {len(value) if value.shape else 0 for value in inputs.values()}
    start, stop = 0, sizes.pop() if len(sizes) == 1 else 0
    if not isinstance(error, ABOUT_INPUT) or not stop:
        return error
    if stop == 1:
        return RowError(0, error.message)

    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            half = {name: value[start:middle] for name, value in inputs.items()}
            model.run(signature.name, half)
        except ABOUT_INPUT as raised:
            error, stop = raised, middle
        else:
            start = middle

    try:
        model.run(signature.name, {name: value[start:stop] for name, value in inputs.items()})
    except ABOUT_INPUT as raised:
        return RowError(start, raised.message)
    return error


def join(values: list[np.ndarray], pad: Any = None) -> np.ndarray:
    """Joins values, each [rows, time, ...], into one; shorter ones are padded if `pad` is given."""
    if pad is None or len({value.shape[1] for value in values}) == 1:
        return np.concatenate(values)

    num_rows = sum(len(value) for value in values)
    time_steps = max(value.shape[1] for value in values)
    padded = np.full((num_rows, time_steps, *values[0].shape[2:]), pad, values[0].dtype)

    start = 0
    for value in values:
        padded[start : start + len(value), : value.shape[1]] = value
        start += len(value)
    return padded  # [num_rows, time_steps, ...]
