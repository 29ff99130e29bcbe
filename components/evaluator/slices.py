"""Divides rows into slices by the values of a feature."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from unicodedata import name

import numpy as np

from seqline.data import features

LANGUAGE = "language"
SPAN = "span"
# Features that follow from any row. Any other name is a feature that the Examples hold.
DERIVED = (features.LABEL, features.LENGTH, LANGUAGE, SPAN)
# Characters of a text from which its language is guessed.
NUM_GUESSED_FROM = 400

# Words that are so frequent that most sentences have one, and that few other languages have.
WORDS = {
    "en": "the and of to is that it was for with this not are you have",
    "de": "der die und das ist nicht ein zu den von mit sich auf auch",
    "fr": "le les et des est une dans pour que qui pas sur au nous vous",
    "es": "el los y del es una por con las como pero muy su más",
    "it": "il di che è non per una sono della gli anche più questo",
    "pt": "o os e do da em não uma para com são mas você na no",
    "nl": "het een van en is dat niet op te zijn voor met maar ook",
}
LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in WORDS.items():
    for _word in _words.split():
        LANGUAGES_OF.setdefault(_word, []).append(_language)


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
    return [language(text) for text in texts(content, block.content)]


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


def language(text: str) -> str:
    """Guesses the language of a text.

    The guess is the script of most letters, such as `cyrillic`. For Latin letters it is the
    language whose frequent words the text has most of, or `latin` if it has none. A text without
    letters is `none`.
    """
    start = text[:NUM_GUESSED_FROM]
    letters = [letter for letter in start if letter.isalpha()]
    if not letters:
        return "none"
    if start.isascii():
        scripts = ["LATIN"] * len(letters)
    else:
        scripts = [_script(letter) for letter in letters]
    script = max(sorted(set(scripts)), key=scripts.count)
    if script != "LATIN":
        return script.lower()
    votes = [
        language
        for word in start.lower().split()
        for language in LANGUAGES_OF.get(word.strip(".,;:!?\"'()"), ())
    ]
    return max(sorted(set(votes)), key=votes.count) if votes else "latin"


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The first word of a letter's name in Unicode: LATIN, CYRILLIC, CJK, HANGUL, ..."""
    return name(letter, "OTHER").split()[0].split("-")[0]


def in_order(feature: str, values: Sequence[str]) -> list[str]:
    """The values of a feature in the order in which they are shown."""
    if feature in (features.LENGTH, SPAN):
        return sorted(values, key=lambda value: int(value.partition("-")[0]))
    return sorted(values)


def groups(column: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(value, indices of its rows) of each value in a column."""
    values, inverse = np.unique(np.array(column, dtype=object), return_inverse=True)
    return [(str(value), np.flatnonzero(inverse == index)) for index, value in enumerate(values)]
