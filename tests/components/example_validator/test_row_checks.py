"""Rare classes, bad rows, small splits, copies and dead sensors."""

from pathlib import Path

import pytest

from seqline.errors import DataError
from tests.support.validated import chain, good_rows, good_sequences


def test_classes_that_example_gen_left_out_are_told(tmp_path: Path) -> None:
    rare = [
        {
            "label": "nuts",
            "num_rows": {"test": 2},
            "place": "test.csv:7",
            "done": "left out",
            "is_unseen": True,
        },
        {
            "label": "tools",
            "num_rows": {"train": 1, "eval": 1},
            "place": "train.csv:3",
            "done": "left out",
            "is_unseen": False,
        },
        {
            "label": "trees",
            "num_rows": {"train": 1},
            "place": "train.csv:9",
            "done": "kept",
            "is_unseen": False,
        },
    ]
    figures = chain(tmp_path / "inferred", {1: good_rows()}, rare_classes=rare)

    assert (figures["num_errors"], figures["kinds"]) == (0, ["rare_class", "unseen_class"])
    assert figures["warnings"] == [
        (
            "test split, label: 1 class has no row in train, and its rows are left out: 'nuts' (2"
            " rows in test, the first at test.csv:7). Accuracy is measured without them (2 of 32"
            " rows of test). Add rows of it to train, correct the labels, or choose with"
            " example_gen.rare_classes."
        ),
        (
            "train split, label: 1 class has fewer rows in train than example_gen.min_class_rows,"
            " and its rows are left out: 'tools' (1 row in train and 1 row in eval, the first at"
            " train.csv:3). Accuracy is measured without them (1 of 31 rows of eval). Add rows of"
            " it to train, correct the labels, or choose with example_gen.rare_classes."
        ),
    ]

    with pytest.raises(
        DataError,
        match=(
            r"^test split, label: 1 class has no row in train, and its rows are left out: 'nuts' "
        ),
    ) as error:
        chain(
            tmp_path / "curated",
            {1: good_rows()},
            curated=tmp_path / "inferred" / "schema" / "schema.pbtxt",
            rare_classes=rare,
        )
    assert "'tools'" not in str(error.value)


def test_bad_rows_and_small_splits_are_warned_of(tmp_path: Path) -> None:
    good = good_rows()
    small = good | {
        "eval": good["eval"][:8],
        "train": [*good["train"], ("lemon and lime and more", "tools")],
    }
    figures = chain(
        tmp_path,
        {1: small},
        span={"num_read": 200, "num_bad": {"not JSON": 9, "no field 'text'": 2}},
    )

    assert figures["num_errors"] == 0
    assert figures["lines"] == [
        "eval split: 8 rows where 10 are wanted. Add rows, or lower example_validator.min_rows",
        (
            "train split: 11 of 200 rows (5.5%) of span 1 could not be used, more than"
            " example_validator.max_bad_fraction 1.0%: not JSON (9), no field 'text' (2). See"
            " bad_rows in the Examples"
        ),
        (
            "train split, label: 1 of 3 classes have fewer rows than"
            " example_validator.min_class_rows 2: 'tools' (1), e.g. 'lemon and lime and more'. Add"
            " rows, or put them into other classes"
        ),
    ]


def test_copies_and_dead_sensors_are_warned_of(tmp_path: Path) -> None:
    rows = {
        name: [([[first, 7.0] for first, _ in row], label) for row, label in split_rows]
        for name, split_rows in good_sequences().items()
    }
    rows["train"] += 2 * rows["train"]
    figures = chain(
        tmp_path,
        {1: rows},
        "sequence",
        2,
        severities={"duplicates": "ignore", "ambiguous": "ignore"},
    )

    assert figures["kinds"] == ["constant_dimension", "repeated_rows"]
    assert (
        "train split, sequence[1]: 1 of 2 dimensions are constant: number 1, e.g. always 7. Is a"
        " sensor dead? Leave them out of the source" in figures["lines"]
    )


def test_rows_that_are_all_there_twice_are_warned_of(tmp_path: Path) -> None:
    """The share of repeated rows is exactly max_repeated_fraction: not above it."""
    good = good_rows()
    doubled = {**good, "train": good["train"] * 2, "test": good["test"] * 2}
    figures = chain(tmp_path, {1: doubled}, max_length_divergence=1)
    assert figures["lines"] == [
        "train split, text: every row of train, test is there 2 times, e.g. "
        "'cherry fig apple and more'. Are files read twice, through links or copies, or was a table"
        " joined with itself? Take the copies out of example_gen.source"
    ]


def test_rows_of_which_one_is_there_once_are_not_all_copies(tmp_path: Path) -> None:
    good = good_rows()
    almost = {**good, "train": [*good["train"], *good["train"][1:]]}
    assert chain(tmp_path, {1: almost})["kinds"] == []


def test_rows_within_quoted_fields_are_warned_of(tmp_path: Path) -> None:
    span = {"num_swallowed": 1200, "swallowing": ["a.csv:3", "a.csv:90", "b.csv:2", "b.csv:8"]}
    assert chain(tmp_path, {1: good_rows()}, span=span)["lines"] == [
        "train split, text: 1,200 lines within quoted fields look like rows, with as many columns"
        " and a known label, as after a quote that is not closed where it should be: in the rows at"
        " a.csv:3, a.csv:90, b.csv:2, .... If quotes are text in these files, set"
        ' example_gen.quoting = "none"; otherwise double them'
    ]
