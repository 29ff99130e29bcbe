"""Texts from outside, such as labels and rows, made safe to show.

Whatever a text holds is shown and does nothing, in a terminal, on a page and in Markdown.
"""

import re
import unicodedata
from typing import Any

# Characters of a text that is quoted in a report.
NUM_SHOWN = 600
# Characters that change the direction of the text around them, or that cannot be seen: LRE..RLO,
# LRI..PDI, marks, zero width, byte order mark, line separators.
INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
# Characters that Markdown may read as markup: anywhere, and at the beginning of a line.
MARKUP = re.compile(r"[\\`*_\[\]|~]")
BEGINNING = re.compile(r"^(?:[-+=]|(\d+)(?=[.)]))")
# Texts that GitHub turns into links: mentions, references, addresses.
LINKED = re.compile("[@#]|ww(?=w)|:(?=//)")


def clean(value: Any) -> str:
    """Makes every character visible that could steer a terminal or a page: `\\x1b`, `\\u202e`.

    Line breaks and tabs become spaces.
    """
    text = re.sub(r"\r\n|[\t\n\r]", " ", str(value))
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if INVISIBLE.match(character) or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"):
        code = ord(character)
        if code < 0x100:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character


def shorten(value: Any, num: int = NUM_SHOWN) -> str:
    """Cleans a text and cuts it to `num` characters, with an ellipsis at the end."""
    text = clean(str(value)[: 2 * num])
    return text if len(text) <= num and len(str(value)) <= 2 * num else f"{text[: num - 1]}…"


def markdown(value: Any, num: int = 200) -> str:
    """Escapes a text for GitHub's Markdown, so that it is shown as it is.

    Nothing in it becomes markup, a link, a mention, a reference, or the end of a table's cell.
    """
    shown = MARKUP.sub(r"\\\g<0>", shorten(value, num).strip())
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = BEGINNING.sub(lambda match: f"{match[1]}\\" if match[1] else f"\\{match[0]}", shown)

    # A backslash does not stop @name and #12 from becoming links; a zero-width space does.
    return LINKED.sub(r"\g<0>&#8203;", shown)


def code(value: Any, num: int = 400) -> str:
    """Formats a text as `code` in GitHub's Markdown, whatever backticks it has."""
    # A bar would end a table's cell.
    text = shorten(value, num).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"
