"""Texts of others, such as labels and rows, made fit to be shown.

Whatever they hold, they show it and do nothing.
"""

import math
import re
import unicodedata
from typing import Any

# Characters of a text that is quoted in a report.
NUM_SHOWN = 600
# What turns the direction of the text around it, or hides in it: LRE..RLO, LRI..PDI, marks, zero
# width, byte order mark, line separators.
INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
# What Markdown may take for markup anywhere, and at the beginning of a line.
MARKUP = re.compile(r"[\\`*_\[\]|~]")
BEGINNING = re.compile(r"^(?:[-+=]|(\d+)(?=[.)]))")
# What GitHub makes links of: mentions, references, addresses.
LINKED = re.compile("[@#]|ww(?=w)|:(?=//)")


def clean(value: Any) -> str:
    """The text with every character visible that could steer a terminal or a page.

    `\\x1b`, `\\u202e`. Line breaks and tabs become spaces.
    """
    text = re.sub(r"\r\n|[\t\n\r]", " ", str(value))
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if INVISIBLE.match(character) or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"):
        code = ord(character)
        return (
            f"\\x{code:02x}"
            if code < 0x100
            else f"\\u{code:04x}"
            if code < 0x10000
            else f"\\U{code:08x}"
        )
    return character


def shorten(value: Any, num: int = NUM_SHOWN) -> str:
    """`clean`, and cut to so many characters with an ellipsis."""
    text = clean(str(value)[: 2 * num])
    return text if len(text) <= num and len(str(value)) <= 2 * num else f"{text[: num - 1]}…"


def markdown(value: Any, num: int = 200) -> str:
    """A text in GitHub's Markdown that stands for itself.

    No markup, no link, no mention, no reference, and no end of a table's cell.
    """
    shown = MARKUP.sub(r"\\\g<0>", shorten(value, num).strip())
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = BEGINNING.sub(lambda found: f"{found[1]}\\" if found[1] else f"\\{found[0]}", shown)
    # A backslash keeps @name and #12 from nothing; a space of no width behind the sign does.
    return LINKED.sub(r"\g<0>&#8203;", shown)


def code(value: Any, num: int = 400) -> str:
    """A text as `code` in GitHub's Markdown, whatever backticks it has.

    A bar would end a table's cell.
    """
    text = shorten(value, num).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def number(value: float | None, digits: int = 3) -> str:
    """`0.881`, `1,234`, `2.4e-07`; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.064`, `-0.012`, `0.000`."""
    shown = number(
        0.0 if value == 0 and isinstance(value, float) else value, digits
    )  # a negative zero is zero
    return f"+{shown}" if value and value > 0 else shown


def seconds(value: float | None) -> str:
    """`11 ms`, `12.3 s`, `3 min 5 s`, `2 h 4 min`."""
    if value is None:
        return "-"
    if 0 < value < 0.1:
        return f"{1000 * value:.3g} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"
