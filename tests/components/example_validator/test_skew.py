"""Drift of the newest span."""

import logging
from pathlib import Path

import pytest

from components.example_validator import describe
from seqline.errors import DataError
from tests.support.validated import chain, diff_of, good_rows


def test_drift_of_the_newest_span_is_told_and_does_not_stop_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = good_rows()
    earlier = {
        number: {name: rows[number - 1 :: 2] for name, rows in good.items()} for number in (1, 2)
    }
    strange = [
        (" ".join(word[::-1] for word in text.split() * 8), label)
        for text, label in good["train"]
        if label == "fruit"
    ]

    newest = good | {"train": strange + strange[:1] + good["train"][:1]}
    with caplog.at_level(logging.WARNING, "seqline.example_validator"):
        figures = chain(
            tmp_path,
            {**earlier, 3: newest},
            severities=dict.fromkeys(
                ("length_bounds", "duplicates", "char_oov", "repeated_rows"), "ignore"
            ),
        )

    assert figures["num_errors"] == 0
    assert figures["kinds"] == ["label_drift", "length_drift", "token_drift"]
    assert figures["lines"][0].startswith(
        "train split, label: 'animals' is 2.4% of the rows in span 3 and 50.0% in the spans 1 to 2:"
        " L-infinity distance 0.476, allowed 0."
    )
    assert [record.message for record in caplog.records] == [
        f"{line}." for line in figures["lines"]
    ]

    drifted = {
        info.path.step[0]: list(info.drift_measurements)
        for info in diff_of(tmp_path, "train").drift_skew_info
    }
    assert drifted["label"][0].value == pytest.approx(0.5 - 1 / 42)
    assert describe(figures).endswith("warnings: label_drift, length_drift, token_drift")


def test_a_span_delivered_twice_and_one_without_rows(tmp_path: Path) -> None:
    good = good_rows()
    with pytest.raises(DataError, match="span 2 has no rows in any split") as error:
        chain(tmp_path, {1: good, 2: {}, 3: good}, severities={"repeated_span": "error"})
    assert "train split, text: 80 of 80 rows in span 3 are in the spans 1 to 2, too, e.g. '" in str(
        error.value
    )
