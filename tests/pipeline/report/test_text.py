"""Texts from outside are shown as they are and do nothing."""

import re

from hypothesis import given, settings
from markdown_it import MarkdownIt

from pipeline.report import (
    text,
)
from tests.support.report_pages import TEXTS


@given(TEXTS)
def test_a_clean_text_is_visible(value: str) -> None:
    shown = text.clean(value)
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )
    assert text.clean(shown) == shown
    shown.encode()


@given(TEXTS)
@settings(max_examples=300)
def test_markdown_shows_a_text_as_it_is(value: str) -> None:
    """An independent parser reads back exactly the text, within a table and by itself."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    expected = text.shorten(value, 200)
    for source, place in (
        (f"| a |\n| --- |\n| {text.markdown(value)} |", 5),
        (f"a {text.markdown(value)}", 1),
    ):
        inline = [token for token in parser.parse(source) if token.type == "inline"]
        if place == 1:
            assert len(inline) == 1

        pieces = inline[-1].children or []
        assert {piece.type for piece in pieces} <= {"text", "text_special"}

        shown = "".join(piece.content for piece in pieces)
        assert not re.search(
            r"@\w|#\d|www|://", shown
        )  # what GitHub would make a mention, a reference or a link of
        assert " ".join(shown.replace("\u200b", "").split()) == " ".join(
            f"{'a ' if place == 1 else ''}{expected}".split()
        )


@given(TEXTS)
def test_code_in_markdown_is_one_piece_of_code(value: str) -> None:
    inline = [
        token
        for token in MarkdownIt("commonmark").parse(f"a {text.code(value)} b")
        if token.type == "inline"
    ]
    pieces = inline[0].children or []
    expected = text.shorten(value, 400).replace("|", "\\|")
    if expected.strip():
        assert [piece.type for piece in pieces] == ["text", "code_inline", "text"]
        assert pieces[1].content.strip() == expected.strip()
