"""Tensors from JSON, as TensorFlow Serving's REST API defines it.

TensorFlow Serving's documentation says what is allowed. Where it is silent, json_tensor.cc decides.
What is not allowed raises RefusedError, in TensorFlow Serving's words.
"""

import binascii
import codecs
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import RefusedError
from serving.limits import RequestLimits

MAX_RANK = 32
Tensors = dict[str, np.ndarray]


class Literal(float):
    """NaN, Infinity or -Infinity, as the body has it.

    Python also reads a number that no double holds, such as 1e400, as infinity: as a plain float.
    """


# Kind of a dtype, as numpy has it -> the types of its values in JSON.
LEAVES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float, Literal}}
DECODER = json.JSONDecoder(parse_constant=Literal)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
        node: Its name in the graph.
        dtype: Its type; object for strings.
        shape: Its sizes, -1 for any size. None for any rank.
    """

    node: str
    dtype: np.dtype
    shape: tuple[int, ...] | None


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    NaN, Infinity and -Infinity are numbers. A byte order mark before it is passed over. Of a key
    that an object has twice, the last one counts.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if not body.strip():
        raise RefusedError("JSON Parse error: The document is empty")

    try:
        document = DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = (
            f"JSON Parse error: the body is not UTF-8 at byte {error.start}; send binary values as"
            ' {"b64": "..."}'
        )
        raise RefusedError(message) from None
    except RecursionError:
        raise RefusedError("JSON Parse error: nested too deeply") from None
    except ValueError as error:
        raise RefusedError(f"JSON Parse error: {error}") from None

    if not isinstance(document, dict):
        raise RefusedError(f"JSON Value: {show(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that the document names, "" for none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RefusedError("'signature_name' key must be a string value.")
    return name


def read_inputs(
    document: Mapping[str, Any], specs: Mapping[str, Tensor], limits: RequestLimits
) -> tuple[bool, Tensors]:
    """Reads a predict request.

    Returns:
        Whether it is in row format, and the inputs.
    """
    has_rows, has_columns = "instances" in document, "inputs" in document
    if has_rows and has_columns:
        raise RefusedError(
            "Not formatted correctly: expecting only one of 'inputs' or 'instances' keys"
        )
    if not has_rows and not has_columns:
        raise RefusedError("Not formatted correctly: Missing 'inputs' or 'instances' key")

    if has_rows:
        inputs = _from_rows(document["instances"], specs, limits)
        limits.check_inputs(inputs)
        return True, inputs

    given = document["inputs"]
    if not isinstance(given, dict) or _is_b64(given):
        if len(specs) > 1:
            raise RefusedError(
                "inputs is a plain value/list, but expecting an object with"
                f" {', '.join(sorted(specs))}"
            )
        given = dict.fromkeys(specs, given)

    missing = sorted(set(specs) - set(given))
    if missing:
        raise RefusedError(f"Missing named input: {', '.join(missing)} in 'inputs' object.")

    sizes = [len(given[name]) for name in specs if isinstance(given[name], list)]
    limits.check_rows(max(sizes, default=1))
    inputs = {name: from_json(given[name], spec, name) for name, spec in specs.items()}
    limits.check_inputs(inputs)
    return False, inputs


def _from_rows(rows: Any, specs: Mapping[str, Tensor], limits: RequestLimits) -> Tensors:
    if not isinstance(rows, list):
        raise RefusedError("Expecting 'instances' to be an list/array")
    if not rows:
        raise RefusedError("No values in 'instances' array")
    limits.check_rows(len(rows))

    named = isinstance(rows[0], dict) and not _is_b64(rows[0])
    if not named and len(specs) > 1:
        raise RefusedError(
            "instances is a plain list, but expecting list of objects with"
            f" {', '.join(sorted(specs))}"
        )

    for number, row in enumerate(rows):
        if (isinstance(row, dict) and not _is_b64(row)) != named:
            expected, got = ("object", "value/list") if named else ("value/list", "object")
            raise RefusedError(f"Expecting {expected} but got {got} at item {number} of input list")
        if named and row.keys() != specs.keys():
            names = ", ".join(sorted(specs))
            raise RefusedError(
                f"Failed to process element: {number} of 'instances' list. JSON object keys must be"
                f" equal to: {names}"
            )

    return {
        name: from_json([row[name] for row in rows] if named else rows, spec, name)
        for name, spec in specs.items()
    }


def from_json(value: Any, spec: Tensor, name: str) -> np.ndarray:
    """A dense tensor from nested lists. All lists of a level must have the same size."""
    rank = MAX_RANK if spec.shape is None else len(spec.shape)
    nodes, shape = [value], list[int]()  # All values of a level, and the sizes so far.

    while nodes and isinstance(nodes[0], list):
        if len(shape) == rank:
            raise RefusedError(
                f"Input {name}: Encountered list at unexpected level: {rank}, expected < {rank}"
            )

        size = len(nodes[0])
        for node in nodes:
            if not isinstance(node, list):
                raise RefusedError(
                    f"Input {name}: JSON Value: {show(node)} found at incorrect level:"
                    f" {len(shape) + 1}"
                )

            if len(node) != size:
                raise RefusedError(
                    f"Input {name}: Encountered list at unexpected size: {len(node)} at level:"
                    f" {len(shape)} expected size: {size}"
                )

        shape.append(size)
        nodes = list(chain.from_iterable(nodes))

    wanted = spec.shape
    if wanted is not None and (
        len(wanted) != len(shape)
        or any(dim not in (-1, size) for dim, size in zip(wanted, shape, strict=True))
    ):
        raise RefusedError(f"Input {name}: got shape {_shape(shape)}, expecting {_shape(wanted)}")
    return convert(nodes, spec.dtype, name).reshape(shape)


def convert(leaves: list[Any], dtype: np.dtype, name: str) -> np.ndarray:
    """An array [num_leaves] of the values at the ends of nested lists."""
    if dtype.kind == "O":
        array = np.empty(len(leaves), object)
        array[:] = [to_bytes(leaf, name) for leaf in leaves]
        return array

    allowed = LEAVES.get(dtype.kind)
    if allowed is None:
        raise RefusedError(
            f"Input {name}: Conversion of JSON Value to type: {dtype.name} is not supported"
        )

    if set(map(type, leaves)) - allowed:
        wrong = next(leaf for leaf in leaves if type(leaf) not in allowed)
        raise _wrong_type(wrong, dtype, name)

    if dtype.kind == "f":
        return _floats(leaves, dtype, name)
    if dtype.kind in "iu" and leaves:
        limits = np.iinfo(dtype)
        for leaf in (min(leaves), max(leaves)):
            if not limits.min <= leaf <= limits.max:
                raise _wrong_type(leaf, dtype, name)
    return np.array(leaves, dtype)


def _floats(leaves: list[Any], dtype: np.dtype, name: str) -> np.ndarray:
    # As in TensorFlow Serving, an integer is a float if the float's digits hold it.
    most = 2 ** (np.finfo(dtype).nmant + 1) - 1
    for leaf in leaves:
        if type(leaf) is int and abs(leaf) > most:
            raise _lossy(leaf, dtype, name)

    array = np.array(leaves, np.float64)
    if np.isinf(array).any() and any(type(leaf) is float and math.isinf(leaf) for leaf in leaves):
        raise RefusedError(f"Input {name}: JSON Parse error: Number too big to be stored in double")

    with np.errstate(over="ignore"):
        converted = array.astype(dtype)

    overflowed = array[np.isfinite(array) & np.isinf(converted)]
    if overflowed.size:
        raise _lossy(overflowed[0].item(), dtype, name)
    return converted


def _wrong_type(leaf: Any, dtype: np.dtype, name: str) -> RefusedError:
    return RefusedError(
        f"Input {name}: JSON Value: {show(leaf)} is not of expected type: {dtype.name}"
    )


def _lossy(leaf: Any, dtype: np.dtype, name: str) -> RefusedError:
    return RefusedError(
        f"Input {name}: Cannot convert JSON value: {show(leaf)} to {dtype.name} without loss of"
        " precision."
    )


def to_bytes(leaf: Any, name: str) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode("utf-8")
        except UnicodeEncodeError:
            raise RefusedError(
                f"Input {name}: JSON Parse error: The surrogate pair in string is invalid"
            ) from None

    if not _is_b64(leaf):
        wrong = "is not of expected type: string"
        if isinstance(leaf, dict):
            wrong = "not formatted correctly for base64 data"
        raise RefusedError(f"Input {name}: JSON Value: {show(leaf)} {wrong}")

    return _decode(leaf["b64"], name)


def _decode(text: str, name: str) -> bytes:
    """The bytes of base64, as TensorFlow Serving takes it.

    White space in it is passed over, and the padding at its end may be missing.
    """
    padded = "".join(text.split())
    digits = padded.rstrip("=")
    padding = "=" * (-len(digits) % 4)
    try:
        if padded not in (digits, digits + padding):
            raise binascii.Error("more or less padding than it needs")
        return binascii.a2b_base64((digits + padding).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise RefusedError(f"Input {name}: Unable to base64 decode {show(text)}") from None


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _shape(shape: tuple[int, ...] | list[int]) -> str:
    return f"[{','.join('?' if size == -1 else str(size) for size in shape)}]"


def show(value: Any) -> str:
    """A JSON value for an error: short, and printable on any terminal."""
    if isinstance(value, str):
        value = value[:60]
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):  # An integer of thousands of digits, or nested too deeply.
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
