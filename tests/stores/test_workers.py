"""Several workers with a root in a store that others wrote."""

from pathlib import Path

import pytest

from tests.support.emulators import Emulator
from tests.support.several_workers import check_killed_and_again

pytestmark = pytest.mark.stores


@pytest.mark.parametrize("emulator", ["moto"], indirect=True)
def test_workers_are_killed_and_go_on_to_the_bits_of_a_folder(
    emulator: Emulator, corpus: Path, tmp_path: Path
) -> None:
    check_killed_and_again(f"{emulator.place}/root", corpus, tmp_path)
