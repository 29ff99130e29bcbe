"""The transform graph.

Written by tensorflow-transform, with the finished vocabularies as assets.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.transform import TransformParams
from components.transform.analysis import Moments
from components.transform.text import normalize, tokenize
from seqline.data import features
from seqline.data.examples import Content, Manifest, raw_features
from seqline.jobs.beam import LOCAL_RUNNER, pipeline_options
from seqline.model.canonical import canonicalize
from seqline.storage.staging import local_copy, reading_all

# Rows of each split that `verify` sends through the graph.
NUM_VERIFIED = 64


@dataclass(frozen=True)
class Parameters:
    """What was learned from the train split.

    tokens, labels: in rank order, also the files `tokens` and `labels` in `folder`. mean, scale:
    float32 [dim], for sequences.
    """

    content: Content
    labels: list[bytes]
    folder: Path
    tokens: list[bytes] | None = None
    dim: int | None = None
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    scale: np.ndarray = field(default_factory=lambda: np.ones(0, np.float32))


def standardization(moments: Moments, params: TransformParams) -> tuple[np.ndarray, np.ndarray]:
    """(mean, 1 / standard deviation), float32 [dim], as in tft.scale_to_z_score.

    1 for a number that never changes.

    A factor, not a divisor: TensorFlow may replace the division by a constant in a graph, which
    rounds differently.
    """
    if not params.standardize:
        return np.zeros(len(moments.mean), np.float32), np.ones(len(moments.mean), np.float32)
    deviation = np.sqrt(moments.squares / moments.count)
    return moments.mean.astype(np.float32), (1 / np.where(deviation > 0, deviation, 1)).astype(
        np.float32
    )


def write(parameters: Parameters, params: TransformParams, output: Path) -> None:
    """Writes `transform_fn/` and `transformed_metadata/` under `output`.

    The vocabularies are final, so no analyzer is left and no data is read: a second on the local
    runner, wherever the passes over the data run.
    """

    def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
        to_features = (
            _sequence_features if parameters.content == features.SEQUENCE else _token_features
        )
        row = to_features(inputs[parameters.content], parameters, params)
        return {
            **row,
            features.LABEL: (
                _label_table(parameters.folder / features.LABELS_VOCABULARY).lookup(
                    inputs[features.LABEL]
                )
            ),
        }

    spec = raw_features(parameters.content)
    schema = schema_utils.schema_from_feature_spec(spec)
    nothing: dict[str, Any] = {
        name: [] if isinstance(kind, tf.io.VarLenFeature) else b"" for name, kind in spec.items()
    }
    with (
        beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline,
        tft_beam.Context(temp_dir=str(output / "tft_temp")),
    ):
        raw = (pipeline | beam.Create([nothing]), dataset_metadata.DatasetMetadata(schema))
        _ = raw | tft_beam.AnalyzeDataset(preprocessing_fn) | tft_beam.WriteTransformFn(str(output))
    tf.io.gfile.rmtree(str(output / "tft_temp"))
    canonicalize(output / "transform_fn")


def _token_features(
    content: Any, parameters: Parameters, params: TransformParams
) -> dict[str, Any]:
    if parameters.content == features.TEXT:
        tokens = tokenize(normalize(content, params.lowercase), params.tokens)
    else:
        tokens = tf.RaggedTensor.from_sparse(content)
    tokens = tokens[:, : params.max_length]
    # StaticVocabularyTable gives tokens 0..V-1 and every other token V: one more, and 0 is PAD and
    # V + 1 is OOV.
    ids = tokens.with_flat_values(
        _token_table(parameters.folder / features.TOKENS_VOCABULARY).lookup(tokens.flat_values) + 1
    )
    return {features.IDS: ids.to_sparse(), features.LENGTH: ids.row_lengths()}


def _sequence_features(
    content: tf.SparseTensor, parameters: Parameters, params: TransformParams
) -> dict[str, Any]:
    assert parameters.dim, "a sequence has a dimension"
    values = tf.RaggedTensor.from_sparse(content)[
        :, : params.max_length * parameters.dim
    ]  # [batch, (time * dim)]
    steps = (
        tf.reshape(values.flat_values, [-1, parameters.dim]) - parameters.mean
    ) * parameters.scale  # [time of all rows, dim]
    standardized = values.with_flat_values(tf.reshape(steps, [-1]))
    return {
        features.VALUES: standardized.to_sparse(),
        features.LENGTH: values.row_lengths() // parameters.dim,
    }


def _initializer(
    path: Path, key_dtype: tf.DType, value_dtype: tf.DType
) -> tf.lookup.TextFileInitializer:
    index = {
        tf.string: tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64: tf.lookup.TextFileIndex.LINE_NUMBER,
    }
    return tf.lookup.TextFileInitializer(
        str(path), key_dtype, index[key_dtype], value_dtype, index[value_dtype]
    )


def _token_table(path: Path) -> tf.lookup.StaticVocabularyTable:
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticVocabularyTable(
            _initializer(path, tf.string, tf.int64), num_oov_buckets=1
        ),
        name=features.TOKENS_VOCABULARY,
    )


def _label_table(path: Path) -> tf.lookup.StaticHashTable:
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticHashTable(
            _initializer(path, tf.string, tf.int64), default_value=-1
        ),
        name=features.LABELS_VOCABULARY,
    )


def verify(examples: Path, manifest: Manifest, output: Path) -> None:
    """Sends the first rows of each split through the written graph.

    What serving will compute is what the Features hold.

    Raises AssertionError for a row that differs.
    """
    graph = tf.saved_model.load(str(local_copy(output / "transform_fn")))
    name = features.VALUES if manifest.content == features.SEQUENCE else features.IDS
    kind = tf.float32 if name == features.VALUES else tf.int64
    integer = tf.io.FixedLenFeature([], tf.int64)
    spec = {name: tf.io.VarLenFeature(kind), features.LENGTH: integer, features.LABEL: integer}
    for split in manifest.splits:
        source = features.shards(examples, split)[0]
        with reading_all([source, output / f"Split-{split}" / source.name]) as names:
            raw, transformed = (
                next(
                    iter(tf.data.TFRecordDataset(name, compression_type="GZIP").batch(NUM_VERIFIED))
                )
                for name in names
            )
        expected = graph.transform_fn(tf.io.parse_example(raw, raw_features(manifest.content)))
        found = tf.io.parse_example(transformed, spec)
        for feature in spec:
            rows = [
                (tf.sparse.to_dense(each[feature]) if feature == name else each[feature]).numpy()
                for each in (expected, found)
            ]
            same = (
                [np.array_equal(*pair) for pair in zip(*rows, strict=True)]
                if rows[0].shape == rows[1].shape
                else [False]
            )
            assert all(same), (
                f"{source}, row {same.index(False) + 1}: the graph gives other {feature} than the"
                " Features hold"
            )
