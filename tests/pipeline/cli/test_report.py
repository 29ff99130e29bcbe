"""`seqline report`, and errors of the commands about reports."""

import json
from pathlib import Path

import pytest

from pipeline.store.folder import Store
from tests.support.reports import invoke, write_three_runs


@pytest.fixture
def three_runs(tmp_path: Path) -> Store:
    """See `write_three_runs`."""
    store = Store(tmp_path / "root")
    write_three_runs(store)
    return store


def test_report_command(three_runs: Store) -> None:
    shown, _ = invoke("report", "2", "--root", str(three_runs.root))
    assert shown.strip() == str(three_runs.root / "runs" / "20260102-0002" / "report.html")
    assert (
        json.loads(invoke("report", "--json", "--root", str(three_runs.root))[0])["run"]
        == "20260103-0003"
    )


def test_errors_of_the_commands(
    tmp_path: Path, three_runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    for name in ("report", "history"):
        _, error = invoke(name, "--root", str(tmp_path / "none"))
        assert str(error).startswith("There is no folder ")
    (tmp_path / "empty").mkdir()
    assert str(invoke("history", "--root", str(tmp_path / "empty"))[1]).startswith(
        "No run has been recorded under "
    )
    assert str(invoke("report", "--summary", "--root", str(three_runs.root))[1]).startswith(
        "--summary needs GITHUB_STEP_SUMMARY"
    )
