"""A report as a whole: its figures are the records', and a run that ended early has one, too."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import report
from pipeline.report import (
    markdown,
    model,
    units,
)
from pipeline.store.folder import Store
from seqline.component import Figures
from seqline.intervals import wilson_interval
from tests.support.report_pages import Page
from tests.support.report_runs import LABELS, STAGES, stages_of
from tests.support.reports import write_run, written


def test_the_figures_are_those_of_the_evaluation(
    store: Store, evaluation: Path, model: Path, figures: dict[str, Figures]
) -> None:
    """Checked on a model that was really trained and measured."""
    measured = json.loads((evaluation / "evaluation.json").read_text())
    executions, files = stages_of(LABELS, [], with_served=False)
    executions["evaluator"]["figures"], executions["trainer"]["figures"] = (
        figures["evaluator"],
        figures["trainer"],
    )
    files |= {
        "evaluator": ("evaluation.json", measured),
        "trainer": ("history.json", json.loads((model / "history.json").read_text())),
    }

    page, short, told = written(store, write_run(store, "one", executions, files))
    assert told["classes"] == [
        {"label": label, **of_class} for label, of_class in measured["classes"].items()
    ]
    assert told["confusion"]["matrix"] == measured["confusion_matrix"]
    assert told["slices"] == measured["slices"]
    assert told["calibration"] == {"ece": measured["ece"], "curve": measured["calibration"]}
    assert told["curves"] == measured["curves"]
    assert list(told["curves"]) == list(measured["classes"])
    assert told["examples"] == {name: measured[name] for name in ("hardest", "confidently_wrong")}
    assert [gate for gate in told["gates"] if gate["stage"] == "evaluator"] == [
        {"stage": "evaluator", **gate} for gate in measured["gates"]
    ]
    assert told["training"]["history"] == json.loads((model / "history.json").read_text())

    candidate, majority, linear = told["compared"]
    assert {
        name: candidate[name]
        for name in ("accuracy", "accuracy_interval", "macro_f1_interval", "cross_entropy")
    } == {
        name: measured[name]
        for name in ("accuracy", "accuracy_interval", "macro_f1_interval", "cross_entropy")
    }
    assert {baseline["name"]: baseline["accuracy"] for baseline in (majority, linear)} == measured[
        "baselines"
    ]

    num = measured["num_rows"]
    assert linear["accuracy_interval"] == pytest.approx(
        wilson_interval(linear["accuracy"], num), abs=1e-15
    )

    shown = "".join(Page(page).text)
    for value in (candidate["accuracy"], *(of_class["f1"] for of_class in told["classes"])):
        assert units.share(value) in shown
    assert f"{candidate['cross_entropy']:.3f} nats" in shown
    assert f"| **this model** | {units.share(candidate['accuracy'])} |" in short


def test_against_the_served_version(store: Store) -> None:
    executions, files = stages_of(LABELS, ["a text"])
    page, short, told = written(store, write_run(store, "one", executions, files, seqline="1.2.3"))
    served = files["evaluator"][1]["served"]

    assert told["verdict"] | {"sentences": []} == {
        "name": "pushed",
        "tone": "good",
        "headline": "Pushed as version 2",
        "cautions": [],
        "sentences": [],
        "error": None,
        "trace": None,
        "exit_code": None,
        "bootstrap": None,
        "start": None,
        "changed": [],
    }
    assert (
        told["compared"][1]
        | {
            "role": "served",
            "name": "served, version 1",
            "accuracy": served["accuracy"],
        }
        == told["compared"][1]
    )

    gain = f"{-100 * served['loss_of_accuracy']:+.1f} points"
    assert (
        f"Against the served version 1 on the same rows: {gain} ("
        in told["verdict"]["sentences"][1]
    )
    assert gain in "".join(Page(page).text)
    assert gain in short
    assert told["next_steps"] is None
    assert told["commands"]["rollback"] == "seqline rollback --serving-dir '/served here' --to 1"
    assert told["seconds"] == 66.5
    assert told["digests"]["data"] == "digest of the data"
    assert told["digests"]["code"] == {stage: f"code of {stage}" for stage in STAGES}
    assert told["training"]["history"]["val_loss"] == [0.9, None]  # NaN is no JSON
    assert told["seqline"] == "1.2.3"


def test_listed_rows_are_said_to_be_where_the_user_has_them(store: Store) -> None:
    page, short, told = written(
        store, write_run(store, "one", *stages_of(LABELS, ["one", "two", "three", "four"]))
    )
    places = [
        "data/reviews.csv:12",
        "data/reviews.parquet, row 1,013",
        "texts/animals/2.txt",
        "row 8 of data_tfrecord-00000-00000-00000.gz",
    ]

    shown = "".join(Page(page).text)
    for place, example in zip(places, told["examples"]["confidently_wrong"], strict=True):
        assert model.place(example).startswith(place)
        assert place in shown
    assert "- data/reviews.csv:12: animals, predicted metals (99.0%)" in short

    rows = [(row["shard"], row["row"]) for listed in told["examples"].values() for row in listed]
    assert len(set(rows)) == len(rows) == 8


@pytest.mark.parametrize("num", range(len(STAGES)))
def test_a_run_that_ended_half_way_says_what_is_missing(store: Store, num: int) -> None:
    executions, files = stages_of(LABELS, ["a text"])
    reached = {stage: executions[stage] for stage in STAGES[:num]}
    page, short, told = written(
        store, write_run(store, "half", reached, files, "failed", error="UserError: it broke.")
    )

    missing = list(STAGES[num:])
    assert [
        stage["component"] for stage in told["stages"] if stage["state"] == "not reached"
    ] == missing

    shown = Page(page).shown
    assert (
        "Learning curves: need the result of trainer, which the run did not reach." in shown
    ) == ("trainer" in missing)

    of_evaluator = (
        "Comparison, classes, confusion matrix, slices, calibration, wrong and uncertain answers:"
        " need the result of evaluator, which the run"
    )
    assert (of_evaluator in shown) == ("evaluator" in missing)
    assert ('id="confusion"' in page) != ("evaluator" in missing)
    assert told["verdict"]["headline"] == "Failed"
    assert "**it broke.**" in short


def test_artifacts_that_are_gone_or_damaged(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    name = write_run(store, "one", executions, files)
    (store.path("trainer", "one-trainer") / "execution.json").unlink()
    (store.path("evaluator", "one-evaluator") / "evaluation.json").write_text("{")
    page, _, told = written(store, name)
    assert [
        stage["state"] for stage in told["stages"] if stage["component"] in ("trainer", "evaluator")
    ] == ["gone", "made"]
    shown = Page(page).shown
    assert "Learning curves: need the result of trainer, whose artifact is gone." in shown
    assert "wrong and uncertain answers: need the result of evaluator, which has none." in shown


def test_a_report_that_fails_says_so_and_fails_no_run(store: Store) -> None:
    said: list[str] = []
    folder = store.root / "runs" / "one"
    assert report.report_run(store, folder, said.append) is None  # no record: the run did not begin
    assert said == []
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{")
    assert report.report_run(store, folder, said.append) is None
    assert len(said) == 1
    assert re.match(r"The report of one could not be written: .*run\.json is damaged", said[0])


def test_the_summary_is_appended_to_the_step_summary(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    executions, files = stages_of(LABELS, [])
    path = report.write_report(
        store, store.root / "runs" / write_run(store, "one", executions, files)
    )
    assert summary.read_text() == "before\n" + (path.parent / "report.md").read_text()
    assert summary.read_text().splitlines()[1] == markdown.WATERMARK
    report.write_report(store, "one", summary=False)
    assert summary.read_text().count(markdown.WATERMARK) == 1


def test_neither_tensorflow_nor_beam_nor_numpy(store: Store) -> None:
    write_run(store, "one", *stages_of(LABELS, ["a text"]))
    code = f"""
import sys
from pipeline import report
from pipeline.store import Store
report.write_report(Store({str(store.root)!r}), "one", summary=False)
print(sorted({{"tensorflow", "apache_beam", "numpy", "google.protobuf"}} & set(sys.modules)))
"""

    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, "PYTHONPATH": os.getcwd()},
    )

    assert done.stdout.strip() == "[]"
