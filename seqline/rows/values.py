"""Encodes contents and labels. Values that cannot be used raise UnusableError with the reason."""

import json
import math
from base64 import b64encode
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from seqline.data import labels
from seqline.data.labels import CONTROL

# Functions import NumPy, as each run imports this module, also one with nothing to do.
if TYPE_CHECKING:
    import numpy as np

# Labels that are kept with their bytes. A column that is not a label has as many values as rows.
KNOWN_LABELS = 10_000
# From here on, several integers are the same float.
MAX_EXACT = 2.0**53

# The largest weight: the squares of gradients have to be finite in float32.
MAX_WEIGHT = 1e12

# What MySQL, PostgreSQL and Hive write for NULL into text files.
NULL = "\\N"
NULL_BYTES = NULL.encode()

# Content -> the subject of a sentence about it, and its type.
KINDS = {
    "text": ("the text is", "a string"),
    "tokens": ("the tokens are", "a list of strings"),
    "sequence": ("the sequence is", "a list of equally long lists of numbers"),
}


class UnusableError(Exception):
    """A value cannot be used. Its arguments are the reason and the problem, as in `BadRow`."""


def encode_text(text: Any, empty: bool = False) -> bytes:
    """A text as UTF-8. It must not be empty, unless `empty` allows it."""
    try:
        encoded: bytes = text.encode()
    except AttributeError:
        raise _mistyped(text, "text") from None
    except UnicodeEncodeError:  # Bytes that were not decoded, or half a pair in a JSON escape.
        raise UnusableError(
            f"the text is not valid in the source's encoding: {short(text)}", "encoding"
        ) from None

    if not empty and (not text or text.isspace()):
        raise UnusableError("the text is empty", "empty text")
    if encoded == NULL_BYTES:
        raise UnusableError(f"the text is {NULL}, a NULL of a database", "missing text")
    return encoded


def encode_tokens(tokens: Any) -> list[bytes]:
    """Tokens as UTF-8, in their order."""
    if type(tokens) is not list:
        raise _mistyped(tokens, "tokens")
    try:
        if not tokens or "" in tokens or CONTROL.search("".join(tokens)):
            raise _bad_token(tokens)
        if tokens == [NULL]:
            raise UnusableError(f"the text is {NULL}, a NULL of a database", "missing text")
        return [token.encode() for token in tokens]
    except (TypeError, UnicodeEncodeError):
        raise _bad_token(tokens) from None


def _bad_token(tokens: list[Any]) -> UnusableError:
    """The error for the first token that cannot be used."""
    for number, token in enumerate(tokens, start=1):
        if not isinstance(token, str):
            return UnusableError(f"token {number} is {short(token)}, not a string", "type")
        if not token:
            return UnusableError(f"token {number} is empty", "format")
        if CONTROL.search(token):
            return UnusableError(
                f"token {number}, {short(token)}, holds control characters or line ends", "format"
            )
        if any("\ud800" <= char <= "\udfff" for char in token):
            return UnusableError(
                f"token {number} is not valid in the source's encoding: {short(token)}", "encoding"
            )

    return UnusableError("the list of tokens is empty", "empty text")


def to_floats(value: Any, dim: int | None, name: str) -> "np.ndarray":
    """A sequence as float32 [time, dim].

    Args:
        value: A list of lists of numbers, or a flat list, which is cut into steps of dim numbers.
        dim: Numbers of a time step, if that is known.
        name: What errors call dim.
    """
    import numpy as np

    if not isinstance(value, list | np.ndarray):
        raise _mistyped(value, "sequence")
    if not len(value) or (isinstance(value[0], list) and not any(value)):
        raise UnusableError("the sequence is empty", "empty text")

    try:
        array = np.asarray(value)
    except ValueError:
        raise UnusableError("the sequence has time steps of different lengths", "format") from None

    if array.dtype.kind == "O" and _first_other(value) is NUMBER:
        array = _from_large(value)
    if array.dtype.kind not in "iuf" or _has_boolean(value, array):
        raise UnusableError(
            f"the sequence holds {short(_first_other(value))}, not only numbers", "type"
        )
    if array.ndim == 1 and dim is not None:
        if len(array) % dim:
            raise UnusableError(
                f"{len(array)} numbers are not a whole number of time steps of {name} {dim}",
                "format",
            )
        array = array.reshape(-1, dim)

    if array.ndim != 2:
        hint = f"; set {name} to cut a flat list into time steps" if array.ndim == 1 else ""
        raise UnusableError(
            f"the sequence has {array.ndim} dimensions, not [time, dim]{hint}", "format"
        )

    if dim is not None and array.shape[1] != dim:
        raise UnusableError(f"a time step has {array.shape[1]} numbers, not {name} {dim}", "format")

    with np.errstate(over="ignore"):  # What is too large for float32 becomes infinite.
        floats = array.astype(np.float32)

    if not np.isfinite(floats).all():
        step = int(np.argwhere(~np.isfinite(floats))[0, 0])
        raise UnusableError(
            f"time step {step + 1} holds a number that is not finite in float32", "format"
        )
    return floats


def _has_boolean(value: Any, array: "np.ndarray") -> bool:
    """Whether true or false is among numbers: numpy takes them for 1 and 0, the server does not.

    Most sequences hold neither 1 nor 0, which their array tells faster than their lists.
    """
    if type(value) is not list or not ((array == 0) | (array == 1)).any():
        return False
    return any(
        bool in map(type, step) if type(step) is list else type(step) is bool for step in value
    )


