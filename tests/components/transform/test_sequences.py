"""Sequences are standardised as tensorflow-transform does."""

import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform import TRANSFORM
from seqline.data.features import EVAL, SPLITS, TEST, TRAIN, shards
from seqline.jobs.beam import LOCAL_RUNNER, pipeline_options
from tests.support.corpus import write_examples
from tests.support.transformed import (
    lines,
    transform,
)

SEQUENCES = {
    TRAIN: [
        ([[1, 10, 5], [3, 10, 6]], "a"),
        ([[5, 10, 7]], "b"),
        ([[7, 10, 0], [9, 10, 1], [2, 10, 3]], "a"),
    ],
    EVAL: [([[1, 11, 2]], "b")],
    TEST: [([[0, 9, 8]], "a")],
}


def read_values(root: Path, split: str) -> list[np.ndarray]:
    return [row for path in shards(root, split) for row in read_values_of(path)]


def read_values_of(path: Path) -> list[np.ndarray]:
    rows = []
    for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        rows.append(
            np.array(feature["values"].float_list.value, np.float32).reshape(
                feature["length"].int64_list.value[0], -1
            )
        )
    return rows


@pytest.mark.parametrize("num_shards", [1, 3])
def test_sequences_are_standardised_as_tft_does(num_shards: int, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", SEQUENCES, "sequence", num_shards)
    transform(examples, tmp_path / "features")

    steps = [step for rows, _ in SEQUENCES[TRAIN] for step in rows]
    with (
        beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path / "temp")),
    ):
        spec = {"step": tf.io.FixedLenFeature([3], tf.float32)}
        raw = [{"step": np.array(step, np.float32)} for step in steps]
        data = (
            pipeline | beam.Create(raw),
            dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec)),
        )
        _ = (
            data
            | tft_beam.AnalyzeDataset(
                lambda inputs: {"step": tft.scale_to_z_score(inputs["step"], elementwise=True)}
            )
            | tft_beam.WriteTransformFn(str(tmp_path / "tft"))
        )

    theirs = tf.saved_model.load(str(tmp_path / "tft" / "transform_fn"))
    for split in SPLITS:
        ours = read_values(tmp_path / "features", split)
        order = [
            row for source in range(num_shards) for row in SEQUENCES[split][source::num_shards]
        ]

        raw_steps = np.array([step for rows, _ in order for step in rows], np.float32)
        np.testing.assert_allclose(
            np.concatenate(ours),
            theirs.transform_fn({"step": raw_steps})["step"].numpy(),
            rtol=1e-6,
            atol=1e-6,
        )

    assert json.loads((tmp_path / "features" / "transform.json").read_text())["dim"] == 3
    assert lines(tmp_path / "features" / "vocabularies" / "labels") == ["a", "b"]


def test_sequences_as_they_are_and_cut(tmp_path: Path) -> None:
    figures = transform(
        write_examples(tmp_path / "examples", SEQUENCES, "sequence"),
        tmp_path / "f",
        standardize=False,
        max_length=2,
    )

    assert [row.tolist() for row in read_values(tmp_path / "f", TRAIN)] == [
        row[:2] for row, _ in SEQUENCES[TRAIN]
    ]
    assert figures["num_cut"] == 1
    assert (
        TRANSFORM.describe(figures)
        == "sequences of 3 numbers a time step, 2 classes; max_length 2 cuts 20.0% of rows"
    )
