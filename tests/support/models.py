"""SavedModels that answer by a rule that a test can work out."""

from pathlib import Path

import tensorflow as tf


def fake_model(path: Path, content: str, sure: float = 0.75) -> Path:
    """A SavedModel that calls a row "odd" or "even" by its length.

    The length is the number of tokens, or the sum of the first numbers of the time steps. If the
    sum is infinite, the probabilities are NaN, and the class is not to be trusted.
    """

    def answer(parity: tf.Tensor) -> dict[str, tf.Tensor]:
        class_id = tf.cast(parity % 2, tf.int64)
        return {
            "class_id": class_id,
            "probabilities": tf.one_hot(class_id, 2, sure, 1 - sure),
            "label": module.labels.lookup(class_id),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "tokens")])
    def by_tokens(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.reduce_sum(tf.cast(tokens != "", tf.int32), axis=1))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 2], tf.float32, "sequence"),
            tf.TensorSpec([None], tf.int64, "length"),
        ]
    )
    def by_sequence(sequence: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        present = tf.sequence_mask(length, tf.shape(sequence)[1], tf.float32)
        total = tf.reduce_sum(sequence[:, :, 0] * present, axis=1)  # [batch]
        answers = answer(tf.cast(total, tf.int32))
        answers["probabilities"] += 0 * total[:, None]  # NaN where the sum is infinite
        return answers

    path.mkdir(parents=True)
    (path / "labels").write_text("even\nodd\n")
    module = tf.Module()
    module.labels = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(path / "labels"),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        ),
        "",
    )
    module.serve = {"tokens": by_tokens, "sequence": by_sequence}[content]
    tf.saved_model.save(
        module, str(path / "saved_model"), signatures={"serving_default": module.serve}
    )
    return path / "saved_model"
