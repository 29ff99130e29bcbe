"""Runs the SavedModel over the test split and writes the evaluation."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from components import features
from components.base import Figures
from components.evaluator import EvaluatorParams, baselines, metrics

log = logging.getLogger("seqline.evaluator")

BATCH_SIZE = 256
RAW_FEATURES = {
    features.TEXT: tf.io.FixedLenFeature([], tf.string),
    features.LABEL: tf.io.FixedLenFeature([], tf.string),
}


def evaluate(examples: Path, saved_model: Path, params: EvaluatorParams, output: Path) -> Figures:
    """Writes evaluation.json and returns its main figures."""
    metric = measure(examples, saved_model / features.SAVED_MODEL)
    compared = compare(examples, params)
    refusals = refuse(metric, compared, params)
    evaluation = {**metric, "baselines": compared, "blessed": not refusals, "refusals": refusals}
    output.write_text(json.dumps(evaluation, indent=2) + "\n")
    return {name: value for name, value in evaluation.items() if name not in ("classes", "confusion_matrix")}


def measure(examples: Path, saved_model: Path) -> Figures:
    """The metrics of a SavedModel on the test split, streamed through its `serving_default`."""
    labels = (saved_model / "assets" / features.LABELS_VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
    number = {label.encode(): index for index, label in enumerate(labels)}
    model = tf.saved_model.load(str(saved_model))
    serve = model.signatures["serving_default"]
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    log_loss = 0.0
    for text, label in rows(examples, features.TEST):
        answer = serve(text=text)
        truth = np.array([number[each] for each in label.numpy()])
        np.add.at(confusion, (truth, answer["class_id"].numpy()), 1)
        log_loss += metrics.sum_of_log_losses(answer["probabilities"].numpy(), truth)
    return metrics.classification(labels, confusion, log_loss / int(confusion.sum()))


def rows(examples: Path, split: str) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """(text [batch], label [batch]) of a split, in order."""
    for path in features.shards(examples, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP").batch(BATCH_SIZE).prefetch(2):
            row = tf.io.parse_example(serialized, RAW_FEATURES)
            yield row[features.TEXT], row[features.LABEL]


def compare(examples: Path, params: EvaluatorParams) -> dict[str, float]:
    """The baselines' test accuracies."""
    train, test = (_in_memory(examples, split) for split in (features.TRAIN, features.TEST))
    found = {baselines.MAJORITY: baselines.majority(train[1], test[1])}
    if params.baseline != "none":
        accuracy = baselines.tfidf_logistic_regression(train, test, params.baseline)
        if accuracy is None:
            log.warning("scikit-learn is not installed: no linear baseline. pip install 'seqline[sample]'")
        else:
            found[baselines.TFIDF] = accuracy
    return found


def _in_memory(examples: Path, split: str) -> tuple[list[str], list[str]]:
    texts, labels = [], []
    for text, label in rows(examples, split):
        texts += [each.decode() for each in text.numpy()]
        labels += [each.decode() for each in label.numpy()]
    return texts, labels


def refuse(metric: Figures, compared: dict[str, float], params: EvaluatorParams) -> list[str]:
    """Why the model must not be served; empty for a blessing."""
    gain = metric["accuracy"] - compared[baselines.MAJORITY]
    floors = [
        ("accuracy", metric["accuracy"], "min_accuracy", params.min_accuracy),
        ("macro F1", metric["macro_f1"], "min_macro_f1", params.min_macro_f1),
        ("gain over the majority class", gain, "min_gain_over_majority", params.min_gain_over_majority),
    ]
    refusals = [f"{name} {value:.4f} is under {field} {floor}" for name, value, field, floor in floors if value < floor]
    if not math.isfinite(metric["cross_entropy"]):
        refusals.append(f"cross-entropy {metric['cross_entropy']} is not a number")
    elif params.max_cross_entropy is not None and metric["cross_entropy"] > params.max_cross_entropy:
        refusals.append(f"cross-entropy {metric['cross_entropy']:.4f} is over max_cross_entropy {params.max_cross_entropy}")
    return refusals
