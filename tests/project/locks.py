"""The pins of the locks, and the requirements of their packages, on every system and Python."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
ELSEWHERE: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("locked_elsewhere.json").read_text(encoding="utf-8")
)
# The extras that a lock is for.
LOCKS = {
    "requirements.lock": [
        *("sample", "serve", "tune", "gcp", "stores"),
        *("mlflow", "openlineage", "wandb", "openvino", "docs", "test", "dev"),
    ],
    "requirements-gcp.lock": ["sample", "serve", "tune", "gcp", "stores"],
    "requirements-runtime.lock": ["sample", "serve", "tune"],
}
NO_TOOLS = ("requirements-gcp.lock", "requirements-runtime.lock")
SYSTEMS = {
    "Linux x86-64": ("linux", "Linux", "x86_64"),
    "macOS arm64": ("darwin", "Darwin", "arm64"),
}
PYTHONS = ("3.11", "3.12", "3.13")
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))?((?: \\\n   "
    r" --hash=sha256:[0-9a-f]{64})+)$",
    re.MULTILINE,
)

# The requirements of a version of a distribution.
Asks = Callable[[str, str], list[str]]


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    marker: str


def pins(text: str) -> list[Pin]:
    return [
        Pin(canonicalize_name(name), version, marker)
        for name, version, marker, _ in PIN.findall(text)
    ]


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Every supported system with every supported Python, as markers see it."""
    for system, (platform, name, machine) in SYSTEMS.items():
        for python in PYTHONS:
            facts = {
                "sys_platform": platform,
                "platform_system": name,
                "platform_machine": machine,
                "os_name": "posix",
            }

            facts |= {
                "python_version": python,
                "python_full_version": f"{python}.0",
                "implementation_version": f"{python}.0",
            }

            yield (
                f"{system}, Python {python}",
                {
                    **facts,
                    "implementation_name": "cpython",
                    "platform_python_implementation": "CPython",
                },
            )


@cache
def asked_by(name: str, version: str) -> list[str]:
    """The requirements of a locked version."""
    try:
        if distribution(name).version == version:
            return distribution(name).requires or []
    except PackageNotFoundError:
        pass
    return ELSEWHERE[f"{name}=={version}"]


parsed = cache(Requirement)
marker_of = cache(Marker)


def holds(marker: object, facts: dict[str, str], extra: str = "") -> bool:
    """Whether an environment satisfies a marker; True without a marker."""
    return not marker or bool(marker_of(str(marker)).evaluate({**facts, "extra": extra}))


def gaps(text: str, wanted: Sequence[str], asks: Asks = asked_by, without: str = "") -> set[str]:
    """The requirements that are not pinned, in any environment.

    Args:
        text: of the lock.
        wanted: requirements of pyproject.toml; those of pinned packages are added.
        asks: gives the requirements of a locked version.
        without: a requirement with an extra that is left out on purpose, such as apache-beam[gcp].
    """
    return set().union(
        *(_gaps(text, wanted, asks, without, where, facts) for where, facts in environments())
    )


def _gaps(
    text: str, wanted: Sequence[str], asks: Asks, without: str, where: str, facts: dict[str, str]
) -> Iterator[str]:
    here = [pin for pin in pins(text) if holds(pin.marker, facts)]
    locked = {pin.name: pin.version for pin in here}
    if len(locked) < len(here):
        yield f"{where}: a package is pinned twice"
    todo = [("seqline", parsed(line)) for line in wanted]
    done = set()

    for name in locked:
        todo += [
            (name, parsed(line))
            for line in asks(name, locked[name])
            if holds(parsed(line).marker, facts)
        ]

    while todo:
        asker, asked = todo.pop()
        name = canonicalize_name(asked.name)
        if name not in locked:
            yield f"{asker} needs {name}{asked.specifier}, which is not in the lock ({where})"
            continue

        if not asked.specifier.contains(locked[name], prereleases=True):
            yield f"{asker} needs {name}{asked.specifier}, locked is {locked[name]} ({where})"
        for extra in asked.extras:
            if (name, extra) in done or f"{name}[{extra}]" == without:
                continue
            done.add((name, extra))
            lines = map(parsed, asks(name, locked[name]))
            todo += [
                (f"{name}[{extra}]", line)
                for line in lines
                if holds(line.marker, facts, extra) and not holds(line.marker, facts)
            ]


def reached(text: str, wanted: Sequence[str], without: str = "") -> set[str]:
    """The pinned packages that requirements lead to, in any environment.

    Args:
        text: of the lock.
        wanted: requirements of pyproject.toml.
        without: see `gaps`.
    """
    names: set[str] = set()
    for _, facts in environments():
        locked = {pin.name: pin.version for pin in pins(text) if holds(pin.marker, facts)}
        todo, done = [parsed(line) for line in wanted], set[tuple[str, str]]()
        while todo:
            asked = todo.pop()
            name = canonicalize_name(asked.name)
            extras = [extra for extra in asked.extras if f"{name}[{extra}]" != without]
            for extra in {"", *extras}:
                if name in locked and (name, extra) not in done:
                    done.add((name, extra))
                    lines = map(parsed, asked_by(name, locked[name]))
                    todo += [line for line in lines if holds(line.marker, facts, extra)]
        names |= {name for name, _ in done}
    return names


def wanted_by(lock: str) -> list[str]:
    return [
        *PROJECT["dependencies"],
        *(line for extra in LOCKS[lock] for line in PROJECT["optional-dependencies"][extra]),
    ]


def read(lock: str) -> str:
    return (CHECKOUT / lock).read_text()
