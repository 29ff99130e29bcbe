"""Broken inputs, each stopped with its line; clean ones, with nothing said."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from pydantic import ValidationError
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components import example_validator, schema_gen
from components.example_validator import (
    COMPARISONS,
    SEVERITIES,
    ExampleValidatorParams,
    describe,
    gate,
)
from components.schema_gen import SchemaGenParams
from components.statistics_gen import StatisticsGenParams
from components.statistics_gen import run as run_statistics_gen
from seqline.component import Figures
from seqline.data.examples import MANIFEST, Content
from seqline.errors import DataError
from tests.components.statistics_gen.test_statistics_gen import write_examples
from tests.support import CHECKOUT

DATA = CHECKOUT.parent / "shared" / "data"
WORDS = {
    "animals": ["cat", "dog", "horse", "bird", "fish", "whale", "mouse", "goat", "sheep", "lion"],
    "fruit": ["apple", "pear", "plum", "cherry", "grape", "melon", "peach", "fig", "lemon", "lime"],
}
SIZES = {"train": 80, "eval": 30, "test": 30}

Rows = list[tuple[Any, str]]
Splits = dict[str, Rows]


def good_rows() -> Splits:
    """Texts of four to six words, all different, over a vocabulary that every split has.

    Half of the rows are of each class.
    """
    splits: Splits = {}
    number = 0
    for name, size in SIZES.items():
        rows = splits.setdefault(name, [])
        for place in range(size):
            label = sorted(WORDS)[place % 2]
            words = [WORDS[label][number // 10**digit % 10] for digit in range(3)] + [
                "and",
                "more",
                "still",
            ][: 1 + number % 3]
            rows.append((" ".join(words), label))
            number += 1
    return splits


def good_sequences() -> Splits:
    """Two classes of sequences of four to six steps of two numbers, no two the same."""
    splits: Splits = {}
    number = 0
    for name, size in SIZES.items():
        rows = splits.setdefault(name, [])
        for place in range(size):
            steps = [[float(number % 7), number / 1000 + step] for step in range(4 + number % 3)]
            rows.append((steps, "up" if place % 2 else "down"))
            number += 1
    return splits


def chain(
    root: Path,
    spans: dict[int, Splits],
    content: Content = "text",
    dim: int | None = None,
    curated: Path | None = None,
    span: dict[str, Any] | None = None,
    rare_classes: list[dict[str, Any]] | None = None,
    **params: Any,
) -> Figures:
    """From rows to anomalies under `root`; what the gate raises is not caught."""
    validator = ExampleValidatorParams(**params)
    examples = write_examples(root / "examples", spans, content, dim, **(span or {}))
    if rare_classes:
        manifest = json.loads((examples / MANIFEST).read_text())
        (examples / MANIFEST).write_text(json.dumps({**manifest, "rare_classes": rare_classes}))
    for name in ("statistics", "schema", "anomalies"):
        (root / name).mkdir()
    run_statistics_gen(examples=examples, params=StatisticsGenParams(), output=root / "statistics")
    schema_gen.run(
        statistics=root / "statistics",
        params=SchemaGenParams(curated=curated and str(curated)),
        output=root / "schema",
    )
    figures = example_validator.run(
        examples=examples,
        statistics=root / "statistics",
        schema=root / "schema",
        params=validator,
        output=root / "anomalies",
    )
    gate(root / "anomalies", validator)
    return figures


def diff_of(root: Path, split: str) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString(
        (root / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
    )


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Schemas inferred from good rows, which have no anomaly."""
    found = {}
    for content, rows, dim in (("text", good_rows(), None), ("sequence", good_sequences(), 2)):
        root = tmp_path_factory.mktemp(content)
        figures = chain(root, {1: rows}, content, dim)  # type: ignore[arg-type]
        assert figures == {
            "num_errors": 0,
            "num_warnings": 0,
            "kinds": [],
            "lines": [],
            "warnings": [],
        }
        assert describe(figures) == "no anomaly"
        found[content] = root / "schema" / "schema.pbtxt"
    return found


def relabel(rows: Rows, label: str) -> Rows:
    return [(text, label) for text, _ in rows]


def each_text(rows: Rows, change: Callable[[str], str]) -> Rows:
    return [(change(text), label) for text, label in rows]


