"""What rows are divided by: the values of a slice's feature, one a row, as text."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from unicodedata import name

import numpy as np

from seqline.data import features

LANGUAGE = "language"
SPAN = "span"
# What every Examples can be divided by; any other name is a feature that they hold.
DERIVED = (features.LABEL, features.LENGTH, LANGUAGE, SPAN)
# Characters of a text that its language is guessed from.
NUM_GUESSED_FROM = 400

# Words so frequent that a sentence has one, and in few of the other languages.
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
    """The values of a derived slice. block: see `components.evaluator.rows.Block`."""
    if feature == features.LABEL:
        return list(labels)
    if feature == SPAN:
        return [str(span)] * len(labels)
    if feature == features.LENGTH:
        return [bucket(length) for length in lengths(content, block.content, dim)]
    return [language(text) for text in texts(content, block.content)]


def lengths(content: str, held: Any, dim: int | None) -> list[int]:
    """Words between white space of a text, tokens, or time steps, [rows]."""
    if content == features.TEXT:
        return [len(text.split()) for text in held.numpy()]
    return (held.row_lengths().numpy() // (dim or 1)).tolist()


def texts(content: str, held: Any) -> list[str]:
    """The rows as they can be read; "" for sequences."""
    if content == features.TEXT:
        return [text.decode(errors="replace") for text in held.numpy()]
    if content == features.TOKENS:
        return [b" ".join(tokens).decode(errors="replace") for tokens in held.to_list()]
    return [""] * int(held.nrows())


def bucket(length: int) -> str:
    """0, 1, 2-3, 4-7, 8-15, ..."""
    if length < 2:
        return str(length)
    low = 1 << (length.bit_length() - 1)
    return f"{low}-{2 * low - 1}"


def language(text: str) -> str:
    """A guess.

    The script that most letters have, such as `cyrillic`; of a latin text the language with most of
    its frequent words.

    `latin` where no word tells, `none` where there is no letter.
    """
    start = text[:NUM_GUESSED_FROM]
    letters = [letter for letter in start if letter.isalpha()]
    if not letters:
        return "none"
    scripts = (
        ["LATIN"] * len(letters) if start.isascii() else [_script(letter) for letter in letters]
    )
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
    """The first word of its name in Unicode: LATIN, CYRILLIC, CJK, HANGUL, ..."""
    return name(letter, "OTHER").split()[0].split("-")[0]


def in_order(feature: str, found: Sequence[str]) -> list[str]:
    """The values of a slice in the order in which they are shown."""
    if feature in (features.LENGTH, SPAN):
        return sorted(found, key=lambda value: int(value.partition("-")[0]))
    return sorted(found)


def groups(column: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(value, indices of its rows) of each value in a column."""
    found, inverse = np.unique(np.array(column, dtype=object), return_inverse=True)
    return [(str(value), np.flatnonzero(inverse == index)) for index, value in enumerate(found)]
