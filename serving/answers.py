"""Answers in JSON, as TensorFlow Serving's REST API writes them. They are always valid JSON."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from serving.errors import RefusedError
from serving.tensors import Tensors

# Values that are written at once.
SLICE = 1024
# Rows that an error names.
NUM_NAMED = 5


def refuse_not_finite(outputs: Tensors) -> None:
    """Refuses an answer that JSON cannot hold: one with NaN or infinity.

    They mean that a row has no class: its numbers were too large for the model.
    """
    for name, value in outputs.items():
        if value.dtype.kind in "OSUbiu" or np.isfinite(floats := _as_floats(value)).all():
            continue
        if not value.ndim:
            raise RefusedError(f"Output {name} is not a finite number.")

        rows = np.flatnonzero(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1)).tolist()
        named = ", ".join(map(str, rows[:NUM_NAMED])) + (", ..." if rows[NUM_NAMED:] else "")
        raise RefusedError(
            f"No answer for item {named} of {len(floats)} (counted from 0): its {name} are not"
            " finite numbers. The numbers of the item may be too large for the model."
        )


def _as_floats(array: np.ndarray) -> np.ndarray:
    """A tensor of floats in a type of numpy's own, which bfloat16 is not."""
    return array if array.dtype.kind in "fc" else array.astype(np.float32)


def predict_answer(
    by_row: bool, outputs: Tensors, hold: Callable[[int], None] = lambda num_bytes: None
) -> bytes:
    """The answer to a predict request, in the format of the request.

    Args:
        by_row: Whether it was in row format.
        outputs: The model's.
        hold: Called with the bytes of each piece before they are kept.

    Raises:
        RefusedError: A number is not finite, or the rows cannot be told apart.
    """
    refuse_not_finite(outputs)
    if not by_row:
        written = {name: _pieces(value, name) for name, value in outputs.items()}
        if len(written) == 1:
            return _join(b'{"outputs":', next(iter(written.values())), b"}", hold)
        return _join(b'{"outputs":{', _named(written), b"}}", hold)

    sizes = {value.shape[0] if value.ndim else None for value in outputs.values()}
    if len(sizes) > 1 or None in sizes:
        raise RefusedError(
            "The outputs have no common batch size; ask for them in column format, by 'inputs'."
        )

    if len(outputs) == 1:
        [(name, value)] = outputs.items()
        return _join(b'{"predictions":', _pieces(value, name), b"}", hold)
    return _join(b'{"predictions":[', _rows(outputs), b"]}", hold)


def classify_answer(
    outputs: Tensors, labels: list[str], hold: Callable[[int], None] = lambda num_bytes: None
) -> bytes:
    """For each example [[label, score], ...], with the classes in the model's order.

    TensorFlow Serving's documentation says "result" in one place and "results" in another; the
    server says "results".
    """
    scores = outputs.get("scores", outputs.get("probabilities"))
    classes = outputs.get("classes")
    given = classes if classes is not None else scores
    assert given is not None
    if given.ndim != 2 or (scores is not None and scores.shape != given.shape):
        raise RefusedError("The signature's outputs are not [batch, classes].")

    num_classes = given.shape[1]
    known = labels if len(labels) == num_classes else [""] * num_classes

    def pieces() -> Iterator[bytes]:
        for rows in _slices(given):
            num_rows = len(given[rows])
            named = [known] * num_rows if classes is None else to_plain(classes[rows], "classes")
            scored = [[0.0] * num_classes] * num_rows
            if scores is not None:
                scored = to_plain(scores[rows], "scores")
            pairs = [list(zip(*row, strict=True)) for row in zip(named, scored, strict=True)]
            yield (b"," if rows.start else b"") + dump(pairs)[1:-1]

    results = _join(b"[", pieces(), b"]", hold)
    hold(len(results))
    return b'{"results":%b,"result":%b}' % (results, results)


def regress_answer(outputs: Tensors) -> bytes:
    values = outputs["outputs"]
    results = b"".join(_pieces(values.reshape(-1), "outputs"))
    return b'{"results":%b,"result":%b}' % (results, results)


def _join(
    before: bytes, pieces: Iterable[bytes], after: bytes, hold: Callable[[int], None]
) -> bytes:
    written = bytearray(before)
    for piece in pieces:
        hold(len(piece))
        written += piece
    written += after
    return bytes(written)


def _named(written: dict[str, Iterator[bytes]]) -> Iterator[bytes]:
    """The members of an object."""
    for number, (name, pieces) in enumerate(written.items()):
        yield (b"," if number else b"") + dump(name) + b":"
        yield from pieces


def _rows(outputs: Tensors) -> Iterator[bytes]:
    """Objects, one for each row, with commas between."""
    widest = max(outputs.values(), key=lambda value: value.size)
    for rows in _slices(widest):
        sliced = {name: value[rows] for name, value in outputs.items()}
        comma = b"," if rows.start else b""
        if sum(value.size for value in sliced.values()) > SLICE * len(
            sliced
        ):  # One row, and a long one.
            yield comma + b"{"
            row = {name: np.asarray(value[0], value.dtype) for name, value in sliced.items()}
            yield from _named({name: _pieces(value, name) for name, value in row.items()})
            yield b"}"
            continue

        plain = [to_plain(value, name) for name, value in sliced.items()]
        written = [dict(zip(sliced, row, strict=True)) for row in zip(*plain, strict=True)]
        yield comma + dump(written)[1:-1]


def _slices(array: np.ndarray) -> Iterator[slice]:
    """Cuts rows into slices of about SLICE values, one row at least."""
    num_rows = len(array)
    step = max(1, SLICE * num_rows // max(1, array.size))
    for start in range(0, num_rows, step):
        yield slice(start, min(num_rows, start + step))


def _pieces(array: np.ndarray, name: str) -> Iterator[bytes]:
    """The JSON of a tensor, piece by piece.

    The encoder holds the interpreter's lock while it writes a piece, and other requests wait.
    """
    if not array.ndim or (array.size <= SLICE and len(array) <= SLICE):
        yield dump(to_plain(np.asarray(array), name))
        return

    yield b"["
    for rows in _slices(array):
        if rows.start:
            yield b","
        if array[rows].size > SLICE:  # One row, and a long one.
            yield from _pieces(array[rows.start], name)
        else:
            yield dump(to_plain(array[rows], name))[1:-1]
    yield b"]"


def dump(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8"
    )


def to_plain(array: np.ndarray, name: str) -> Any:
    """Nested lists for JSON.

    A float gets the shortest digits that mean it in its own type: 0.2, not 0.20000000298023224.

    Args:
        array: The tensor.
        name: Its name. Strings are sent as base64 if it ends in `_bytes`.
    """
    if array.dtype.kind == "O":
        plain = np.empty(array.shape, object)
        for index, value in np.ndenumerate(array):
            if name.endswith("_bytes"):
                plain[index] = {"b64": base64.b64encode(value).decode()}
            else:
                plain[index] = value.decode("utf-8", "replace")
        return plain.tolist()

    if array.dtype.kind not in "biu" and array.dtype != np.float64:
        return _as_floats(array).astype("U").astype(np.float64).tolist()
    return array.tolist()
