"""Guesses which known word an unknown one was meant to be.

Standard library only: `seqline doctor` uses it, too.
"""

import difflib
import os
from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known word; an empty string where none is near.

    Upper and lower case and outer blanks make no difference, unless two words differ in them only.
    """
    words = list(known)
    by_form = {other.strip().casefold(): other for other in reversed(words)}
    close = difflib.get_close_matches(word, words, n=1)
    if not close:
        close = difflib.get_close_matches(word.strip().casefold(), by_form, n=1)
        close = [by_form[form] for form in close]
    return f" Did you mean {close[0]!r}?" if close else ""


def neighbours(path: str) -> list[str]:
    """The files and folders next to a path, one of which may be meant by it."""
    folder = os.path.dirname(path)
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder or "."))]
    except (OSError, ValueError):
        return []
