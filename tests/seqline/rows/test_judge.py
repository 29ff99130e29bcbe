"""Rows of several content columns, of a column of splits, of weights, and of constants."""

from typing import Any

import pytest

from seqline.errors import UserError
from seqline.rows.judge import judge, require
from seqline.rows.row import BadRow, Row, RowFormat

FORMAT = RowFormat("example_gen", text=("title", "body"), label="label", split="fold", weight="w")


def judged(*values: Any, format_: RowFormat = FORMAT, flat: bool = False) -> Row | BadRow:
    return judge(format_, flat)(values, "f", 1)


def test_contents_are_joined_by_a_space() -> None:
    row = Row(b"Hello the world", b"x", "f", 1, (), "test", 2.5)
    assert judged("Hello", "the world", "x", "test", "2.5") == row


@pytest.mark.parametrize("title", [None, "", "\\N"])
def test_a_column_without_a_content_is_passed_over(title: str | None) -> None:
    assert judged(title, "the world", "x", "train", 1)[0] == b"the world"


@pytest.mark.parametrize(
    ("values", "reason", "problem"),
    [
        ((None, None, "x", "train", 1), "the text is None, not a string", "missing text"),
        (("", "", "x", "train", 1), "the text is empty", "empty text"),
        (("a", 7, "x", "train", 1), "the content in 'body' is 7, not a string", "type"),
        (("\\N", "\\N", "x", "train", 1), "the text is \\N, a NULL", "missing text"),
        (("a", "b", None, "train", 1), "the label is None, not", "missing label"),
        (("a", "b", "x", None, 1), "the split is None, not a name", "split"),
        (("a", "b", "x", " ", 1), "the split is ' ', not a name", "split"),
        (("a", "b", "x", "train", "heavy"), "the weight is 'heavy', not a number", "weight"),
        (("a", "b", "x", "train", -0.5), "the weight is -0.5, not a number of 0 or", "weight"),
        (("a", "b", "x", "train", "nan"), "the weight is 'nan', not a number", "weight"),
        (("a", "b", "x", "train", True), "the weight is True, not a number", "weight"),
        (("a", "b", "x", "train", None), "the weight is None, not a number", "weight"),
    ],
)
def test_rows_that_cannot_be_used(values: tuple[Any, ...], reason: str, problem: str) -> None:
    row = judged(*values)
    assert isinstance(row, BadRow)
    assert row.reason.startswith(reason)
    assert row.problem == problem


def test_tokens_of_several_columns() -> None:
    format_ = RowFormat("example_gen", content="tokens", text=("a", "b"), label="label")
    assert judged(["x"], ["y", "z"], "l", format_=format_)[0] == [b"x", b"y", b"z"]
    assert judged("x", "y z", "l", format_=format_, flat=True)[0] == [b"x", b"y", b"z"]


def test_constants_take_the_place_of_columns() -> None:
    format_ = RowFormat("example_gen", label="label", split="fold").at("d/label=pos/a.csv")
    assert judged("good", "test", format_=format_) == Row(b"good", b"pos", "f", 1, (), "test")


def test_columns_to_keep_come_last() -> None:
    format_ = RowFormat("bulk_inferrer", text=("a", "b"), keep=("id", "day")).at("d/day=3/a.csv")
    assert judged("x", "y", 7, format_=format_) == Row(b"x y", b"", "f", 1, (7, "3"))


def test_a_missing_column_may_be_one_of_the_path() -> None:
    format_ = RowFormat("example_gen", label="label")
    with pytest.raises(UserError) as raised:
        require(["text"], "d/Label=pos/a.csv", format_)
    assert str(raised.value) == (
        "d/Label=pos/a.csv has no column 'label' (example_gen.label); it has 'text', and 'Label' in"
        " its path. Did you mean 'Label'? Set example_gen.label to one of them."
    )

    with pytest.raises(UserError) as raised:
        require([], "a.tfrecord", format_, "feature")
    assert str(raised.value) == (
        "a.tfrecord has no feature 'text' (example_gen.text); it has none. Write the file again"
        " with its features."
    )
