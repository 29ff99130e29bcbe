"""Weights of rows from the source to Features, statistics, schema and the linear baseline."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.evaluator import EvaluatorParams
from components.evaluator.baselines import TFIDF
from components.evaluator.linear import compare
from components.example_gen import ExampleGenParams
from components.example_gen import run as run_example_gen
from components.example_validator import ExampleValidatorParams
from components.example_validator import run as run_example_validator
from components.schema_gen import SchemaGenParams
from components.schema_gen import run as run_schema_gen
from components.statistics_gen import StatisticsGenParams
from components.statistics_gen import describe as describe_statistics
from components.statistics_gen import run as run_statistics_gen
from components.transform import TransformParams
from components.transform import run as run_transform
from tests.support.corpus import corpus_rows

WEIGHTS = [1, 2.5, 0, 0.25]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of 240 rows: 180 of train, 30 of eval, 30 of test; `fold` says it."""
    root = tmp_path_factory.mktemp("weights")
    folds = ["train"] * 6 + ["eval", "test"]
    lines = ["text,label,w,fold"]
    for place, row in enumerate(corpus_rows()):
        fold = folds[place // 3 % 8]
        lines.append(f'"{row["text"]}",{row["label"]},{WEIGHTS[place % 4]},{fold}')
    (root / "a.csv").write_text("\n".join(lines) + "\n")

    for name in ("examples", "statistics", "schema", "anomalies", "features"):
        (root / name).mkdir()
    params = ExampleGenParams(source=str(root / "a.csv"), weight="w", split="fold")
    run_example_gen(params=params, output=root / "examples")
    figures = run_statistics_gen(
        examples=root / "examples", params=StatisticsGenParams(), output=root / "statistics"
    )
    (root / "figures.json").write_text(json.dumps(figures))
    run_schema_gen(statistics=root / "statistics", params=SchemaGenParams(), output=root / "schema")
    run_transform(
        examples=root / "examples",
        params=TransformParams(min_frequency=1),
        output=root / "features",
    )
    return root


def test_statistics_of_weights(root: Path) -> None:
    # Ten times 24 rows, of which the first 18 are train: five of each of the first two weights and
    # four of each of the others, 5 + 12.5 + 0 + 1 in all.
    figures = json.loads((root / "figures.json").read_text())
    assert figures["weights"]["train"] == {"sum": 185, "min": 0, "max": 2.5, "num_zeros": 40}
    assert figures["num_rows"] == {"train": 180, "eval": 30, "test": 30}
    assert "; weights of train 0 to 2.5, 185 in all" in describe_statistics(figures)

    path = root / "statistics" / "Split-train" / "FeatureStats.pb"
    [dataset] = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets
    stats = {feature.path.step[0]: feature for feature in dataset.features}["weight"]
    assert stats.type == statistics_pb2.FeatureNameStatistics.FLOAT
    assert stats.num_stats.common_stats.num_non_missing == 180
    assert stats.num_stats.common_stats.num_missing == 0
    assert stats.num_stats.mean == 185 / 180
    assert (stats.num_stats.min, stats.num_stats.max) == (0, 2.5)
    assert stats.num_stats.num_zeros == 40


def test_schema_and_anomalies(root: Path) -> None:
    schema = text_format.Parse((root / "schema" / "schema.pbtxt").read_text(), schema_pb2.Schema())
    feature = {feature.name: feature for feature in schema.feature}["weight"]
    assert feature.type == schema_pb2.FLOAT
    assert feature.presence.min_fraction == 1
    assert feature.float_domain.min == 0
    assert not feature.float_domain.HasField("max")

    figures = run_example_validator(
        examples=root / "examples",
        statistics=root / "statistics",
        schema=root / "schema",
        params=ExampleValidatorParams(),
        output=root / "anomalies",
    )
    assert figures["lines"] == []


def test_features_hold_the_weight_of_each_row(root: Path) -> None:
    """The shards of Features have the rows of the shards of Examples, in their order."""
    weight_of = {row["text"]: WEIGHTS[place % 4] for place, row in enumerate(corpus_rows())}
    num_rows = 0
    for path in sorted((root / "examples").glob("Split-*/*.gz")):
        examples = records(path)
        rows = records(root / "features" / path.parent.name / path.name)
        for example, row in zip(examples, rows, strict=True):
            parsed = tf.train.Example.FromString(row)
            assert parsed.SerializeToString(deterministic=True) == row
            text = tf.train.Example.FromString(example).features.feature["text"]
            weight = parsed.features.feature["weight"].float_list.value
            assert list(weight) == [weight_of[text.bytes_list.value[0].decode()]]
            num_rows += 1

    assert num_rows == 240
    assert json.loads((root / "features" / "transform.json").read_text())["weighted"] is True


def records(path: Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())


@pytest.mark.parametrize(("heavy", "accuracy"), [("x", 1.0), ("y", 0.0)])
def test_the_linear_baseline_follows_the_weights(
    tmp_path: Path, heavy: str, accuracy: float
) -> None:
    """Each text of train has both labels, and the heavier one wins. In test all are of x."""
    lines = ["text,label,w,fold"]
    for text in ("alpha beta", "gamma delta", "epsilon zeta"):
        for label in ("x", "y"):
            lines += [f"{text},{label},{9 if label == heavy else 1},train"] * 3
        lines += [f"{text},x,1,test", f"{text},x,1,eval"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    params = ExampleGenParams(source=str(tmp_path / "a.csv"), weight="w", split="fold")
    (tmp_path / "examples").mkdir()
    run_example_gen(params=params, output=tmp_path / "examples")
    assert compare(tmp_path / "examples", EvaluatorParams())[0][TFIDF] == accuracy


def test_sequences_with_weights(tmp_path: Path) -> None:
    rows = [
        {
            "text": [[place, 1], [0, place % 3]],
            "label": "ab"[place % 2],
            "w": WEIGHTS[place % 4],
            "fold": ["train", "eval", "test"][place // 4 % 3],
        }
        for place in range(24)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("examples", "statistics", "features"):
        (tmp_path / name).mkdir()
    params = ExampleGenParams(
        source=str(tmp_path / "a.jsonl"), weight="w", split="fold", content="sequence"
    )
    run_example_gen(params=params, output=tmp_path / "examples")
    figures = run_statistics_gen(
        examples=tmp_path / "examples", params=StatisticsGenParams(), output=tmp_path / "statistics"
    )
    assert figures["weights"]["test"] == {"sum": 7.5, "min": 0, "max": 2.5, "num_zeros": 2}

    run_transform(
        examples=tmp_path / "examples", params=TransformParams(), output=tmp_path / "features"
    )
    [path] = (tmp_path / "features" / "Split-eval").glob("*.gz")
    weights = []
    for record in records(path):
        example = tf.train.Example.FromString(record)
        assert example.SerializeToString(deterministic=True) == record
        assert sorted(example.features.feature) == ["label", "length", "values", "weight"]
        weights += example.features.feature["weight"].float_list.value
    assert weights == WEIGHTS * 2