# What is broken, in which way, and the line that says so. Every one is a different kind.
BROKEN: dict[str, tuple[str, Callable[[Splits], Splits], str]] = {
    "a column is missing": (
        "missing_feature",
        lambda good: good | {"eval": each_text(good["eval"], lambda text: "")},
        (
            "eval split, text: none of the 30 rows has any. Is example_gen.text the right column of"
            " the source?"
        ),
    ),
    "some texts are missing": (
        "low_presence",
        lambda good: (
            good | {"test": each_text(good["test"][:3], lambda text: " \t") + good["test"][3:]}
        ),
        (
            "test split, text: 3 of 30 rows (10.0%) have none, the schema allows 0.0%"
            " (presence.min_fraction). Take these rows out of the source, or lower it"
        ),
    ),
    "a split is empty": (
        "empty_split",
        lambda good: good | {"eval": []},
        (
            "eval split: it has no rows. Add some to the source, raise example_gen's fraction for"
            " it, or take 'eval' out of example_validator.splits"
        ),
    ),
    "there is one class": (
        "one_class",
        lambda good: {name: relabel(rows, "fruit") for name, rows in good.items()},
        "train split, label: all 80 rows have the label 'fruit', e.g. '",
    ),
    "a label is misspelt": (
        "unknown_label",
        lambda good: good | {"eval": [*good["eval"], ("plum and more and still more", "friut")]},
        (
            "eval split, label: 1 of 31 rows (3.2%) have labels that the schema does not know:"
            " 'friut' (1); it knows 2: 'animals', 'fruit', e.g. 'plum and more and still more'."
            " Correct these rows, or add the labels to the domain in a curated schema"
        ),
    ),
    "a class is missing": (
        "missing_class",
        lambda good: good | {"eval": [row for row in good["eval"] if row[1] == "fruit"]},
        (
            "eval split, label: no row of 1 of 2 classes, where train's shares let expect so many"
            " of 15: 'animals' (8). Is the source sorted by class, or eval cut from another place?"
        ),
    ),
    "rows are run together": (
        "length_bounds",
        lambda good: (
            good
            | {"train": [*good["train"], (" ".join(text for text, _ in good["train"]), "fruit")]}
        ),
        (
            "train split, num_chars: the longest row has 2,002, the schema allows at most 132, e.g."
            " 'cat cat cat and pear apple apple and ...'. Look for rows that were cut or run"
            " together, or widen int_domain in a curated schema"
        ),
    ),
    "the texts are cut": (
        "length_skew",
        lambda good: good | {"test": each_text(good["test"], lambda text: text[:6])},
        (
            "test split, num_chars: the lengths in test (about 5 at the median) are not those in"
            " train (about 22): Jensen-Shannon divergence 1.000, allowed 0.250."
        ),
    ),
    "a split has other shares of the classes": (
        "label_skew",
        lambda good: good | {"eval": good["eval"][:1] + relabel(good["eval"][1:], "fruit")},
        (
            "eval split, label: 'animals' is 3.3% of the rows in eval and 50.0% in train:"
            " L-infinity distance 0.467, allowed 0.4"
        ),
    ),
    "a split is in another language": (
        "token_oov",
        lambda good: (
            good
            | {
                "eval": each_text(
                    good["eval"], lambda text: " ".join(word[::-1] for word in text.split())
                )
            }
        ),
        "eval split, text: 100.0% of the tokens in eval are unknown to train, at most 1",
    ),
    "a split is in another encoding": (
        "char_oov",
        lambda good: (
            good
            | {
                "test": each_text(
                    good["test"], lambda text: text.replace("e", "é").encode().decode("latin-1")
                )
            }
        ),
        "test split, text: ",
    ),
    "eval rows are in train, too": (
        "duplicates",
        lambda good: good | {"eval": good["train"][:10] + good["eval"][10:]},
        (
            "eval split, text: 10 of 30 rows (33.3%) are in train, too, more than"
            " example_validator.max_duplicate_fraction 10.0%, e.g. '"
        ),
    ),
    "texts have two labels": (
        "ambiguous",
        lambda good: (
            good
            | {
                "train": (
                    good["train"]
                    + [
                        (text, "animals" if label == "fruit" else "fruit")
                        for text, label in good["train"][:20]
                    ]
                )
            }
        ),
        (
            "train split, text: 40 of 100 rows (40.0%) have contents that are there under several"
            " labels, more than example_validator.max_ambiguous_fraction 10.0%, e.g. '"
        ),
    ),
}


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
    assert (kind, "error") in {(each["kind"], each["severity"]) for each in anomalies}


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
            "train split, label: no row of 'tools', which is in the schema's domain",
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
          name: "label" string_domain { value: "animals" } distribution_constraints { min_domain_mass: 0.5 }
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
    assert (kind, "error") in {(each["kind"], each["severity"]) for each in anomalies}


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
            severities={"length_bounds": "ignore", "duplicates": "ignore", "char_oov": "ignore"},
        )
    assert (figures["num_errors"], figures["kinds"]) == (
        0,
        ["label_drift", "length_drift", "token_drift"],
    )
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
        name: [([[first, 7.0] for first, _ in row], label) for row, label in each]
        for name, each in good_sequences().items()
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


