"""Tokens that can never occur, by the rules of the text that is cut."""

import pytest

from seqline.rows.tokens import NeverOccurring, why_never


@pytest.mark.parametrize(
    ("token", "tokens", "lowercase", "reason"),
    [
        ("film", "word", True, ""),
        ("Film", "word", True, "upper case"),
        ("Film", "word", False, ""),
        ("ÉCLAT", "word", True, "upper case"),
        ("é", "word", True, ""),
        ("e\u0301", "word", True, "not in Unicode's form C"),
        ("2nd", "word", True, ""),
        ("!", "word", True, ""),
        ("n't", "word", True, "punctuation in a word"),
        ("...", "word", True, "punctuation in a word"),
        (". . .", "word", True, "white space"),
        ("a\u00a0b", "word", True, "white space"),
        (" ", "word", True, "white space"),
        ("a\tb", "word", True, "control characters"),
        ("so\u00adft", "word", True, "format characters"),
        (" ", "char", True, ""),
        ("\u00a0", "char", True, "white space"),
        ("a", "char", True, ""),
        ("ab", "char", True, "more than one character"),
        ("...", "char", True, "more than one character"),
        ("A", "char", True, "upper case"),
        ("New York", None, True, ""),
        ("a\x07", None, True, "control characters"),
        ("", "word", True, "empty"),
    ],
)
def test_why_a_token_can_never_occur(token: str, tokens: str, lowercase: bool, reason: str) -> None:
    # The parameter is a string, not one of the two.
    assert why_never(token.encode(), tokens, lowercase) == reason  # type: ignore[arg-type]


def test_bytes_that_are_not_utf8_can_never_occur() -> None:
    assert why_never(b"\xe9", "word", True) == "not UTF-8"


def test_the_sentence_counts_the_reasons_and_names_the_first_token_of_each() -> None:
    never = NeverOccurring("word", True)
    for line, token in enumerate([b"The", b"film", b"A", b". . ."], start=1):
        never.look(token, line)
    assert never.sentence(4) == (
        '3 of 4 tokens can never occur under transform.tokens = "word" and transform.lowercase ='
        " true: 2 upper case ('The' in line 1), 1 white space ('. . .' in line 4)"
    )
