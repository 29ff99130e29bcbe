"""The transform graph, which tensorflow-transform writes with the vocabularies as assets."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper

from components.transform import TransformParams, nfc
from components.transform.analysis import Moments
from components.transform.text import normalize, tokenize
from seqline.data import features
from seqline.data.examples import Content, raw_features
from seqline.data.manifest import Manifest
from seqline.model.canonical import canonicalize
from seqline.storage.staging import local_copy, reading_all

# Rows of each split that `verify` sends through the graph.
NUM_VERIFIED = 64


@dataclass(frozen=True)
class Parameters:
    """The values that the graph holds, learned from the train split."""

    content: Content
    labels: list[bytes]  # in rank order
    folder: Path  # of the files `tokens` and `labels`, which hold the same as the fields
    tokens: list[bytes] | None = None  # in rank order; None for sequences
    dim: int | None = None  # numbers of a time step, for sequences
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # [dim]
    scale: np.ndarray = field(default_factory=lambda: np.ones(0, np.float32))  # [dim]


def standardization(moments: Moments, params: TransformParams) -> tuple[np.ndarray, np.ndarray]:
    """The mean and 1 / standard deviation of sequences, as in tft.scale_to_z_score.

    The scale is 1 for a number that never changes. It is a factor, not a divisor: TensorFlow may
    replace a division by a constant in a graph, which rounds differently.

    Returns:
        (mean, scale), both float32 [dim].
    """
    if not params.standardize:
        return np.zeros(len(moments.mean), np.float32), np.ones(len(moments.mean), np.float32)
    deviation = np.sqrt(moments.squares / moments.count)
    scale = 1 / np.where(deviation > 0, deviation, 1)
    return moments.mean.astype(np.float32), scale.astype(np.float32)


def write(parameters: Parameters, params: TransformParams, output: Path) -> None:
    """Writes `transform_fn/` and `transformed_metadata/` under `output`. `params` has a max_length.

    The vocabularies are final, so there are no analyzers and no data to read. A Beam job with
    AnalyzeDataset would write the same, and take four times as long.
    """
    is_sequence = parameters.content == features.SEQUENCE

    def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
        to_features = _sequence_features if is_sequence else _token_features
        row = to_features(inputs[parameters.content], parameters, params)
        labels = _label_table(parameters.folder / features.LABELS_VOCABULARY)
        return {**row, features.LABEL: labels.lookup(inputs[features.LABEL])}

    nfc.trace()
    spec = raw_features(parameters.content)
    impl_helper.analyze_in_place(
        preprocessing_fn,
        force_tf_compat_v1=False,
        feature_specs=spec,
        type_specs=impl_helper.get_type_specs_from_feature_specs(spec),
        transform_output_path=str(output),
    )
    canonicalize(output / "transform_fn")


def _token_features(
    content: Any, parameters: Parameters, params: TransformParams
) -> dict[str, Any]:
    if parameters.content == features.TEXT:
        assert params.tokens, "what a token is is known before the graph"
        tokens = tokenize(normalize(content, params.lowercase), params.tokens)
    else:
        tokens = tf.RaggedTensor.from_sparse(content)

    # StaticVocabularyTable gives 0..V-1 to its tokens and V to every other token. With one added,
    # 0 is PAD and V + 1 is OOV.
    table = _token_table(parameters.folder / features.TOKENS_VOCABULARY)
    if not params.most_ngrams(parameters.content):
        tokens = tokens[:, : params.max_length]
    words = tokens.with_flat_values(table.lookup(tokens.flat_values) + 1)  # [batch, (num_tokens)]
    ids = words[:, : params.max_length]
    row = {features.IDS: ids.to_sparse(), features.LENGTH: ids.row_lengths()}
    if not params.most_ngrams(parameters.content):
        return row

    # The whole text, for its n-grams.
    oov = features.oov_id(len(parameters.tokens or []))
    unknown = tf.ragged.boolean_mask(tokens, words == oov)
    return {**row, features.WORDS: words.to_sparse(), features.UNKNOWN: unknown.to_sparse()}


def _sequence_features(
    content: tf.SparseTensor, parameters: Parameters, params: TransformParams
) -> dict[str, Any]:
    assert parameters.dim, "a sequence has a dimension"
    assert params.max_length, "max_length is known before the graph"
    max_numbers = params.max_length * parameters.dim
    values = tf.RaggedTensor.from_sparse(content)[:, :max_numbers]  # [batch, (time * dim)]
    steps = tf.reshape(values.flat_values, [-1, parameters.dim])  # [time of all rows, dim]
    steps = (steps - parameters.mean) * parameters.scale
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
    """string -> rank from 0, or the number of tokens for a string that the file does not have."""
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticVocabularyTable(
            _initializer(path, tf.string, tf.int64), num_oov_buckets=1
        ),
        name=features.TOKENS_VOCABULARY,
    )


def _label_table(path: Path) -> tf.lookup.StaticHashTable:
    """string -> rank from 0, or -1 for a string that the file does not have."""
    return tft.make_and_track_object(
        lambda: tf.lookup.StaticHashTable(
            _initializer(path, tf.string, tf.int64), default_value=-1
        ),
        name=features.LABELS_VOCABULARY,
    )


def verify(examples: Path, manifest: Manifest, output: Path) -> None:
    """Checks that the graph, which serving will use, computes what the Features hold.

    It sends the first rows of each split through the written graph.

    Raises:
        AssertionError: a row differs.
    """
    graph = tf.saved_model.load(str(local_copy(output / "transform_fn")))
    is_sequence = manifest.content == features.SEQUENCE
    content = features.VALUES if is_sequence else features.IDS
    spec = {
        content: tf.io.VarLenFeature(tf.float32 if is_sequence else tf.int64),
        features.LENGTH: tf.io.FixedLenFeature([], tf.int64),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    }

    for split in manifest.splits:
        source = features.shards(examples, split)[0]
        with reading_all([source, output / f"Split-{split}" / source.name]) as (raw, transformed):
            raw_rows = _first_rows(raw)
            transformed_rows = _first_rows(transformed)

        computed = graph.transform_fn(tf.io.parse_example(raw_rows, raw_features(manifest.content)))
        held = tf.io.parse_example(transformed_rows, spec)
        for name in spec:
            row = _first_difference(computed[name], held[name])
            assert row is None, (
                f"{source}, row {row}: the graph gives other {name} than the Features hold"
            )


def _first_rows(path: str) -> tf.Tensor:
    records = tf.data.TFRecordDataset(path, compression_type="GZIP")
    return next(iter(records.batch(NUM_VERIFIED)))


def _first_difference(computed: Any, held: Any) -> int | None:
    """The number, from 1, of the first row that differs; 1 for other shapes; None if all are equal.

    Both are a tensor or a SparseTensor of [batch, ...].
    """
    if isinstance(computed, tf.SparseTensor):
        computed = tf.sparse.to_dense(computed)
        held = tf.sparse.to_dense(held)
    if computed.shape != held.shape:
        return 1

    for number, (row, held_row) in enumerate(zip(computed.numpy(), held.numpy(), strict=True), 1):
        if not np.array_equal(row, held_row):
            return number
    return None
