"""The normal form of labels: what is one class, and what may be meant as one.

A label is normalised as texts are: to Unicode's normalization form C, without white space at its
ends. Everything else is kept, because it may be meant: case, inner spaces, format characters such
as the zero-width non-joiner of Persian or the joiner of an emoji sequence.

What a label must not hold is a fixed list of characters, not a property of Python's version of
Unicode: a label is one line of a vocabulary, so it has no control character and no line end.
"""

import re
from collections.abc import Iterable
from unicodedata import normalize

# C0 and C1 control characters, and Unicode's line and paragraph separators.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Unicode's Default_Ignorable_Code_Point: nothing is drawn for them.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# `1.0`, as a label is written where a whole number went through a column of floats.
WHOLE_FLOAT = re.compile(r"([+-]?[0-9]+)\.0+")


def normal(label: str) -> str:
    """A label in its normal form; a label in normal form is returned as it is."""
    return (label if label.isascii() else normalize("NFC", label)).strip()


def is_blank(label: str) -> bool:
    """Whether a label shows nothing."""
    return not INVISIBLE.sub("", label).strip()


def folded(label: str) -> str:
    """What labels have in common that differ only in how they are written.

    They differ in case, in white space, in characters that are drawn alike (Unicode's compatibility
    forms, such as full-width letters) or not at all, or in `.0` after a whole number.
    """
    spaced = " ".join(normalize("NFKC", INVISIBLE.sub("", label)).split())
    whole = WHOLE_FLOAT.fullmatch(spaced)
    # Case folding may leave a form that is not normal.
    return normalize("NFKC", (whole[1] if whole else spaced).casefold())


def similar(labels: Iterable[str]) -> list[list[str]]:
    """The groups of labels that have the same folded form, each in ascending order."""
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(folded(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]
