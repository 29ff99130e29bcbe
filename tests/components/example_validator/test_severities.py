"""Comparisons of splits are warnings with an inferred schema, and errors where strict."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.example_validator import COMPARISONS, SEVERITIES, ExampleValidatorParams
from seqline.errors import DataError
from tests.support.validated import BROKEN, Splits, chain, good_rows, relabel


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (BROKEN["a column is missing"][1], "eval split, text: none of the 30 rows has any"),
        (
            lambda good: {name: relabel(rows, "") for name, rows in good.items()},
            "train split, label: none of the 80 rows has any",
        ),
        (BROKEN["a split is empty"][1], "eval split: it has no rows"),
        (lambda good: good | {"train": []}, "train split: it has no rows"),
        (BROKEN["there is one class"][1], "train split, label: all 80 rows have the label 'fruit'"),
        (BROKEN["some texts are missing"][1], "test split, text: 3 of 30 rows (10.0%) have none"),
        (
            BROKEN["a label is misspelt"][1],
            (
                "eval split, label: 1 of 31 rows (3.2%) have labels that the schema does not know:"
                " 'friut'"
            ),
        ),
    ],
    ids=["text", "label", "empty eval", "empty train", "one class", "some texts", "label of eval"],
)
def test_a_schema_inferred_from_the_same_rows_hides_nothing(
    tmp_path: Path, broken: Callable[[Splits], Splits], line: str
) -> None:
    with pytest.raises(DataError) as error:
        chain(tmp_path, {1: broken(good_rows())})
    assert line in str(error.value)


# With an inferred schema: the comparisons that are warnings, and errors where `strict`. A schema
# inferred from broken train rows is as broken as they are: what only a curated schema or an earlier
# span knows better is not seen at all ("").
COMPARED = {
    "a class is missing": "missing_class",
    "rows are run together": "",
    "the texts are cut": "length_skew",
    "a split has other shares of the classes": "label_skew",
    "a split is in another language": "token_oov",
    "a split is in another encoding": "char_oov",
    "eval rows are in train, too": "duplicates",
    "texts have two labels": "ambiguous",
}


@pytest.mark.parametrize("name", COMPARED)
def test_splits_that_differ_are_warned_of_with_an_inferred_schema_and_stop_what_is_strict(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, broken = COMPARED[name], BROKEN[name][1](good_rows())
    with caplog.at_level(logging.WARNING, "seqline.example_validator"):
        figures = chain(tmp_path / "inferred", {1: broken})
    assert figures["num_errors"] == 0
    assert (kind in figures["kinds"]) == bool(kind)
    assert (
        [record.message for record in caplog.records]
        == figures["warnings"]
        == [f"{line}." for line in figures["lines"]]
    )
    assert (
        chain(
            tmp_path / "not",
            {1: broken},
            curated=tmp_path / "inferred" / "schema" / "schema.pbtxt",
            strict=False,
        )
        == figures
    )

    if not kind:
        return
    with pytest.raises(DataError):
        chain(tmp_path / "strict", {1: broken}, strict=True)

    anomalies = json.loads(
        (tmp_path / "strict" / "anomalies" / "anomalies.json").read_text(encoding="utf-8")
    )
    assert (kind, "error") in {(anomaly["kind"], anomaly["severity"]) for anomaly in anomalies}


# Of a window, these are lost among the rows of the spans before; an inferred schema takes long rows
# of train for granted.
NOT_SEEN_IN_A_SPAN = {
    "a class is missing",
    "rows are run together",
    "a split has other shares of the classes",
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in NOT_SEEN_IN_A_SPAN])
def test_a_broken_newest_span_is_stopped_where_strict(tmp_path: Path, name: str) -> None:
    good = good_rows()
    # Nothing of the newest span is in the earlier one, but what is broken on purpose.
    earlier = {
        split: [(f"{text} {text.split()[0]}", label) for text, label in rows]
        for split, rows in good.items()
    }
    newest = {} if name == "a split is empty" else BROKEN[name][1](good_rows())
    # A new span of one class is a question of shares.
    severities = {"label_drift": "error"} if name == "there is one class" else {}
    with pytest.raises(DataError):
        chain(tmp_path, {1: earlier, 2: newest}, strict=True, severities=severities)


def test_the_severities_of_all_kinds(tmp_path: Path) -> None:
    by_schema = {
        curated: ExampleValidatorParams().severities_by(curated) for curated in (True, False)
    }
    assert by_schema[True] == SEVERITIES

    softer = {kind for kind in SEVERITIES if by_schema[True][kind] != by_schema[False][kind]}
    assert softer == set(COMPARISONS)
    assert {by_schema[False][kind] for kind in softer} == {"warning"}
    assert {kind for kind, severity in by_schema[False].items() if severity == "error"} == {
        "missing_feature",
        "low_presence",
        "wrong_type",
        "empty_split",
        "one_class",
        "unknown_label",
        "dimension",
    }
    assert ExampleValidatorParams(strict=True).severities_by(False) == SEVERITIES
    assert ExampleValidatorParams(strict=False).severities_by(True) == by_schema[False]
    assert (
        ExampleValidatorParams(strict=True, severities={"label_skew": "ignore"}).severities_by(
            True
        )["label_skew"]
        == "ignore"
    )


def test_severities_are_the_users_choice(tmp_path: Path, schemas: dict[str, Path]) -> None:
    broken = BROKEN["a label is misspelt"][1](good_rows())
    for severity, expected in (("warning", (0, 1)), ("ignore", (0, 0))):
        figures = chain(
            tmp_path / severity,
            {1: broken},
            curated=schemas["text"],
            severities={"unknown_label": severity},
        )
        assert (figures["num_errors"], figures["num_warnings"]) == expected

    with pytest.raises(
        ValidationError,
        match=r"unknown kind of anomaly: label_scew; the kinds are missing_feature, .* label_skew",
    ):
        ExampleValidatorParams(severities={"label_scew": "error"})
    assert set(SEVERITIES.values()) == {"error", "warning"}
