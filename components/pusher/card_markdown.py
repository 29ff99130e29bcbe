"""Numbers, tables and a person's own texts as Markdown."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from seqline.text import clean, markdown

# Characters of a value that is neither a number nor a name.
NUM_SHOWN = 120
# Beginnings of a line that would make a heading, a rule, a fence, a table or a metadata block.
BLOCKS = re.compile(r"\s{0,3}(#{1,6}(\s|$)|[-=_*]{3,}\s*$|`{3,}|~{3,}|\|)")


def number(value: Any) -> str:
    """`0.963`, `1,234`, `2.4e-07`, `yes`; a dash for None and for what is not finite."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "-"
        return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.1e}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return markdown(text, NUM_SHOWN)


def interval(ends: Any) -> str:
    """`0.941 to 0.977`; a dash for none."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return "-"
    return f"{number(ends[0])} to {number(ends[1])}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table. The first column is on the left, the others are on the right."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def by_owner(text: str | None) -> list[str]:
    """The lines of a text that a person wrote in Markdown.

    It may have emphasis, lists and links. HTML is shown as text, and so is whatever would begin a
    part of the card.
    """
    lines = []
    for line in (text or "").strip().splitlines():
        shown = clean(line).rstrip().replace("<", "&lt;")
        if BLOCKS.match(shown):
            indent = len(shown) - len(shown.lstrip())
            shown = f"{shown[:indent]}\\{shown[indent:]}"
        lines.append(shown)
    return lines
