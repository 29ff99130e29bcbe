"""Runs the SavedModel over the test split and writes the evaluation."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.base import Figures
from components.evaluator import EvaluatorParams, baselines, metrics
from components.examples import MANIFEST, raw_features
from components.staging import reading

log = logging.getLogger("seqline.evaluator")

BATCH_SIZE = 256
# Rows of test whose answers are recorded for those who ask the model later, in another place.
NUM_ANSWERS = 64


def evaluate(examples: Path, saved_model: Path, params: EvaluatorParams, output: Path) -> Figures:
    """Writes evaluation.json, and answers.jsonl beside it; returns the evaluation's main figures."""
    metric = measure(examples, saved_model / features.SAVED_MODEL)
    write_answers(examples, saved_model / features.SAVED_MODEL, output.with_name(features.ANSWERS))
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
    for row, label in rows(examples, features.TEST):
        answer = serve(**row)
        truth = np.array([number[each] for each in label.numpy()])
        np.add.at(confusion, (truth, answer["class_id"].numpy()), 1)
        log_loss += metrics.sum_of_log_losses(answer["probabilities"].numpy(), truth)
    return metrics.classification(labels, confusion, log_loss / int(confusion.sum()))


def write_answers(examples: Path, saved_model: Path, output: Path) -> None:
    """Writes {"row", "probabilities"} of the first rows of test, one a line: the row as a JSON request of `serving_default` has it,
    its probabilities so that float32 loses nothing.

    On the CPU: a GPU may round its products to 10 bits (TF32), and a server elsewhere would not answer the same.
    """
    with tf.device("CPU:0"), output.open("w", encoding="utf-8") as file:
        serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
        row, _ = next(rows(examples, features.TEST))
        row = {name: value[:NUM_ANSWERS] for name, value in row.items()}
        for request, probabilities in zip(_as_json(row), serve(**row)["probabilities"].numpy().tolist(), strict=True):
            file.write(json.dumps({"row": request, "probabilities": probabilities}, ensure_ascii=False) + "\n")


def _as_json(row: dict[str, tf.Tensor]) -> Iterator[dict[str, Any]]:
    """The rows of a batch of arguments, each without its padding."""
    if features.TEXT in row:
        yield from ({features.TEXT: text.decode()} for text in row[features.TEXT].numpy())
    elif features.TOKENS in row:
        yield from ({features.TOKENS: [token.decode() for token in tokens if token]} for tokens in row[features.TOKENS].numpy())
    else:
        for sequence, length in zip(row[features.SEQUENCE].numpy(), row[features.LENGTH].numpy().tolist(), strict=True):
            yield {features.SEQUENCE: sequence[:length].tolist(), features.LENGTH: length}


def content_of(examples: Path) -> tuple[Any, int | None]:
    """(what a row holds: text, tokens or sequence; the numbers of a sequence's time step)."""
    if not (examples / MANIFEST).is_file():
        return features.TEXT, None
    manifest = json.loads((examples / MANIFEST).read_text(encoding="utf-8"))
    return manifest["content"], manifest["dim"]


def rows(examples: Path, split: str) -> Iterator[tuple[dict[str, tf.Tensor], tf.Tensor]]:
    """(the arguments of `serving_default`, label [batch]) of a split's rows, in order."""
    content, dim = content_of(examples)
    spec = raw_features(content)
    for path in features.shards(examples, split):
        with reading(path) as name:
            for serialized in tf.data.TFRecordDataset(name, compression_type="GZIP").batch(BATCH_SIZE).prefetch(2):
                row = tf.io.parse_example(serialized, spec)
                yield _request(content, dim, row[content]), row[features.LABEL]


def _request(content: str, dim: int | None, raw: Any) -> dict[str, tf.Tensor]:
    """raw: string [batch] for text, otherwise sparse [batch, any]."""
    if content == features.TEXT:
        return {content: raw}
    ragged = tf.RaggedTensor.from_sparse(raw)
    padded = ragged.to_tensor()
    if dim is None:
        return {content: padded}
    return {content: tf.reshape(padded, [len(padded), padded.shape[1] // dim, dim]), features.LENGTH: ragged.row_lengths() // dim}


def compare(examples: Path, params: EvaluatorParams) -> dict[str, float]:
    """The baselines' test accuracies."""
    train, test = (_in_memory(examples, split) for split in (features.TRAIN, features.TEST))
    found = {baselines.MAJORITY: baselines.majority(train[1], test[1])}
    if params.baseline != "none":
        if isinstance(train[0][0], np.ndarray):
            name, accuracy = baselines.STATISTICS, baselines.statistics_logistic_regression(train, test)
        else:
            name, accuracy = baselines.TFIDF, baselines.tfidf_logistic_regression(train, test, params.baseline)
        if accuracy is None:
            log.warning("scikit-learn is not installed: no linear baseline. pip install 'seqline[sample]'")
        else:
            found[name] = accuracy
    return found


def _in_memory(examples: Path, split: str) -> tuple[list[Any], list[str]]:
    """(contents, labels) of a split; a content is a text, a list of tokens or an array [time, dim]."""
    contents: list[Any] = []
    labels: list[str] = []
    for row, label in rows(examples, split):
        if features.TEXT in row:
            contents += [text.decode() for text in row[features.TEXT].numpy()]
        elif features.TOKENS in row:
            contents += [[token.decode() for token in tokens if token] for tokens in row[features.TOKENS].numpy().tolist()]
        else:
            pairs = zip(row[features.SEQUENCE].numpy(), row[features.LENGTH].numpy(), strict=True)
            contents += [sequence[:length] for sequence, length in pairs]
        labels += [each.decode() for each in label.numpy()]
    return contents, labels


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
