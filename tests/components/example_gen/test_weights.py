"""A column with the weight of each row."""

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.example_gen import ExampleGenParams
from seqline.data.examples import read
from seqline.data.manifest import read_manifest
from seqline.errors import DataError
from tests.components.example_gen.support import make, split_of
from tests.support.corpus import corpus_rows, write_jsonl


def weighted(weights: list[Any], num_rows: int = 60) -> list[dict[str, Any]]:
    """Rows with these weights, in turn."""
    rows = corpus_rows(num_rows)
    return [{**row, "w": weights[place % len(weights)]} for place, row in enumerate(rows)]


def shards(output: Path) -> dict[str, bytes]:
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in sorted(output.glob("Split-*/*.gz"))
    }


def test_examples_hold_the_weight_of_each_row(tmp_path: Path) -> None:
    rows = weighted([1, 0.1, "2.5", 0])
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    figures = make(ExampleGenParams(source=str(path), weight="w"), tmp_path / "output")

    # float32 of 0.1.
    weight_of = {
        row["text"]: [1.0, 0.10000000149011612, 2.5, 0.0][place % 4]
        for place, row in enumerate(rows)
    }
    held = {}
    for shard in sorted((tmp_path / "output").glob("Split-*/*.gz")):
        for record in tf.data.TFRecordDataset(str(shard), "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(record).features.feature
            assert sorted(example) == ["label", "text", "weight"]
            # The bytes of protobuf's own deterministic serialization.
            parsed = tf.train.Example.FromString(record)
            assert parsed.SerializeToString(deterministic=True) == record
            held[example["text"].bytes_list.value[0].decode()] = list(
                example["weight"].float_list.value
            )
    assert held == {text: [weight] for text, weight in weight_of.items()}
    assert figures["num_read"] == 60

    assert read_manifest(tmp_path / "output").is_weighted
    [path] = (tmp_path / "output" / "Split-eval").glob("*.gz")
    shard = read(path, "text", is_weighted=True)
    assert shard.weights == [weight_of[text.decode()] for text in shard.contents]
    # Readers that do not want weights do not see them.
    assert read(path, "text").weights is None


def test_without_the_setting_no_byte_changes(tmp_path: Path) -> None:
    plain = write_jsonl(tmp_path / "plain.jsonl", corpus_rows(60))
    make(ExampleGenParams(source=str(plain)), tmp_path / "plain")
    more = write_jsonl(tmp_path / "more.jsonl", weighted([3]))
    make(ExampleGenParams(source=str(more)), tmp_path / "more")

    assert shards(tmp_path / "more") == shards(tmp_path / "plain")
    manifest = json.loads((tmp_path / "plain" / "examples.json").read_text())
    assert "is_weighted" not in manifest


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        ("heavy", "the weight is 'heavy', not a number of 0 or more"),
        (-1, "the weight is -1, not a number of 0 or more"),
        (None, "the weight is None, not a number of 0 or more"),
        (True, "the weight is True, not a number of 0 or more"),
        ("1_0", "the weight is '1_0', not a number of 0 or more"),
        ("1e400", "the weight is '1e400', not a number of 0 or more"),
        (1e13, "the weight is 10000000000000.0, more than 1e+12"),
    ],
)
def test_weights_that_cannot_be_used(tmp_path: Path, weight: Any, reason: str) -> None:
    rows = weighted([1])
    rows[7]["w"] = weight
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=str(path), weight="w"), tmp_path / "output")
    assert f"{path}:8: {reason}." in str(raised.value)


def test_rows_that_all_weigh_nothing(tmp_path: Path) -> None:
    rows = weighted([0, "0.0"])
    assert sum(split_of(row["text"]) == "train" for row in rows) == 35
    params = ExampleGenParams(source=str(write_jsonl(tmp_path / "a.jsonl", rows)), weight="w")
    with pytest.raises(DataError) as raised:
        make(params, tmp_path / "output")
    assert str(raised.value) == (
        "All 35 rows of train have the weight 0; a classifier learns from rows of two classes. Is"
        " example_gen.weight 'w' the right column?"
    )


def test_classes_that_weigh_nothing(tmp_path: Path) -> None:
    # The classes of the rows are animals, fruit and metals, in turn.
    path = write_jsonl(tmp_path / "a.jsonl", weighted([1, 0, 2]))
    figures = make(ExampleGenParams(source=str(path), weight="w"), tmp_path / "output")
    assert figures["warnings"] == [
        "All rows of train of 1 of 3 classes have the weight 0, so that no model learns them:"
        " 'fruit'."
    ]

    path = write_jsonl(tmp_path / "b.jsonl", weighted([0, 0, 2]))
    with pytest.raises(DataError) as raised:
        make(ExampleGenParams(source=str(path), weight="w"), tmp_path / "rejected")
    assert str(raised.value) == (
        "All rows of train with a weight above 0 have the label 'metals'; a classifier learns from"
        " rows of two classes. Is example_gen.weight 'w' the right column?"
    )
