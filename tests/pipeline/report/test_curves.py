"""The ROC and the precision-recall curves of a report."""

from typing import Any

import pytest

from pipeline.report import curves
from pipeline.store.folder import Store
from tests.support.report_curves import curves_of
from tests.support.report_pages import Page
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import write_run, written

# Two rows of the class with 0.9 and 0.3, two others with 0.3 and 0.1.
CURVE: dict[str, Any] = {
    "num_positive": 2,
    "num_negative": 2,
    "thresholds": [0.0, 0.2, 0.5, 1.0],
    "true_positives": [2, 2, 1, 0],
    "false_positives": [2, 1, 0, 0],
}


def test_points_of_a_curve() -> None:
    assert curves.roc(CURVE) == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]
    # Above 0.9 no row is called positive, and there is no precision.
    assert curves.precision_recall(CURVE) == [(0, 1), (0.5, 1), (1, 2 / 3), (1, 0.5)]


@pytest.mark.parametrize(("at", "height"), [(0, 0.5), (0.25, 0.75), (0.5, 1), (0.75, 1), (1, 1)])
def test_a_line_between_its_points(at: float, height: float) -> None:
    assert curves.height(curves.roc(CURVE), at) == height


def test_the_mean_of_two_lines() -> None:
    diagonal = [(0.0, 0.0), (1.0, 1.0)]
    mean = curves.mean([diagonal, [(0.0, 1.0), (1.0, 1.0)]])
    assert (len(mean), mean[0], mean[25], mean[50]) == (51, (0, 0.5), (0.5, 0.75), (1, 1))


def test_the_threshold_of_the_highest_f1() -> None:
    # At 0.2: 2 * 2 / (2 + 2 + 1); at 0.5: 2 * 1 / (2 + 1 + 0).
    assert curves.best_threshold(CURVE) == {
        "threshold": 0.2,
        "precision": 2 / 3,
        "recall": 1,
        "f1": 0.8,
    }


def test_the_mean_and_the_worst_class_are_coloured_and_two_classes_each() -> None:
    of_classes, areas = curves_of(LABELS)
    rows = [{"label": label, **area} for label, area in areas.items()]
    drawn = curves.drawn(of_classes, rows)
    assert drawn is not None
    assert (drawn["num"], drawn["coloured"], drawn["worst"]) == (3, None, "metals")
    assert [drawn["roc"].count(f'class="line {style}"') for style in ("s1", "s2", "thin")] == [
        *(1, 1, 2)
    ]

    two = {label: of_classes[label] for label in LABELS[:2]}
    drawn = curves.drawn(two, rows)
    assert drawn is not None
    assert (drawn["coloured"], drawn["worst"]) == (LABELS[:2], None)
    assert drawn["roc"].count("<polyline") == 2
    assert curves.drawn({}, []) is None


def test_an_evaluation_of_an_earlier_version_has_no_curves(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    page, _, told = written(store, write_run(store, "new", executions, files))
    assert list(told["curves"]) == LABELS
    assert "ROC and precision-recall" in Page(page).shown

    del files["evaluator"][1]["curves"]
    page, _, told = written(store, write_run(store, "old", executions, files))
    assert told["curves"] == {}
    assert "ROC and precision-recall" not in Page(page).shown


def test_a_damaged_curve_is_told_and_its_file_left_out(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    files["evaluator"][1]["curves"]["fruit"]["true_positives"] = ["many"]
    _, _, told = written(store, write_run(store, "one", executions, files))
    assert told["compared"] == []
    assert "curves.fruit.true_positives.0: Input should be a valid integer" in told["warnings"][0]
