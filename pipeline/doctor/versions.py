"""Compares the installed libraries with those that are required.

Run by its path. It needs the standard library, and `packaging` or pip's copy of it.

Prints one line of JSON with lists of sentences: `missing`, `outside` (of pyproject.toml's ranges)
and `unlocked` (other versions than the lock's); and `num_compared`, the number of the lock's
libraries that are installed.
"""

import json
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

LOCKED = re.compile(r"^([\w.-]+)==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$", re.MULTILINE)
NAME = re.compile(r"[\w.-]+")


def main() -> None:
    question = json.load(sys.stdin)
    sys.path[:] = question["path"]
    try:
        parse = _parser()
    except Exception:  # Without `packaging` only names can be read.
        names = [match[0] for line in question["requirements"] if (match := NAME.match(line))]
        missing = [name for name in (*names, "packaging") if _version(name) is None]
        answer = {"missing": missing, "outside": [], "unlocked": [], "num_compared": 0}
    else:
        missing, outside = _compare(question["requirements"], parse)
        unlocked, num_compared = _compare_with_lock(question["lock"], parse)
        answer = {
            "missing": missing,
            "outside": outside,
            "unlocked": unlocked,
            "num_compared": num_compared,
        }

    print(json.dumps(answer))


def _parser() -> Any:
    try:
        from packaging import requirements
    except Exception:
        # The type is the same: pip carries a copy of packaging.
        from pip._vendor.packaging import requirements  # type: ignore[no-redef]
    return requirements.Requirement


def _version(name: str) -> str | None:
    """The installed version; None also for a folder of records without its METADATA."""
    try:
        return distribution(name).version or None
    except PackageNotFoundError:
        return None


def _compare(requirements: Sequence[str], parse: Any) -> tuple[list[str], list[str]]:
    """The requirements that are missing, and those whose version is outside the range."""
    missing, outside = [], []
    for line in requirements:
        wanted = parse(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        version = _version(wanted.name)
        if version is None:
            missing.append(f"{wanted.name}{wanted.specifier}")
        elif not wanted.specifier.contains(version, prereleases=True):
            outside.append(f"{wanted.name} is {version}, not {wanted.specifier}")
    return missing, outside


def _compare_with_lock(lock: str | None, parse: Any) -> tuple[list[str], int]:
    """The libraries with another version than the lock's, and how many were compared."""
    unlocked = []
    num_compared = 0
    content = Path(lock).read_text(encoding="utf-8") if lock else ""
    for name, wanted, marker in LOCKED.findall(content):
        version = _version(name)
        if version is None or (marker and not parse(f"x ; {marker}").marker.evaluate()):
            continue
        num_compared += 1
        if version != wanted:
            unlocked.append(f"{name} is {version}, not {wanted}")
    return unlocked, num_compared


if __name__ == "__main__":
    main()
