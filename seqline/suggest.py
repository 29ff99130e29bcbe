"""Guesses which known word an unknown one was meant to be.

Standard library only: `seqline doctor` uses it, too.
"""

import difflib
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
