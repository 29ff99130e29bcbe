"""`seqline history`."""

import json

from components.pusher import versions
from pipeline.report.history import history
from pipeline.store.folder import Store
from tests.support.reports import invoke


def test_history(three_runs: Store) -> None:
    by = {"host": "[b]here[/b]", "pid": 7, "user": "ann"}
    noted = {
        "time": "2026-01-01T12:00:00+00:00",
        "what": "promote",
        "version": 1,
        "instead_of": 3,
        "by": by,
    }

    (three_runs.root.parent / "served" / versions.HISTORY).write_text(
        f"{json.dumps(noted)}\nbroken\n"
    )

    runs = history(three_runs)
    assert [(run["verdict"], run["version"]) for run in runs] == [
        *(("pushed", 1), ("promote", 1), ("pushed", 2), ("rollback", 4), ("refused", None))
    ]
    assert [run["verdict"] for run in history(three_runs, 2)] == ["rollback", "refused"]

    shown, _ = invoke("history", "--root", str(three_runs.root))
    lines = shown.splitlines()
    assert lines[1].split()[:4] == ["2026-01-01", "00:00", "0001", "pushed"]
    assert lines[4] == "    by hand instead of 3 by process 7 on [b]here[/b] (ann)"
    assert lines[8] == "    by hand to version 1"
    assert lines[10].strip() == "\\x1b[31maccuracy[/] fell."
    assert (
        json.loads(invoke("history", "--root", str(three_runs.root), "--json", "-n", "1")[0])[0][
            "run"
        ]
        == "20260103-0003"
    )


def test_one_damaged_run_hides_no_other(three_runs: Store) -> None:
    (three_runs.root / "runs" / "20260102-0002" / "run.json").write_text("{")
    assert sorted(run["verdict"] for run in history(three_runs)) == [
        "damaged",
        "pushed",
        "refused",
        "rollback",
    ]