def _from_large(value: Any) -> "np.ndarray":
    """Numbers of which some are integers beyond numpy's, as floats."""
    import numpy as np

    try:
        return np.asarray(value, np.float64)
    except OverflowError:
        raise UnusableError(
            "the sequence holds an integer that is not finite in float32", "format"
        ) from None


NUMBER = object()


def _first_other(value: Any) -> Any:
    """The first value in nested lists that is not a number; NUMBER if all are."""
    if isinstance(value, list):
        for element in value:
            if (other := _first_other(element)) is not NUMBER:
                return other
        return NUMBER
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return NUMBER if is_number else value


def from_json(content: str) -> Any:
    """A sequence that is written as JSON; [] for white space."""
    try:
        return json.loads(content) if content.strip() else []
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"the sequence is not JSON: {error}", "format") from None


def _mistyped(value: Any, content: str) -> UnusableError:
    subject, kind = KINDS[content]
    problem = "missing text" if value is None else "type"
    return UnusableError(f"{subject} {short(value)}, not {kind}", problem)


# A label in its normal form, UTF-8, and as it was written where that differs.
NormalLabel = tuple[bytes, str | None]


class Labels(dict[str, NormalLabel]):
    """Label -> its normal form, worked out once for each label."""

    def __missing__(self, label: str) -> NormalLabel:
        try:
            label.encode()
        except UnicodeEncodeError:
            raise UnusableError(
                f"the label is not valid in the source's encoding: {short(label)}", "encoding"
            ) from None

        if labels.is_blank(label):
            raise UnusableError("the label is empty", "empty label")

        normal = labels.normal(label)
        if normal == NULL:
            raise UnusableError(f"the label is {NULL}, a NULL of a database", "missing label")
        if control := CONTROL.search(normal):
            raise UnusableError(
                f"the label {short(label)} holds the control character U+{ord(control[0]):04X}",
                "format",
            )

        entry = (normal.encode(), None if normal == label else label)
        if len(self) < KNOWN_LABELS:
            self[label] = entry
        return entry


def label_string(label: Any) -> str:
    """A label as a string; it may come as a whole number.

    pandas and Arrow make a column of integers one of floats where a value is missing, so 1.0 is the
    label 1, and NaN is none.
    """
    if isinstance(label, str):
        return label

    import numpy as np

    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bool | int):
        return str(label)
    if isinstance(label, float | Decimal):
        return _whole(label)

    problem = "missing label" if label is None else "type"
    raise UnusableError(f"the label is {short(label)}, not a string or a whole number", problem)


def _whole(label: float | Decimal) -> str:
    """A label that came as a number with a fraction of 0."""
    if math.isnan(label):
        raise UnusableError(f"the label is {label}, a missing value", "missing label")
    if math.isinf(label) or label != int(label):
        raise UnusableError(
            f"the label is {label}, not a string or a whole number: write classes as strings",
            "type",
        )
    if isinstance(label, float) and abs(label) >= MAX_EXACT:
        raise UnusableError(
            f"the label is {label:.0f}, a float of 2^53 or more, where whole numbers are not exact:"
            " write it as a string or an integer",
            "type",
        )
    return str(int(label))


def split_name(value: Any) -> str:
    """The name of a row's split, as it is written."""
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise UnusableError(f"the split is {short(value)}, not a name", "split")


def to_weight(value: Any) -> float:
    """A weight; in a text file it comes as a string."""
    import numpy as np

    try:
        # Python's numbers may hold underscores, those of a source may not.
        is_number = not isinstance(value, bool) and "_" not in str(value)
        weight = float(value) if is_number else math.nan
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise UnusableError(f"the weight is {short(value)}, not a number of 0 or more", "weight")
    if weight > MAX_WEIGHT:
        raise UnusableError(f"the weight is {short(value)}, more than {MAX_WEIGHT:g}", "weight")
    # As it is written and used; -0.0 is 0.0.
    return abs(float(np.float32(weight)))


def to_json(value: Any) -> Any:
    """A value to keep, as JSON holds it without loss.

    NaN is null, and infinity the string "Infinity". Bytes that are not UTF-8 are {"b64": base64},
    as in TensorFlow Serving's API. Values of types that JSON does not have, such as dates and
    decimals, are strings.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _string(value)

    import numpy as np

    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()

    if isinstance(value, float):
        return value if math.isfinite(value) else _NOT_FINITE.get(value)
    if isinstance(value, list | tuple):
        return [to_json(element) for element in value]
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, bytes):
        return _string(value.decode("utf-8", "surrogateescape"))
    return value if isinstance(value, bool | int) or value is None else _string(str(value))


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _string(text: str) -> str | dict[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text

    try:
        return {"b64": b64encode(text.encode("utf-8", "surrogateescape")).decode()}
    except UnicodeEncodeError:  # Half a pair in a JSON escape.
        raise UnusableError(
            f"a value to keep is not valid in the source's encoding: {short(text)}", "encoding"
        ) from None


def _object(value: dict[Any, Any]) -> dict[str, Any]:
    """An object. Keys that are the same as strings would lose a value."""
    kept = {}
    for key, element in value.items():
        name = _string(str(key))
        if not isinstance(name, str) or name in kept:
            problem = "is not text" if not isinstance(name, str) else "is there twice as text"
            raise UnusableError(f"the key {short(key)} of a value to keep {problem}", "format")
        kept[name] = to_json(element)
    return kept


def short(value: Any) -> str:
    """A value as a message shows it."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
