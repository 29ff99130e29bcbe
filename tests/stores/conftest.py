"""Each store is started once, with one bucket; each test has a place of its own in it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import emulators
from tests.support.emulators import EMULATORS, Emulator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Emulator]]:
    """The stores that tests have asked for, by name."""
    started: dict[str, Emulator] = {}
    with ExitStack() as stack:

        class Started(dict[str, Emulator]):
            def __missing__(self, name: str) -> Emulator:
                start = getattr(emulators, name.replace("-", "_"))
                self[name] = stack.enter_context(start(tmp_path_factory.mktemp(name)))
                return self[name]

        started = Started()
        yield started


@pytest.fixture(params=list(EMULATORS))
def emulator(
    request: pytest.FixtureRequest, running: dict[str, Emulator], tmp_path: Path
) -> Iterator[Emulator]:
    """A store, with an empty place in it, which the environment of this process names."""
    yield from _given(running[request.param], request, tmp_path)


@pytest.fixture
def s3rver(
    request: pytest.FixtureRequest, running: dict[str, Emulator], tmp_path: Path
) -> Iterator[Emulator]:
    """The store without conditional puts."""
    yield from _given(running["s3rver"], request, tmp_path)


def _given(
    emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Emulator]:
    environment = emulator.environment | {"SEQLINE_CACHE": str(tmp_path / "cache")}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "AZURE_", "STORAGE_EMULATOR")):
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        place = f"{emulator.place}/{tmp_path.name.replace('[', '-').replace(']', '')}"
        yield replace(emulator, place=place, environment=environment)
