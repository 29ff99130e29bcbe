"""Every input of the table is used as its user means it, or refused in one line."""

from pathlib import Path

import pytest

from tests.field.case import run
from tests.field.table import CASES


@pytest.mark.parametrize("name", sorted(CASES))
def test_input(name: str, tmp_path: Path) -> None:
    outcome = run(CASES[name], tmp_path)
    reason = CASES[name].wrong(outcome)
    assert not reason, f"{reason}: {outcome.said}"