def test_the_anomalies_are_said_to_tfdv(tmp_path: Path) -> None:
    good = good_rows()
    broken = good | {"eval": [*good["eval"], ("plum and more", "friut")], "test": []}
    with pytest.raises(DataError):
        chain(tmp_path, {1: broken})
    found = diff_of(tmp_path, "eval")
    assert found.baseline == text_format.Parse(
        (tmp_path / "schema" / "schema.pbtxt").read_text(), schema_pb2.Schema()
    )
    assert list(found.anomaly_info) == ["label"]
    info = found.anomaly_info["label"]
    assert (info.severity, info.short_description, list(info.path.step)) == (
        anomalies_pb2.AnomalyInfo.ERROR,
        "Unknown label",
        ["label"],
    )
    assert [reason.type for reason in info.reason] == [
        anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES
    ]
    assert info.description == info.reason[0].description
    assert "'friut' (1)" in info.description
    assert not found.data_missing
    empty = diff_of(tmp_path, "test")
    assert (empty.data_missing, empty.dataset_anomaly_info.reason[0].type) == (
        True,
        anomalies_pb2.AnomalyInfo.DATASET_LOW_NUM_EXAMPLES,
    )
    assert not diff_of(tmp_path, "train").anomaly_info


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


def test_the_gate_quotes_the_first_errors_only(tmp_path: Path) -> None:
    anomalies = [{"severity": "error", "line": f"line {number}"} for number in range(25)] + [
        {"severity": "warning", "line": "not this"}
    ]
    (tmp_path / "anomalies.json").write_text(json.dumps(anomalies))
    with pytest.raises(DataError) as error:
        gate(tmp_path, ExampleValidatorParams())
    assert str(error.value).startswith("line 0; line 1; ")
    assert str(error.value).endswith(f"line 19; and 5 more in {tmp_path / 'anomalies.json'}.")


def test_statistics_of_other_examples_are_refused(tmp_path: Path) -> None:
    chain(tmp_path, {1: good_rows()})
    other = write_examples(tmp_path / "other", {2: good_rows()})
    with pytest.raises(
        DataError, match=r"are not of the Examples .*other: run statistics_gen on them"
    ):
        example_validator.run(
            examples=other,
            statistics=tmp_path / "statistics",
            schema=tmp_path / "schema",
            params=ExampleValidatorParams(),
            output=tmp_path / "again",
        )


@pytest.mark.skipif(
    not DATA.is_dir(),
    reason="../shared/data, real data sets for tests and benchmarks, is not there",
)
@pytest.mark.parametrize(
    "name", ["sms_spam", "mr", "trec6", "agnews_small", "surnames", "japanese_vowels"]
)
def test_real_data_have_no_anomaly(tmp_path: Path, name: str) -> None:
    content: Content = "sequence" if name == "japanese_vowels" else "text"
    splits: Splits = {"train": [], "eval": [], "test": []}
    for source in ("train", "test"):
        for line in (DATA / name / f"{source}.jsonl").read_bytes().splitlines():
            row = json.loads(line)
            chosen = source
            if (
                source == "train"
                and blake2b(json.dumps(row[content]).encode(), digest_size=1).digest()[0] < 26
            ):
                chosen = "eval"
            splits[chosen].append((row[content], row["label"]))
    assert (
        chain(tmp_path, {1: splits}, content, 12 if content == "sequence" else None)["lines"] == []
    )


def test_the_faces_import_nothing_heavy() -> None:
    code = (
        "import sys; from components import statistics_gen, schema_gen, example_validator;"
        " sys.exit(str([name for name in ('tensorflow', 'apache_beam', 'numpy', 'pyarrow',"
        " 'tensorflow_metadata') if name in sys.modules]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.stderr.strip() == "[]"
