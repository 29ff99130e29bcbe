"""report.html as markup. test_page.py looks at it in a browser."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report import (
    html,
    text,
)
from pipeline.store.folder import Store
from seqline.intervals import wilson_interval
from tests.support.report_pages import NASTY, TEXTS, Page
from tests.support.report_runs import LABELS, stages_of
from tests.support.reports import write_run, written


@given(TEXTS)
@settings(deadline=None)
def test_html_shows_a_text_as_it_is(value: str) -> None:
    template = html.environment().from_string('<p title="{{ value }}">{{ value }}</p>')
    page = Page(template.render(value=value))
    assert "".join(page.text) == text.clean(value)
    assert page.tags == [("p", {"title": text.clean(value)})]


def test_nothing_nasty_gets_out(store: Store) -> None:
    executions, files = stages_of(NASTY, NASTY)
    name = write_run(
        store, "one", executions, files, "failed", error=f"NotBlessedError: {NASTY[0]} {NASTY[5]}"
    )
    page, short, told = written(store, name)

    tags = {tag for tag, _ in Page(page).tags}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "form", "base"})

    for content in (page, short, json.dumps(told)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", content)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in short.replace("&lt;", "")
    assert [
        of_class["label"] for of_class in told["classes"]
    ] == NASTY  # for machines they are what they are
    assert re.findall(r'(?:src|href)="(?!#|data:,)', page) == []
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in page


def test_confusions_in_cells_and_figures_of_a_part_are_told(store: Store) -> None:
    executions, files = stages_of(LABELS, [])
    name, dense = files["evaluator"]
    _, _, whole = written(store, write_run(store, "dense", executions, files))
    cells = [
        (true, predicted, count)
        for true, counts in enumerate(dense["confusion_matrix"])
        for predicted, count in enumerate(counts)
        if count
    ]
    sample = {"num_learned": 5, "num_train": 1000, "num_asked": 100, "num_test": 1200}
    evaluation = {**dense, "confusion_matrix": None, "confusion_cells": cells}
    evaluation |= {"slices_left_out": {"label": 1234}, "linear_sample": sample}

    files["evaluator"] = (name, evaluation)
    page, _, told = written(store, write_run(store, "cells", executions, files))
    for part in ("pairs", "num_pairs", "num_wrong", "labels"):
        assert told["confusion"][part] == whole["confusion"][part]
    assert told["confusion"]["matrix"] is None

    shown = Page(page).shown
    assert "1,234 more slices, which have fewer rows, were judged by the gates" in shown
    assert (
        "The linear model learned from 5 of 1,000 rows, and answered 100 of 1,200 test rows."
        in shown
    )
    linear = told["compared"][-1]
    assert linear["accuracy_interval"] == pytest.approx(wilson_interval(linear["accuracy"], 100))


def test_many_classes_and_content_of_every_kind(store: Store) -> None:
    labels = [f"class {number:03}" for number in range(100)]
    page, _, told = written(store, write_run(store, "many", *stages_of(labels, ["a text"])))

    shown = Page(page).shown
    assert (
        "The 24 of 100 classes with the most errors are shown; the other 76 are combined." in shown
    )
    assert "The other 80 classes" in shown
    assert len(told["confusion"]["matrix"]) == 100
    assert len(page) < 400_000

    for number, content in enumerate(("tokens", "sequence")):
        page, _, told = written(
            store, write_run(store, str(number), *stages_of(LABELS, [], content))
        )
        Page(page)
        assert (told["data"]["content"], bool(told["data"]["tokens"])) == (
            content,
            content == "tokens",
        )


@given(
    st.integers(2, 12).flatmap(
        lambda num: st.lists(
            st.lists(st.integers(0, 9), min_size=num, max_size=num), min_size=num, max_size=num
        )
    )
)
def test_putting_classes_together_loses_no_row(matrix: list[list[int]]) -> None:
    labels, small = html.worst([str(number) for number in range(len(matrix))], matrix, 1)
    assert labels[1] == html.OTHERS
    assert sum(map(sum, small)) == sum(map(sum, matrix))
    chosen = int(labels[0])
    assert sum(small[0]) == sum(matrix[chosen])
    assert small[0][0] == matrix[chosen][chosen]
