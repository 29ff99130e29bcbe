"""What is installed against what is asked for.

Run by its path; needs the standard library, and `packaging` or pip's copy of it.

Prints one JSON line: missing, outside (of pyproject.toml's ranges), conflicts (between the
libraries), unlocked (not as in the lock), twice (two versions' records in one folder): lists of
sentences.
"""

import json
import re
import sys
from collections import defaultdict
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

LOCKED = re.compile(r"^([\w.-]+)==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$", re.MULTILINE)


def main() -> None:
    question = json.load(sys.stdin)
    sys.path[:] = question["path"]
    found: dict[str, list[str]] = {
        name: [] for name in ("missing", "outside", "conflicts", "unlocked")
    }
    try:
        try:
            from packaging import requirements
        except Exception:
            from pip._vendor.packaging import requirements  # type: ignore[no-redef]
    except Exception:  # then ranges cannot be read, names can
        names = [re.match(r"[\w.-]+", line) for line in question["requirements"]]
        found["missing"] = [
            name[0]
            for name in [*names, re.match(".*", "packaging")]
            if name and _has(name[0]) is None
        ]
        print(json.dumps({**found, "twice": _twice(), "num_reached": 0}))
        return
    todo = []
    for line in question["requirements"]:
        asked = requirements.Requirement(line)
        if asked.marker is None or asked.marker.evaluate({"extra": ""}):
            has = _has(asked.name)
            if has is None:
                found["missing"].append(f"{asked.name}{asked.specifier}")
            elif not asked.specifier.contains(has.version, prereleases=True):
                found["outside"].append(f"{asked.name} is {has.version}, not {asked.specifier}")
            todo.append((asked.name, frozenset(asked.extras)))
    reached = _walk(todo, requirements.Requirement, found["conflicts"])
    found["conflicts"] = sorted(set(found["conflicts"]))  # one is met once for each of its extras
    found["unlocked"] = list(_unlocked(question["lock"], requirements.Requirement, reached))
    print(json.dumps({**found, "twice": _twice(), "num_reached": len(reached)}))


@cache
def _has(name: str) -> Distribution | None:
    try:
        found = distribution(name)
        return found if found.version else None  # a folder of records without its METADATA
    except PackageNotFoundError:
        return None


def _has_cloud() -> bool:
    """Whether what only Google Cloud needs is installed. tensorflow-transform asks for
    apache-beam[gcp]; runs here do without.
    """
    return _has("google-cloud-storage") is not None


def _walk(todo: list[tuple[str, frozenset[str]]], parse: Any, conflicts: list[str]) -> set[str]:
    """Every library that seqline needs, directly or not.

    What one asks of another that is not so goes into `conflicts`.
    """
    seen = set()
    while todo:
        name, extras = todo.pop()
        has = _has(name)
        if (_plain(name), extras) in seen or has is None:
            continue
        seen.add((_plain(name), extras))
        for line in has.requires or ():
            asked = parse(line)
            if asked.marker is not None and not any(
                asked.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                continue
            other = _has(asked.name)
            if other is None:
                conflicts.append(
                    f"{name} {has.version} needs {asked.name}{asked.specifier}, which is not"
                    " installed"
                )
            elif not asked.specifier.contains(other.version, prereleases=True):
                conflicts.append(
                    f"{name} {has.version} needs {asked.name}{asked.specifier}; here it is"
                    f" {other.version}"
                )
            todo.append(
                (
                    asked.name,
                    frozenset(asked.extras) if _has_cloud() else frozenset(asked.extras) - {"gcp"},
                )
            )
    return {name for name, _ in seen}


def _unlocked(lock: str | None, parse: Any, reached: set[str]) -> Any:
    for name, wanted, marker in LOCKED.findall(
        Path(lock).read_text(encoding="utf-8") if lock else ""
    ):
        has = _has(name)
        if has is None or _plain(name) not in reached or has.version == wanted:
            continue
        if not marker or parse(f"x ; {marker}").marker.evaluate():
            yield f"{name} is {has.version}, not {wanted}"


def _twice() -> list[str]:
    versions = defaultdict(set)
    for path in {
        path for folder in sys.path if folder for path in Path(folder).glob("*.dist-info")
    }:
        name, _, number = path.name.removesuffix(".dist-info").partition("-")
        versions[_plain(name), str(path.parent)].add(number)
    return [
        f"{name} {' and '.join(sorted(each))} in {folder}"
        for (name, folder), each in sorted(versions.items())
        if len(each) > 1
    ]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
