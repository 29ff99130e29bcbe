"""References to a run are resolved."""

import pytest

from pipeline.report import reference
from pipeline.store.folder import Store
from seqline.errors import UserError


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("latest", 3),
        ("previous", 2),
        ("served", 1),
        ("2", 2),
        ("20260101", 1),
        ("-0003", 3),
        ("20260102-0002", 2),
    ],
)
def test_references(three_runs: Store, name: str, run: int) -> None:
    assert reference.find(three_runs, name) == f"2026010{run}-000{run}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2026", "There is no run '2026' under .*; 3 runs match: "),
        ("gone", "There is no run 'gone' under .*; the last runs are 20260101-0001, "),
        ("", "There is no run ''"),
        ("9", "There is no run '9' under "),
    ],
)
def test_references_to_none_or_several(three_runs: Store, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reference.find(three_runs, name)
