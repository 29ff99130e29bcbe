"""The serving graph."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components import features, network
from components.base import Figures
from components.examples import Content, raw_features
from components.saved_model import canonicalize
from components.staging import local

EXAMPLES = tf.TensorSpec([None], tf.string, name="examples")


def export(source: Path, model: Path, output: Path) -> Figures:
    """Writes the SavedModel of a Model with the transform graph of its Features."""
    trained, spec = network.load(model)
    module, signatures = serving_module(trained, spec, source)
    tf.saved_model.save(module, str(output), signatures=signatures)
    canonicalize(output)
    return {"num_bytes": sum(path.stat().st_size for path in output.rglob("*") if path.is_file())}


def serving_module(model: keras.Model, spec: network.Spec, source: Path) -> tuple[tf.Module, dict[str, Callable]]:
    """A module that holds what the functions use, and nothing else: weights (no optimizer, no random state) and tables."""
    content: Content = json.loads((source / "transform.json").read_text()).get("content", features.TEXT)
    module = tf.Module()
    module.weights = {weight.path.replace("/", "."): weight.value for weight in model.weights}
    module.transform = tf.saved_model.load(str(local(source / "transform_fn")))
    module.labels = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(local(source / "vocabularies") / features.LABELS_VOCABULARY),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        ),
        default_value="",
    )

    def transform(raw: Any, label: tf.Tensor) -> dict[str, tf.Tensor]:
        return _pad(module.transform.transform_fn({content: raw, features.LABEL: label}), spec)

    def classify(raw: Any) -> dict[str, tf.Tensor]:
        row = transform(raw, tf.fill(tf.shape(raw)[:1], ""))
        inputs = (row[features.VALUES], row[features.LENGTH]) if spec.dim else row[features.IDS]
        probabilities = tf.ensure_shape(model(inputs, training=False), [None, spec.num_classes])
        class_id = tf.argmax(probabilities, axis=-1)
        return {"probabilities": probabilities, "label": module.labels.lookup(class_id), "class_id": class_id}

    to_raw, arguments = _request(content, spec)

    @tf.function(input_signature=arguments, autograph=False)
    def serving_default(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify(to_raw(*given))

    @tf.function(input_signature=[EXAMPLES], autograph=False)
    def serving_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify(_parse(examples, content, spec)[content])

    @tf.function(input_signature=[EXAMPLES], autograph=False)
    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        row = _parse(examples, content, spec)
        return transform(row[content], row[features.LABEL])

    module.serving_default, module.serving_examples, module.transform_features = serving_default, serving_examples, transform_features
    return module, {function.__name__: function for function in (serving_default, serving_examples, transform_features)}


def _request(content: Content, spec: network.Spec) -> tuple[Callable[..., Any], list[tf.TensorSpec]]:
    """(what makes the transform graph's input of `serving_default`'s arguments, their specs)."""
    if content == features.TEXT:
        return lambda text: text, [tf.TensorSpec([None], tf.string, name=content)]
    if content == features.TOKENS:
        return (
            lambda tokens: tf.RaggedTensor.from_tensor(tokens, padding="").to_sparse(),
            [tf.TensorSpec([None, None], tf.string, name=content)],
        )

    def to_sparse(sequence: tf.Tensor, length: tf.Tensor) -> tf.SparseTensor:
        batch, time = tf.unstack(tf.shape(sequence, out_type=tf.int64)[:2])
        checks = [
            tf.debugging.assert_equal(tf.size(length, out_type=tf.int64), batch, "length needs one entry for each row of sequence"),
            tf.debugging.assert_non_negative(length, "length is negative"),
            tf.debugging.assert_less_equal(length, time, "length is greater than the time of sequence"),
        ]
        with tf.control_dependencies(checks):
            flat = tf.reshape(sequence, [batch, time * spec.dim])
        return tf.RaggedTensor.from_tensor(flat, lengths=length * spec.dim).to_sparse()

    return to_sparse, [
        tf.TensorSpec([None, None, spec.dim], tf.float32, name=content),
        tf.TensorSpec([None], tf.int64, name=features.LENGTH),
    ]


def _pad(row: dict[str, Any], spec: network.Spec) -> dict[str, tf.Tensor]:
    """The transform graph's sparse ids or values as dense ones, [batch, time] or [batch, time, dim]."""
    name, width = (features.VALUES, spec.dim) if spec.dim else (features.IDS, 1)
    pad_to = None if spec.masking else spec.max_length
    dense = tf.sparse.to_dense(row[name], default_value=features.PAD_ID)
    missing = tf.maximum((pad_to or 1) * width - tf.shape(dense)[1], 0)
    padded = tf.pad(dense, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
    if spec.dim:
        # Not -1 for the time: a request without a row has no size to infer it from.
        padded = tf.reshape(padded, [tf.shape(padded)[0], tf.shape(padded)[1] // spec.dim, spec.dim])
    return {**row, name: tf.ensure_shape(padded, [None, pad_to, spec.dim] if spec.dim else [None, pad_to])}


def _parse(examples: tf.Tensor, content: Content, spec: network.Spec) -> dict[str, Any]:
    """The content and label ("" for none) of serialized tf.Examples."""
    optional = tf.io.FixedLenFeature([], tf.string, default_value="")
    row = tf.io.parse_example(examples, {**raw_features(content), features.LABEL: optional})
    if spec.dim:
        sizes = tf.RaggedTensor.from_sparse(row[content]).row_lengths()
        whole = tf.debugging.assert_equal(sizes % spec.dim, tf.zeros_like(sizes), f"`{content}` holds no multiple of {spec.dim} numbers")
        with tf.control_dependencies([whole]):
            row[content] = tf.sparse.map_values(tf.identity, row[content])
    return row
