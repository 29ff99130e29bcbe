"""The part of a report about the data."""

from pipeline.store.folder import Store
from tests.support.report_pages import Page
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import write_run, written


def test_warnings_about_the_data_are_told_near_the_top(store: Store) -> None:
    executions, files = stages_of(LABELS, ["the lengths differ"])
    page, short, told = written(store, write_run(store, "one", executions, files))
    skipped = (
        "2 of 123 rows could not be used and were skipped: text (2). bad_rows in the Examples has"
        " the file and line of each."
    )
    assert told["warnings"] == [skipped, "test: the lengths differ."]
    assert page.index('id="warnings"') < page.index('id="compared"')
    shown = Page(page).shown
    assert f"2 warnings about the data {skipped} test: the lengths differ." in shown
    assert "- ⚠️ test: the lengths differ." in short


def test_warnings_of_other_versions_of_the_stages(store: Store) -> None:
    """A warning of the stage itself takes precedence over one derived from its file."""
    executions, files = stages_of(LABELS, ["a text"])
    executions["example_gen"]["figures"] |= {
        "num_bad_rows": 0,
        "warnings": ["The class 'x' has one row."],
    }
    executions["example_validator"]["figures"]["warnings"] = ["The splits differ"]
    _, _, told = written(store, write_run(store, "one", executions, files))
    assert told["warnings"] == ["The class 'x' has one row.", "The splits differ."]


def test_weights_of_train(store: Store) -> None:
    executions, files = stages_of(LABELS, ["a text"])
    page, _, told = written(store, write_run(store, "none", executions, files))
    assert told["data"]["weights"] is None
    assert "weights of train" not in Page(page).shown

    weights = {"sum": 185.0, "min": 0.0, "max": 2.5, "num_zeros": 40}
    executions["statistics_gen"]["figures"]["weights"] = {"train": weights}
    page, _, told = written(store, write_run(store, "one", executions, files))
    assert told["data"]["weights"] == weights
    assert "; the weights of train are from 0 to 2.5, 185 in all." in Page(page).shown
