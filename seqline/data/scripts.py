"""Scripts of texts, and which of them are written without spaces between words."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import name

# Letters and marks of scripts whose words are not separated by spaces, so that a word token is a
# whole sentence: Thai, Lao, Tibetan, Myanmar, Khmer, Tai Le and New Tai Lue, Tai Tham, Chinese and
# Japanese. Fixed, so that it does not depend on Python's version of Unicode.
UNSPACED = (
    "\u0e00-\u0e4e\u0e80-\u0ece\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u1950-\u19c9"
    "\u1a20-\u1a7c\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ef\uaa60-\uaa76\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U000323af"
)
# Where more of the letters are of such scripts, tokens are characters unless it is said otherwise.
MOST = 0.5
UNSPACED_CHAR = re.compile(f"[{UNSPACED}]")


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """The first word of a letter's name in Unicode: latin, cyrillic, cjk, hangul, ..."""
    return name(letter, "OTHER").split()[0].split("-")[0].lower()


def main_script(texts: Iterable[str]) -> str:
    """The script of most letters, such as `latin`; "" for texts without letters."""
    scripts = Counter(script_of(letter) for text in texts for letter in text if letter.isalpha())
    return max(sorted(scripts), key=lambda script: scripts[script], default="")


def unspaced_share(texts: Iterable[str]) -> float:
    """The share of letters that are of scripts without spaces between words; 0 without letters."""
    letters = Counter(letter for text in texts for letter in text if letter.isalpha())
    num_unspaced = sum(
        count for letter, count in letters.items() if UNSPACED_CHAR.fullmatch(letter)
    )
    return num_unspaced / max(1, letters.total())
