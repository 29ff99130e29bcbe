"""The rows that `predict` reads: texts, tokens and sequences."""

import contextlib
import json
import math
from typing import Any

from serving.errors import InputError

FLOAT32_MAX = 3.4028234663852886e38


def read_row(text: str, place: str, content: str, dim: int) -> Any:
    """The row that a text stands for: a text, a list of tokens or a list of time steps.

    Args:
        text: The text.
        place: Its name in an error.
        content: The content of the model.
        dim: Numbers of a time step.

    Raises:
        InputError: The text is none.
    """
    if content == "text":
        if not is_unicode(text):
            raise InputError(f"{place} holds half of a surrogate pair: {_short(json.dumps(text))}.")
        return text
    return _read_sequence(text, place, dim) if content == "sequence" else _read_tokens(text, place)


def _read_tokens(text: str, place: str) -> list[str]:
    how = 'Give a JSON list of strings, ["one", "two"], or tokens with white space between.'
    tokens = text.split()
    if text.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):  # [CLS] is a token.
            tokens = json.loads(text)

    if not tokens:
        raise InputError(f"{place} has no token: {_short(text)}. {how}")

    for position, token in enumerate(tokens, start=1):
        if not isinstance(token, str) or not token or not is_unicode(token):
            raise InputError(
                f"{place}, token {position} is {_short(json.dumps(token))}, not a string of one"
                f" character or more. {how}"
            )
    return tokens


def _read_sequence(text: str, place: str, dim: int) -> list[list[float]]:
    how = f"Give a JSON list of time steps with {dim} finite number(s) each, [[number, ...], ...]."

    try:
        steps = json.loads(text, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is not JSON, {error}: {_short(text)}. {how}") from None

    if not isinstance(steps, list) or not steps:
        raise InputError(f"{place} is {_short(text)}, not a list of one time step or more. {how}")

    for position, step in enumerate(steps, start=1):
        if not isinstance(step, list):
            raise InputError(
                f"{place}, time step {position} is {_short(json.dumps(step))}, not a list. {how}"
            )

        if len(step) != dim:
            raise InputError(
                f"{place}, time step {position} has {len(step)} number(s); the model reads {dim}."
                f" {how}"
            )

        wrong = [number for number in step if not _is_number(number)]
        if wrong:
            raise InputError(
                f"{place}, time step {position} holds {_short(json.dumps(wrong[0]))}. {how}"
            )

    return [[float(number) for number in step] for step in steps]


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # Python reads 1e400 so.
        raise ValueError(f"{_short(text)} is too large for a number")
    return number


def _is_number(value: Any) -> bool:
    # NaN compares as False; a greater number would be infinite as a float32.
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FLOAT32_MAX
    )


def is_unicode(token: str) -> bool:
    """Whether a string has no lone surrogate, but for those that stand for undecodable bytes."""
    return not any(
        "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff"
        for character in token
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
