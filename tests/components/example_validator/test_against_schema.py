"""Broken inputs are stopped with their line by a schema written by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqline.errors import DataError
from tests.support.validated import BROKEN, Splits, chain, diff_of, good_rows, good_sequences


@pytest.mark.parametrize(("kind", "broken", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_input_is_stopped_with_its_line(
    tmp_path: Path,
    schemas: dict[str, Path],
    kind: str,
    broken: Callable[[Splits], Splits],
    line: str,
) -> None:
    with pytest.raises(DataError) as error:
        chain(tmp_path, {1: broken(good_rows())}, curated=schemas["text"])
    assert error.value.exit_code == 20
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    anomalies = json.loads((tmp_path / "anomalies" / "anomalies.json").read_text(encoding="utf-8"))
    assert (kind, "error") in {(anomaly["kind"], anomaly["severity"]) for anomaly in anomalies}


# The same as numbers, and schemas that say another thing.
NUMBERS: dict[str, tuple[str, int, Callable[[Splits], Splits], str]] = {
    "another dimension": (
        "dimension",
        3,
        lambda good: {
            name: [([[*step, 0.5] for step in row], label) for row, label in rows]
            for name, rows in good.items()
        },
        (
            "train split, dim: a step has 3 numbers, the schema says 2. Correct the source, or the"
            " bounds of dim in the schema"
        ),
    ),
    "another unit": (
        "value_range",
        2,
        lambda good: (
            good
            | {
                "eval": [
                    ([[1000 * first, second] for first, second in row], label)
                    for row, label in good["eval"]
                ]
            }
        ),
        (
            "eval split, sequence[0]: a number is 6000, the schema allows at most 9. Look for"
            " another unit or a broken sensor, or widen float_domain in a curated schema"
        ),
    ),
    "steps are missing": (
        "missing_feature",
        2,
        lambda good: good | {"test": [([], label) for _, label in good["test"]]},
        (
            "test split, sequence: none of the 30 rows has any. Is example_gen.text the right"
            " column of the source?"
        ),
    ),
}


@pytest.mark.parametrize(("kind", "dim", "broken", "line"), NUMBERS.values(), ids=NUMBERS)
def test_broken_sequences_are_stopped_with_their_line(
    tmp_path: Path,
    schemas: dict[str, Path],
    kind: str,
    dim: int,
    broken: Callable[[Splits], Splits],
    line: str,
) -> None:
    with pytest.raises(DataError) as error:
        chain(tmp_path, {1: broken(good_sequences())}, "sequence", dim, curated=schemas["sequence"])
    assert line in str(error.value)
    assert f'"kind": "{kind}"' in (tmp_path / "anomalies" / "anomalies.json").read_text()


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        (
            'feature { name: "text" type: FLOAT }',
            "train split, text: the schema says FLOAT, the Examples hold BYTES.",
        ),
        (
            'feature { name: "title" type: BYTES presence { min_fraction: 1 } }',
            (
                "train split, title: the schema asks for it, and the Examples have only text and"
                " label."
            ),
        ),
        (
            (
                'feature { name: "label" type: BYTES string_domain { value: "animals" value:'
                ' "fruit" value: "tools" } }'
            ),
            "train split, label: no row of 1 of 3 classes of the schema's domain: 'tools'",
        ),
        (
            'feature { name: "label" presence { min_count: 31 } }',
            "eval split, label: 30 rows have one, the schema asks for 31",
        ),
        (
            'feature { name: "num_tokens" type: INT int_domain { min: 5 } }',
            "the shortest row has 4, the schema allows at least 5",
        ),
    ],
    ids=["type", "column", "domain", "count", "length"],
)
def test_what_a_schema_written_by_hand_asks_for(tmp_path: Path, schema: str, line: str) -> None:
    (tmp_path / "mine.pbtxt").write_text(schema)
    with pytest.raises(DataError) as error:
        chain(tmp_path, {1: good_rows()}, curated=tmp_path / "mine.pbtxt")
    assert line in str(error.value)


def test_its_exceptions_and_comparators_go_before_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "mine.pbtxt").write_text("""
        feature { name: "title" lifecycle_stage: PLANNED presence { min_fraction: 1 } }
        feature {
          name: "label"
          string_domain { value: "animals" }
          distribution_constraints { min_domain_mass: 0.5 }
          skew_comparator { infinity_norm { threshold: 0.9 } }
        }
        """)
    good = good_rows()

    skewed = good | {
        "eval": [row for row in good["eval"] if row[1] == "fruit"] + good["eval"][:20:2]
    }  # fruit: 60 %
    with pytest.raises(
        DataError,
        match=(
            r"^eval split, label: 15 of 25 rows .* have labels that the schema does not know:"
            r" 'fruit'"
        ),
    ) as error:
        chain(tmp_path, {1: skewed}, curated=tmp_path / "mine.pbtxt")
    assert "; " not in str(error.value)[:-1].replace("; it knows", "")

    measured = diff_of(tmp_path, "eval").drift_skew_info[0].skew_measurements[0]
    assert (measured.value, measured.threshold) == (pytest.approx(0.1), pytest.approx(0.9))
