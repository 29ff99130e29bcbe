"""The parts of docs pages that are made from the code.

`python -m tests.project.generated` writes them again; tests/project/test_docs.py holds them.
"""

from pipeline.config import reference
from tests.project import command_reference, layers, untrusted
from tests.support import CHECKOUT

BEGIN = "<!-- begin: written by python -m tests.project.generated -->\n"
END = "<!-- end -->\n"
PARTS = {
    "docs/architecture.md": layers.table,
    "docs/reference/cli.md": command_reference.reference,
    "docs/reference/configuration.md": reference,
    "docs/security.md": untrusted.table,
}


def documented(page: str) -> str:
    """The generated part, as the page has it."""
    return _split(page)[1]


def write(page: str) -> None:
    before, _, after = _split(page)
    (CHECKOUT / page).write_text(before + BEGIN + PARTS[page]() + END + after, encoding="utf-8")


def _split(page: str) -> tuple[str, str, str]:
    """The parts of a page before, between and after its marks."""
    before, begin, rest = (CHECKOUT / page).read_text(encoding="utf-8").partition(BEGIN)
    part, end, after = rest.partition(END)
    assert begin, f"{page} lacks {BEGIN}"
    assert end, f"{page} lacks {END}"
    return before, part, after


if __name__ == "__main__":
    for name in PARTS:
        write(name)
