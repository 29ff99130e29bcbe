"""Rows on which no model can be trained and measured, and the way out that the message names."""

from typing import Any

import pytest

from components.example_gen import ExampleGenParams
from components.example_gen.row_counts import RowCounts
from components.example_gen.splits import SPLIT_NAMES
from components.example_gen.validate import validate
from seqline.errors import DataError


@pytest.mark.parametrize(
    ("counts", "params", "message"),
    [
        (
            # One text under two labels: its digest puts all rows in one split.
            {"num_rows": {"eval": {"bad": 60, "good": 60}}, "contents": [7]},
            {},
            "The train split has no row (120 rows were read): the rows that are split by their"
            " content have one content, and equal contents are never in two splits. Is"
            " example_gen.text the right column? Otherwise say the splits: example_gen.source ="
            " {train = ..., eval = ..., test = ...}, or a column with example_gen.split.",
        ),
        (
            {"num_rows": {"eval": {"bad": 60}, "test": {"good": 60}}, "contents": [7, 8, 9]},
            {},
            "The train split has no row (120 rows were read). Add rows, or lower"
            " example_gen.eval_fraction or example_gen.test_fraction.",
        ),
        (
            {"num_rows": {"train": {"bad": 60}, "test": {"good": 60}}, "contents": [7, 8, 9]},
            {},
            "The eval split has no row (120 rows were read). Add rows, or raise"
            " example_gen.eval_fraction.",
        ),
        (
            {"num_rows": {"train": {"bad": 60}, "test": {"good": 60}}},
            {"source": {"train": "a", "dev": "b", "test": "c"}},
            "The eval split has no row (120 rows were read). Add rows to it: it is a split of the"
            " source's own.",
        ),
        (
            {
                "num_rows": {"train": {"bad": 60, "good": 60}, "eval": {"bad": 1}},
                "left_out": {"test": {"Bad": 5, "new": 2}},
            },
            {},
            "The test split has no row left: train has no row of every label in it ('Bad' (train"
            " has 'bad'), 'new'). Is example_gen.label the right column in every file? Add such"
            " rows to train.",
        ),
    ],
)
def test_an_empty_split_names_its_cause_and_a_way_out(
    counts: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    given = ExampleGenParams(**{"source": "a.csv", **params})
    own = {SPLIT_NAMES[name] for name in given.source} if "source" in params else {None}
    with pytest.raises(DataError) as raised:
        validate(RowCounts(num_read=120, **counts), given, own)
    assert str(raised.value) == message
