"""Divides rows into slices by the values of a feature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqline.data import features, scripts

if TYPE_CHECKING:
    import numpy as np

SCRIPT = "script"
SPAN = "span"
# Features that follow from any row. Any other name is a feature that the Examples hold.
DERIVED = (features.LABEL, features.LENGTH, SCRIPT, SPAN)
# Characters of a text whose script is looked at.
NUM_CHARACTERS = 400


def values(
    feature: str, content: str, block: Any, labels: Sequence[str], span: int, dim: int | None
) -> list[str]:
    """The values of a derived feature as text, one for each row.

    Args:
        feature: One of DERIVED.
        content: What a row holds.
        block: The rows, a `seqline.data.examples.Block`.
        labels: The label of each row.
        span: The span of all of them.
        dim: Numbers of one time step of a sequence.
    """
    if feature == features.LABEL:
        return list(labels)
    if feature == SPAN:
        return [str(span)] * len(labels)
    if feature == features.LENGTH:
        return [bucket(length) for length in lengths(content, block.content, dim)]
    return [script(text) for text in texts(content, block.content)]


def lengths(content: str, rows: Any, dim: int | None) -> list[int]:
    """The length of each row: words of a text, by white space, tokens, or time steps."""
    if content == features.TEXT:
        return [len(text.split()) for text in rows.numpy()]
    return (rows.row_lengths().numpy() // (dim or 1)).tolist()


def texts(content: str, rows: Any) -> list[str]:
    """The rows as a person reads them; "" for sequences."""
    if content == features.TEXT:
        return [text.decode(errors="replace") for text in rows.numpy()]
    if content == features.TOKENS:
        return [b" ".join(tokens).decode(errors="replace") for tokens in rows.to_list()]
    return [""] * int(rows.nrows())


def bucket(length: int) -> str:
    """The range of a length: 0, 1, 2-3, 4-7, 8-15, ..."""
    if length < 2:
        return str(length)
    low = 1 << (length.bit_length() - 1)
    return f"{low}-{2 * low - 1}"


def script(text: str) -> str:
    """The script of most letters of a text, such as `latin` or `cyrillic`; `none` without any."""
    return scripts.main_script([text[:NUM_CHARACTERS]]) or "none"


def in_order(feature: str, values: Sequence[str]) -> list[str]:
    """The values of a feature in the order in which they are shown."""
    if feature in (features.LENGTH, SPAN):
        return sorted(values, key=lambda value: int(value.partition("-")[0]))
    return sorted(values)


def groups(column: Sequence[str]) -> tuple[list[str], "np.ndarray"]:
    """(the different values of a column in order, the place of each row's value among them)."""
    import numpy as np  # Here: each run checks names of slices, also one with nothing to do.

    values = sorted(set(column))
    place_of = {value: place for place, value in enumerate(values)}
    return values, np.fromiter((place_of[value] for value in column), np.int64, len(column))
