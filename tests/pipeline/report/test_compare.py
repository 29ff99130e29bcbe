"""`seqline compare`."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.folder import Store
from seqline.intervals import wilson_interval
from tests.support.report_comparisons import write_runs_to_compare
from tests.support.report_pages import Page
from tests.support.reports import invoke


def compared(store: Store, *runs: str) -> dict[str, Any]:
    shown, error = invoke("compare", *runs, "--root", str(store.root), "--json")
    assert error is None
    found: dict[str, Any] = json.loads(shown)
    return found


def figure(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in comparison["figures"] if row["name"] == name)


def test_compare(three_runs: Store) -> None:
    comparison = compared(three_runs, "1", "latest")
    assert [run["run"] for run in comparison["runs"]] == ["20260101-0001", "20260103-0003"]
    assert comparison["parameters"] == [{"name": "trainer.rnn_units", "values": [1, 3]}]
    assert comparison["comparable"] is False  # the keys of the fixture's Examples differ
    assert comparison["gains"] == [None, None]
    accuracy = figure(comparison, "accuracy")
    assert (accuracy["difference"], accuracy["better"], accuracy["best"]) == (None, None, [])
    assert figure(comparison, "num_parameters")["difference"] is not None  # of no rows
    shown, _ = invoke("compare", "1", "latest", "--root", str(three_runs.root))
    assert "Measured on different data: the figures of the models cannot be compared." in shown
    assert re.search(r"trainer\.rnn_units +1 +3", shown)
    assert re.search(r"epoch +val_accuracy A", shown)


def test_several_runs_with_the_best_of_each_figure(store: Store) -> None:
    write_runs_to_compare(store, [0.9, 0.92, 0.92, 0.88])
    comparison = compared(store, "1", "2", "3", "4")

    assert comparison["comparable"] is True
    accuracy = figure(comparison, "accuracy")
    assert accuracy["values"] == [0.9, 0.92, 0.92, 0.88]
    assert accuracy["best"] == [1, 2]
    assert accuracy["differences"] == [None, *(pytest.approx(by) for by in (0.02, 0.02, -0.02))]
    assert accuracy["intervals"][0] == list(wilson_interval(0.9, 2000))
    assert "better" not in accuracy
    assert figure(comparison, "seconds")["best"] == [0]  # less is better
    assert figure(comparison, "num_parameters")["best"] == []  # all are equal
    assert comparison["classes"][0]["label"] == "fruit"
    assert comparison["classes"][0]["best"] == [1, 2]
    assert comparison["parameters"] == [{"name": "trainer.rnn_units", "values": [16, 32, 48, 64]}]
    assert comparison["digests"] == [
        {"name": "model", "values": [str(number) * 64 for number in (1, 2, 3, 4)]}
    ]
    assert [values[-1] for values in comparison["history"]["val_accuracy"]] == [
        *(0.9, 0.92, 0.92, 0.88)
    ]


def test_a_gain_is_of_the_same_rows_where_one_was_measured_against_the_other(
    store: Store,
) -> None:
    served = {
        "digest": "1" * 64,
        "loss_of_accuracy": -0.02,
        "loss_interval": [-0.03, -0.01],
        "num_gained": 50,
        "num_lost": 10,
    }
    write_runs_to_compare(store, [0.9, 0.92, 0.88], run_2={"served": served})

    _, second, third = compared(store, "1", "2", "3")["gains"]
    assert second == {
        "accuracy": 0.02,
        "interval": [0.01, 0.03],
        "paired": True,
        "num_gained": 50,
        "num_lost": 10,
    }
    # The other way round, what was gained is lost.
    assert compared(store, "2", "1")["gains"][1] == {
        "accuracy": -0.02,
        "interval": [-0.03, -0.01],
        "paired": True,
        "num_gained": 10,
        "num_lost": 50,
    }

    (low, high), (least, most) = wilson_interval(0.9, 2000), wilson_interval(0.88, 2000)
    assert (third["paired"], third["accuracy"]) == (False, pytest.approx(-0.02))
    assert third["interval"] == pytest.approx(
        [
            -0.02 - math.hypot(0.88 - least, high - 0.9),
            -0.02 + math.hypot(most - 0.88, 0.9 - low),
        ]
    )


def test_six_runs_fit_into_80_columns_and_more_have_tables_of_their_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs_to_compare(store, [0.9, 0.92, 0.91, 0.88, 0.95, 0.5])

    def shown(columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        runs = [str(number) for number in range(1, 7)]
        return invoke("compare", *runs, "--root", str(store.root))[0].splitlines()

    lines = shown(80)
    assert [line for line in lines if line.startswith("figure")] == [
        "figure                  A          B          C          D          E          F"
    ]
    assert [line.split() for line in lines if line.startswith("accuracy  ")] == [
        ["accuracy", "90.00%", "92.00%", "91.00%", "88.00%", "*95.00%", "50.00%"]
    ]
    assert max(len(line) for line in lines if " - " not in line) <= 80
    assert "accuracy B - A: +2.00 points (95%: +0.22 to +3.78), from independent samples" in lines

    lines = shown(40)
    heads = [line.split() for line in lines if line.startswith("figure")]
    assert heads == [["figure", "A", "B"], ["figure", "C", "D"], ["figure", "E", "F"]]
    assert max(len(line) for line in lines[13:30]) <= 40


def test_markdown_and_a_page(store: Store, tmp_path: Path) -> None:
    write_runs_to_compare(store, [0.9, 0.92, 0.88])
    root = ["--root", str(store.root)]
    shown, _ = invoke("compare", "1", "2", "3", "--markdown", *root)
    assert (
        "| accuracy | 90.00% (88.6-91.2) | **92.00%** (90.7-93.1) | 88.00% (86.5-89.4) |" in shown
    )
    assert "| `trainer.rnn_units` | `16` | `32` | `48` |" in shown

    path = tmp_path / "page.html"
    assert invoke("compare", "1", "2", "3", "--html", str(path), *root)[0].strip() == str(path)
    page = path.read_text(encoding="utf-8")
    told = Page(page).shown
    assert "3 runs compared" in told
    assert "accuracy B - A: +2.00 points" in told
    assert page.count("<svg id=") == 4  # learning curves, ROC, precision-recall
    for style in ("s1", "s2", "s3"):
        assert page.count(f'<polyline class="line {style}"') == 4

    for place, why in ((tmp_path / "none" / "page", "No such file or"), (store.root, "Is a")):
        _, error = invoke("compare", "1", "2", "--html", str(place), *root)
        assert str(error) == (
            f"--html {place} cannot be written ({why} directory). Name another file."
        )


def test_what_cannot_be_compared(three_runs: Store) -> None:
    root = ["--root", str(three_runs.root)]
    assert str(invoke("compare", "1", *root)[1]) == (
        "compare needs two runs or more, such as 1 and latest."
    )
    assert str(invoke("compare", "1", "2", "--json", "--markdown", *root)[1]) == (
        "--json and --markdown both print: leave one of them out."
    )
    assert str(invoke("compare", "1", "2", "9", *root)[1]).startswith("There is no run '9' under")
