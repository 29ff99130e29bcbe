"""Answers in JSON, as TensorFlow Serving's REST API writes them. They are always valid JSON."""

import base64
import json
from typing import Any

import numpy as np

from serving.errors import RefusedError
from serving.tensors import Tensors

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


def predict_answer(by_row: bool, outputs: Tensors) -> bytes:
    """The answer to a predict request, in the format of the request.

    Raises:
        RefusedError: A number is not finite, or the rows cannot be told apart.
    """
    refuse_not_finite(outputs)
    plain = {name: to_plain(value, name) for name, value in outputs.items()}
    if not by_row:
        return dump({"outputs": plain if len(plain) > 1 else next(iter(plain.values()))})

    sizes = {value.shape[0] if value.ndim else None for value in outputs.values()}
    if len(sizes) > 1 or None in sizes:
        raise RefusedError(
            "The outputs have no common batch size; ask for them in column format, by 'inputs'."
        )

    if len(plain) == 1:
        return dump({"predictions": next(iter(plain.values()))})

    rows = zip(*plain.values(), strict=True)
    return dump({"predictions": [dict(zip(plain, row, strict=True)) for row in rows]})


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
