"""`seqline history`."""

import json
from typing import Any

import pytest

from components.pusher import versions
from pipeline.report.history import history
from pipeline.store.folder import Store
from pipeline.store.records import Execution
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import invoke, write_run


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


@pytest.mark.parametrize(
    ("ended", "uses", "more", "why"),
    [
        (
            3,
            5,
            {
                "verdict": "stopped",
                "error": "StoppedError: stopped at step 120 of 800 by SIGTERM; the same command"
                " goes on from there",
            },
            "example_validator: stopped at step 120 of 800 by SIGTERM; the same command goes on"
            " from there",
        ),
        (
            3,
            5,
            {"verdict": "stopped", "error": "StoppedError: stopped before example_validator by x"},
            "stopped before example_validator by x",
        ),
        (2, 3, {"verdict": "failed", "error": "UserError: no number."}, "schema_gen: no number."),
        (0, 0, {"verdict": "failed", "error": "UserError: no such file."}, "no such file."),
        (3, 3, {"verdict": "failed", "error": "UserError: disk full."}, "disk full."),
        (2, 2, {"verdict": "failed", "error": "DataError: an anomaly."}, "an anomaly."),
        (0, 1, {"verdict": "failed"}, "it ended in example_gen, without a reason"),
        (
            1,
            2,
            {"verdict": "running"},
            "no end was recorded: it still runs, or was killed in statistics_gen",
        ),
        (
            0,
            0,
            {"verdict": "running"},
            "no end was recorded: it still runs, or was killed before the first stage",
        ),
        (
            2,
            2,
            {"verdict": "running"},
            "no end was recorded: it still runs, or was killed after statistics_gen",
        ),
        (
            1,
            2,
            {
                "verdict": "stopped",
                "error": "StoppedError: stopped at step 1 by SIGINT",
                "retrain": {
                    "verdict": "interrupted",
                    "exit_code": 50,
                    "reason": "stopped at step 1 by SIGINT",
                },
            },
            "statistics_gen: stopped at step 1 by SIGINT",
        ),
        (2, 2, {"verdict": "finished"}, "nothing had to run"),
    ],
)
def test_a_run_that_was_cut_short_says_where_and_why(
    ended: int, uses: int, more: dict[str, Any], why: str, store: Store
) -> None:
    executions, files = stages_of(LABELS, [])
    stages = list(executions)
    write_run(
        store,
        "20260101-0001",
        {name: executions[name] for name in stages[:ended]},
        files,
        cached=tuple(stages),
        uses={name: ["key"] for name in stages[:uses]},
        **more,
    )
    [entry] = history(store)
    assert entry["why"] == why


def listed(store: Store, *options: str) -> list[str]:
    """The runs that the command lists, by their last digit, and events by their verdict."""
    shown, error = invoke("history", "--root", str(store.root), "--json", *options)
    assert error is None
    return [entry["run"][-1] if entry["run"] else entry["verdict"] for entry in json.loads(shown)]


@pytest.fixture
def measured(three_runs: Store) -> Store:
    """The three runs with accuracies of 0.9, 0.7 and none."""
    for number, accuracy in ((1, 0.9), (2, 0.7), (3, None)):
        name = f"2026010{number}-000{number}"
        path = three_runs.path("evaluator", f"{name}-evaluator") / "execution.json"
        if accuracy is None:
            path.unlink()
            continue
        execution = Execution.read(path)
        execution.figures["accuracy"] = accuracy
        execution.write(path)
    return three_runs


def test_the_order_of_a_column_and_what_has_no_value_last(measured: Store) -> None:
    assert listed(measured) == ["1", "2", "rollback", "3"]
    assert listed(measured, "--reverse") == ["3", "rollback", "2", "1"]
    assert listed(measured, "--sort", "accuracy") == ["1", "2", "rollback", "3"]
    assert listed(measured, "--sort", "accuracy", "--reverse") == ["2", "1", "rollback", "3"]
    assert listed(measured, "--sort", "accuracy", "-n", "1") == ["1"]
    assert listed(measured, "--sort", "version") == ["rollback", "2", "1", "3"]
    assert listed(measured, "--sort", "when", "--limit", "2") == ["3", "rollback"]
    assert listed(measured, "--sort", "verdict") == ["1", "2", "3", "rollback"]

    shown, _ = invoke("history", "--root", str(measured.root), "--sort", "macro_f1")
    assert shown.splitlines()[0].split()[-5:] == [
        *("accuracy", "macro_f1", "served", "version", "took")
    ]


def test_filters(measured: Store) -> None:
    assert listed(measured, "--verdict", "pushed") == ["1", "2"]
    assert listed(measured, "--verdict", "refused", "--verdict", "rollback") == ["rollback", "3"]
    assert listed(measured, "--since", "2026-01-02") == ["2", "rollback", "3"]
    assert listed(measured, "--until", "2026-01-02T00:00:00Z") == ["1"]
    assert listed(measured, "--min-accuracy", "0.9") == ["1"]
    assert listed(measured, "--where", "trainer.rnn_units=2") == ["2"]
    assert listed(measured, "--where", "trainer.rnn_units=2", "--verdict", "refused") == []
    # The last run that matches, not the last run if it matches.
    assert listed(measured, "--verdict", "pushed", "-n", "1") == ["2"]
    shown, _ = invoke("history", "--root", str(measured.root), "--min-accuracy", "1")
    assert shown == "No run matches.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--sort", "acuracy"],
            "--sort 'acuracy' is no column; columns are when, run, model, verdict, accuracy,"
            " macro_f1, cross_entropy, served, version, took. Did you mean 'accuracy'?",
        ),
        (
            ["--verdict", "pusht"],
            "--verdict 'pusht' does not exist; verdicts are pushed, nothing new, finished,",
        ),
        (["--since", "soon"], "--since 'soon' is no date; write 2026-01-31 or 2026-01-31T18:00"),
        (["--where", "rnn_units=2"], "--where 'rnn_units=2' names no setting; write it as "),
        (["--where", "trainer.rnn_units"], "--where 'trainer.rnn_units' has no value; write it"),
    ],
)
def test_options_that_are_none(three_runs: Store, options: list[str], message: str) -> None:
    _, error = invoke("history", "--root", str(three_runs.root), *options)
    assert str(error).startswith(message)
