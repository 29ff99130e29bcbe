"""Checks that a tag may become a release, and prints its notes, the changelog's section.

python -m tests.project.release v0.1.0. It needs the standard library alone: the release workflow
runs it before anything is installed.
"""

import re
import sys
from pathlib import Path

from tests.support import CHECKOUT


def notes(tag: str, checkout: Path = CHECKOUT) -> str:
    """The changelog's section of a tag's version.

    Raises:
        ValueError: the tag is not the version of the code, or of CITATION.cff, or the changelog has
            no section of it, or one that is not released yet.
    """
    version = _one(r'^__version__ = "(.+)"$', checkout / "seqline" / "__init__.py")
    if tag != f"v{version}":
        raise ValueError(
            f"the tag {tag} is not v{version}, the version in seqline/__init__.py. Change the one"
            " or tag the other."
        )
    cited = _one(r"^version: (.+)$", checkout / "CITATION.cff")
    if cited != version:
        raise ValueError(f"CITATION.cff has version {cited}, not {version}. Correct it.")

    changelog = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## {re.escape(version)} \(([^)\n]+)\)\n(.*?)(?=^## |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if not section:
        raise ValueError(f'CHANGELOG.md has no section "## {version} (date)". Write it.')
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", section[1]):
        raise ValueError(
            f"CHANGELOG.md's section of {version} says ({section[1]}). Write the day of the"
            " release there, as 2026-01-31."
        )
    return section[2].strip() + "\n"


def _one(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{file} has no line {pattern}"
    return match[1]


if __name__ == "__main__":
    try:
        print(notes(sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(f"error: {error}")
