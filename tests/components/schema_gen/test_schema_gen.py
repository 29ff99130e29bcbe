"""Schemas inferred from rows that were counted by hand, and schemas written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.schema_gen import SchemaGenParams, check, describe, external_digest, run
from seqline.errors import UserError
from tests.support.examples import TWENTY, statistics_of, write_spans

CURATED = 'feature { name: "text" type: BYTES presence { min_fraction: 0.9 } }  # by hand\n'


def schema_of(statistics: Path, output: Path, **params: Any) -> Any:
    output.mkdir()
    run(statistics=statistics, params=SchemaGenParams(**params), output=output)
    return text_format.Parse(
        (output / "schema.pbtxt").read_text(encoding="utf-8"), schema_pb2.Schema()
    )


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("schema")
    statistics_of(write_spans(root / "examples", {1: TWENTY}), root / "statistics")
    return root / "statistics"


def test_a_schema_is_inferred_from_train(statistics: Path, tmp_path: Path) -> None:
    schema = schema_of(statistics, tmp_path / "schema")
    features = {feature.name: feature for feature in schema.feature}
    assert list(features) == ["text", "label", "num_chars", "num_tokens"]

    for name in ("text", "label"):
        assert features[name].type == schema_pb2.BYTES
        assert (features[name].presence.min_fraction, features[name].presence.min_count) == (1.0, 1)
        assert features[name].HasField("shape")
        assert not features[name].shape.dim
    assert [(domain.name, list(domain.value)) for domain in schema.string_domain] == [
        ("label", ["x", "y"])
    ]

    # Train has 1 to 7 characters and 1 to 4 tokens; eval's and test's are not looked at.
    bounds = {
        name: (features[name].int_domain.min, features[name].int_domain.max)
        for name in ("num_chars", "num_tokens")
    }
    assert bounds == {"num_chars": (1, 28), "num_tokens": (1, 16)}
    assert features["num_chars"].lifecycle_stage == schema_pb2.VALIDATION_DERIVED
    assert schema.dataset_constraints.min_examples_count == 1


def test_slack_widens_the_bounds(statistics: Path, tmp_path: Path) -> None:
    schema = schema_of(statistics, tmp_path / "schema", length_slack=1.0)
    assert [(feature.int_domain.min, feature.int_domain.max) for feature in schema.feature[2:]] == [
        (1, 7),
        (1, 4),
    ]


def test_sequences_have_a_dimension_and_ranges(tmp_path: Path) -> None:
    rows = {"train": [([[1.0, 5.0], [3.0, 5.0]], "x"), ([[2.0, 5.0]], "y")], "eval": [], "test": []}
    statistics_of(
        write_spans(tmp_path / "examples", {1: rows}, "sequence", 2), tmp_path / "statistics"
    )

    features = {
        feature.name: feature
        for feature in schema_of(tmp_path / "statistics", tmp_path / "schema").feature
    }
    assert (features["dim"].int_domain.min, features["dim"].int_domain.max) == (2, 2)

    ranges = {
        name: (feature.float_domain.min, feature.float_domain.max)
        for name, feature in features.items()
        if "sequence" in name
    }
    assert ranges == {"sequence": (-1.0, 7.0), "sequence[0]": (0.0, 4.0), "sequence[1]": (5.0, 5.0)}
    assert features["sequence"].value_count.min == 1
    assert (features["num_steps"].int_domain.min, features["num_steps"].int_domain.max) == (1, 8)


def test_an_empty_train_split_has_a_schema_without_bounds(tmp_path: Path) -> None:
    statistics_of(
        write_spans(tmp_path / "examples", {1: {"train": [], "eval": TWENTY["eval"]}}),
        tmp_path / "statistics",
    )
    schema = schema_of(tmp_path / "statistics", tmp_path / "schema")
    assert [feature.name for feature in schema.feature] == ["text", "label"]
    assert not schema.string_domain


def test_a_schema_written_by_hand_is_used_as_it_is(statistics: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pbtxt"
    path.write_text(CURATED)
    params = SchemaGenParams(curated=str(path))
    check(params)
    (tmp_path / "schema").mkdir()
    assert (
        describe(run(statistics=statistics, params=params, output=tmp_path / "schema"))
        == "1 features; written by hand"
    )
    assert (tmp_path / "schema" / "schema.pbtxt").read_text() == CURATED
    assert json.loads((tmp_path / "schema" / "origin.json").read_text()) == {"curated": True}


def test_an_inferred_schema_says_so(statistics: Path, tmp_path: Path) -> None:
    schema_of(statistics, tmp_path / "schema")
    assert json.loads((tmp_path / "schema" / "origin.json").read_text()) == {"curated": False}


def test_the_key_follows_what_the_file_says_not_where_it_lies(tmp_path: Path) -> None:
    for name, content in (("a", CURATED), ("b", CURATED), ("c", CURATED + " ")):
        (tmp_path / name).write_text(content)
    digests = [
        external_digest(SchemaGenParams(curated=str(tmp_path / name))) for name in ("a", "b", "c")
    ]
    assert digests[0] == digests[1] != digests[2]
    assert external_digest(SchemaGenParams()) == ""
    assert SchemaGenParams(curated="a").key_fields() == SchemaGenParams().key_fields()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot be read (No such file or directory). Correct the path, or leave it out."),
        (b'feature { name: "text" typ: BYTES }', 'has no field named "typ". Correct that place'),
        (b"\xff\xfe", "is not a Schema of tensorflow-metadata in text format"),
        (b"", "names no feature, so nothing would be checked."),
    ],
    ids=["missing", "misspelt", "no text", "empty"],
)
def test_a_file_that_is_no_schema_is_refused_at_once(
    tmp_path: Path, content: bytes | None, line: str
) -> None:
    path = tmp_path / "mine.pbtxt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        check(SchemaGenParams(curated=str(path)))
    assert line in str(error.value)
    assert str(error.value).startswith(f"schema_gen.curated {str(path)!r} ")
