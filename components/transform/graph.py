"""The transform graph: written by tensorflow-transform, with the finished vocabularies as assets."""

from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components import features
from components.beam import LOCAL_RUNNER, pipeline_options
from components.saved_model import canonicalize
from components.transform import TransformParams
from components.transform.text import normalize, tokenize
from components.transform.vocabulary import RAW_FEATURES, Vocabularies


def write(vocabularies: Vocabularies, params: TransformParams, output: Path) -> None:
    """Writes `transform_fn/` and `transformed_metadata/` under `output`.

    The vocabularies are final, so no analyzer is left and no data is read: a second on the local runner, wherever the
    passes over the data run.
    """

    def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tokens = tokenize(normalize(inputs[features.TEXT], params.lowercase), params.tokens)[:, : params.max_length]
        # StaticVocabularyTable gives tokens 0..V-1 and every other token V: one more, and 0 is PAD and V + 1 is OOV.
        ids = tokens.with_flat_values(_token_table(vocabularies.tokens).lookup(tokens.flat_values) + 1)
        return {
            features.IDS: ids.to_sparse(),
            features.LENGTH: ids.row_lengths(),
            features.LABEL: _label_table(vocabularies.labels).lookup(inputs[features.LABEL]),
        }

    schema = schema_utils.schema_from_feature_spec(RAW_FEATURES)
    one_row = [{features.TEXT: b"", features.LABEL: b""}]
    with (
        beam.Pipeline(options=pipeline_options([LOCAL_RUNNER])) as pipeline,
        tft_beam.Context(temp_dir=str(output / "tft_temp")),
    ):
        raw = (pipeline | beam.Create(one_row), dataset_metadata.DatasetMetadata(schema))
        _ = raw | tft_beam.AnalyzeDataset(preprocessing_fn) | tft_beam.WriteTransformFn(str(output))
    tf.io.gfile.rmtree(str(output / "tft_temp"))
    canonicalize(output / "transform_fn")


def _initializer(path: Path, key_dtype: tf.DType, value_dtype: tf.DType) -> tf.lookup.TextFileInitializer:
    index = {tf.string: tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64: tf.lookup.TextFileIndex.LINE_NUMBER}
    return tf.lookup.TextFileInitializer(str(path), key_dtype, index[key_dtype], value_dtype, index[value_dtype])


def _token_table(path: Path) -> tf.lookup.StaticVocabularyTable:
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticVocabularyTable(_initializer(path, tf.string, tf.int64), num_oov_buckets=1),
        name=features.TOKENS_VOCABULARY,
    )


def _label_table(path: Path) -> tf.lookup.StaticHashTable:
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticHashTable(_initializer(path, tf.string, tf.int64), default_value=-1),
        name=features.LABELS_VOCABULARY,
    )
