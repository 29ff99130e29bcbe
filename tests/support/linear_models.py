"""SavedModels of linear models, for tests of the evaluator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.support.corpus import write_examples


def linear_model(path: Path, labels: Sequence[str], weights: np.ndarray, bias: np.ndarray) -> Path:
    """A SavedModel: the softmax of a linear function of a sequence.

    Args:
        path: The folder for the model and its labels.
        labels: The label of each class.
        weights: [time, dim, num_classes].
        bias: [num_classes].
    """
    (path / "assets.in").mkdir(parents=True)
    (path / "assets.in" / "labels").write_text("".join(f"{label}\n" for label in labels))
    module = tf.Module()
    module.labels = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(path / "assets.in" / "labels"),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        ),
        "",
    )

    dim = weights.shape[1]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, dim], tf.float32, "sequence"),
            tf.TensorSpec([None], tf.int64, "length"),
        ]
    )
    def serve(sequence: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.einsum("btd,tdc->bc", sequence, tf.constant(weights, tf.float32)) + tf.constant(
            bias, tf.float32
        )
        probabilities = tf.nn.softmax(logits + 0 * tf.cast(length, tf.float32)[:, None])
        class_id = tf.argmax(probabilities, axis=-1)
        return {
            "probabilities": probabilities,
            "class_id": class_id,
            "label": module.labels.lookup(class_id),
        }

    module.serve = serve
    tf.saved_model.save(module, str(path / "saved_model"), signatures={"serving_default": serve})
    return path


def small(tmp_path: Path, test: list[tuple[Any, str]], weight: float = 1.0) -> tuple[Path, Path]:
    """Sequences of one number x; the model gives class b the probability 1 / (1 + exp(-x))."""
    examples = write_examples(tmp_path / "examples", {"train": test, "test": test}, "sequence")
    return examples, linear_model(
        tmp_path / "model", ["a", "b"], np.array([[[0.0, weight]]]), np.zeros(2)
    )
