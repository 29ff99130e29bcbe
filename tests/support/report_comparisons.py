"""Runs on the same Examples, for the tests of comparisons."""

import json
from typing import Any

from pipeline.store.folder import Store
from seqline.intervals import wilson_interval
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import write_run


def write_runs_to_compare(store: Store, accuracies: list[float], **changed: Any) -> list[str]:
    """Writes runs with these accuracies on 2,000 rows, of which each is slower than the one before.

    Args:
        store: where to write.
        accuracies: one for each run.
        **changed: number of a run, as `run_1` -> fields of its evaluation.

    Returns:
        The names of the runs.
    """
    names = []
    for number, accuracy in enumerate(accuracies, start=1):
        executions, files = stages_of(LABELS, [])
        interval = wilson_interval(accuracy, 2000)
        measured = {
            "accuracy": accuracy,
            "accuracy_interval": interval,
            "macro_f1": accuracy,
            "macro_f1_interval": interval,
        }
        executions["evaluator"]["figures"] |= measured
        files["evaluator"][1].update(measured, **changed.get(f"run_{number}", {}))
        files["evaluator"][1]["classes"]["fruit"]["f1"] = accuracy
        executions["infra_validator"]["figures"]["digest"] = str(number) * 64
        executions["pusher"]["figures"]["version"] = number
        losses = [0.9, 0.9 - number / 100]
        files["trainer"] = ("history.json", {"val_accuracy": [0.5, accuracy], "val_loss": losses})

        name = f"2026010{number}T000000-000{number}"
        settings = {"rnn_units": 16 * number, "num_epochs": 2}
        names.append(
            write_run(
                store,
                name,
                executions,
                files,
                started=f"2026-01-0{number}T00:00:00+00:00",
                finished=f"2026-01-0{number}T00:0{number}:00+00:00",
                config={"example_gen": {"source": "rows.csv"}, "trainer": settings},
            )
        )
        _use(store, name, names[0])
    return names


def _use(store: Store, run: str, other: str) -> None:
    """Makes a run one on the Examples of another run."""
    path = store.root / "runs" / run / "run.json"
    record = json.loads(path.read_text())
    for stage in record["stages"]:
        if stage["component"] == "example_gen":
            stage["key"] = f"{other}-example_gen"
    path.write_text(json.dumps(record))
