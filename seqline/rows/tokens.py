"""Which tokens can occur in tokenised rows. Imports nothing heavy.

A vocabulary or a file of vectors that was made elsewhere may hold tokens that no row ever gives,
because texts are normalised before they are cut. Such tokens do no harm, and do nothing.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from seqline.rows.values import CONTROL, short

# How texts are cut; None where rows are tokens already, which are taken as they are.
Tokens = Literal["word", "char"] | None
# The separators that normalisation turns into plain spaces.
SEPARATORS = {"Cc", "Zs", "Zl", "Zp"}


def why_never(token: bytes, tokens: Tokens, lowercase: bool) -> str:
    """Why a token can never occur; "" if it can.

    It follows `components.transform.text`, which cuts texts: lower case, no format characters, form
    C, single spaces, then characters, or words and punctuation marks.
    """
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return "not UTF-8"

    if not text:
        return "empty"
    if tokens is None:
        return "control characters" if CONTROL.search(text) else ""
    if text.isascii() and text.isalnum():
        return _why_not_one(text, tokens, lowercase)

    categories = {unicodedata.category(char) for char in text}
    if tokens == "word" and (" " in text or categories & SEPARATORS - {"Cc"}):
        return "white space"
    if categories & SEPARATORS and text != " ":
        return "control characters" if "Cc" in categories else "white space"
    if "Cf" in categories:
        return "format characters"
    if not unicodedata.is_normalized("NFC", text):
        return "not in Unicode's form C"
    if reason := _why_not_one(text, tokens, lowercase):
        return reason
    if tokens == "word" and len(text) > 1 and {name[0] for name in categories} - set("LMN"):
        return "punctuation in a word"
    return ""


def _why_not_one(text: str, tokens: Tokens, lowercase: bool) -> str:
    if lowercase and text.lower() != text:
        return "upper case"
    return "more than one character" if tokens == "char" and len(text) > 1 else ""


@dataclass
class NeverOccurring:
    """Counts the tokens that can never occur.

    Attributes:
        tokens: How texts are cut.
        lowercase: Whether upper case is folded.
        counts: Reason -> tokens.
        examples: Reason -> the first such token and its line.
    """

    tokens: Tokens
    lowercase: bool
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def look(self, token: bytes, line: int) -> None:
        """Counts a token if it can never occur."""
        if reason := why_never(token, self.tokens, self.lowercase):
            self.counts[reason] += 1
            if reason not in self.examples:
                shown = short(token.decode("utf-8", "surrogateescape"))
                self.examples[reason] = f"{shown} in line {line}"

    def total(self) -> int:
        return self.counts.total()

    def sentence(self, num_tokens: int) -> str:
        """Names the reasons and the first token of each.

        Args:
            num_tokens: All tokens that were looked at.
        """
        if self.tokens is None:
            how = ""
        else:
            how = (
                f' under transform.tokens = "{self.tokens}" and transform.lowercase ='
                f" {str(self.lowercase).lower()}"
            )

        reasons = ", ".join(
            f"{count:,} {reason} ({self.examples[reason]})"
            for reason, count in self.counts.most_common()
        )
        return f"{self.total():,} of {num_tokens:,} tokens can never occur{how}: {reasons}"
