"""The serving graph."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from components import features, network
from components.base import Figures
from components.saved_model import canonicalize

TEXT = tf.TensorSpec([None], tf.string, name="text")
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
    module = tf.Module()
    module.weights = {weight.path.replace("/", "."): weight.value for weight in model.weights}
    module.transform = tf.saved_model.load(str(source / "transform_fn"))
    module.labels = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(source / "vocabularies" / features.LABELS_VOCABULARY),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        ),
        default_value="",
    )
    pad_to = None if spec.masking else spec.max_length

    def to_ids(text: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        row = module.transform.transform_fn({features.TEXT: text, features.LABEL: label})
        ids = tf.sparse.to_dense(row[features.IDS], default_value=features.PAD_ID)  # [batch, time]
        missing = tf.maximum((pad_to or 1) - tf.shape(ids)[1], 0)
        padded = tf.pad(ids, [[0, 0], [0, missing]], constant_values=features.PAD_ID)
        return {**row, features.IDS: tf.ensure_shape(padded, [None, pad_to])}

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = to_ids(text, tf.zeros_like(text))[features.IDS]
        probabilities = tf.ensure_shape(model(ids, training=False), [None, spec.num_classes])
        class_id = tf.argmax(probabilities, axis=-1)
        return {"probabilities": probabilities, "label": module.labels.lookup(class_id), "class_id": class_id}

    @tf.function(input_signature=[TEXT], autograph=False)
    def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify(text)

    @tf.function(input_signature=[EXAMPLES], autograph=False)
    def serving_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify(_parse(examples)[features.TEXT])

    @tf.function(input_signature=[EXAMPLES], autograph=False)
    def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        row = _parse(examples)
        return to_ids(row[features.TEXT], row[features.LABEL])

    module.serving_default, module.serving_examples, module.transform_features = serving_default, serving_examples, transform_features
    return module, {function.__name__: function for function in (serving_default, serving_examples, transform_features)}


def _parse(examples: tf.Tensor) -> dict[str, tf.Tensor]:
    string = tf.io.FixedLenFeature([], tf.string)
    optional = tf.io.FixedLenFeature([], tf.string, default_value="")
    return tf.io.parse_example(examples, {features.TEXT: string, features.LABEL: optional})
