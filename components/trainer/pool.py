"""Pools the wide part's log-probabilities with the recurrent part's.

    log p = a log p_wide + b log p_recurrent - normaliser

a and b have the least cross-entropy on the eval split, drawn a little to CENTER: where the eval
split is small, or its rows are easy, the recurrent part is heard a third as much. That calibrates
the whole, too: a part that is too sure gets less than 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from components.trainer.wide_batches import paths_of
from seqline.data import features
from seqline.data.ngrams import Rows
from seqline.model.wide import Wide, pooled
from seqline.storage.staging import reading

# What a and b are drawn to, and how strongly. On folds of nine sets, with six recipes of the
# recurrent part, accuracy is .0012 higher, cross-entropy .004 and ECE .0016 lower than with .02
# towards 1 and 1; a pull of .02, and centers of (1, 0) or (1, .5), are as good.
CENTER = np.array([1.0, 0.3])
PULL = 0.05
# The most of a and b.
MOST = 20.0
# The most log-probabilities of each part that decide a and b: 128 MB of each.
MOST_NUMBERS = 2**24
# Rows of a call of the network, and the least probability whose logarithm is finite.
BATCH_ROWS = 256
TINY = 1e-30


@dataclass(frozen=True)
class Answers:
    """What both parts say of a shard of the eval split.

    Attributes:
        wide, recurrent: Log-probabilities, float64 [n, num_classes]; recurrent is None without a
            recurrent part.
        labels: int64 [n].
    """

    wide: np.ndarray
    recurrent: np.ndarray | None
    labels: np.ndarray


def pool(
    wide: Wide, model: keras.Model | None, source: Path
) -> tuple[np.ndarray, dict[str, float]]:
    """Finds a and b, and judges the parts and the whole on all of the eval split.

    Args:
        model: The recurrent part; None if there is none.
        source: The Features.

    Returns:
        ([a, b], the figures eval_accuracy, eval_loss and those of each part).
    """
    ask = Recurrent(model) if model is not None else None
    first: list[Answers] = []
    num = 0
    for answers in _answers(wide, ask, source):
        first.append(answers)
        num += answers.wide.size
        if num >= MOST_NUMBERS:
            break

    weights = np.array([1.0, 0.0])
    if ask is not None:
        weights = fit_pool(first)

    whole, of_wide, of_recurrent = _Sums(), _Sums(), _Sums()
    is_all = num < MOST_NUMBERS
    for answers in first if is_all else _answers(wide, ask, source):
        of_wide.add(answers.wide, answers.labels)
        if answers.recurrent is None:
            whole.add(answers.wide, answers.labels)
        else:
            of_recurrent.add(answers.recurrent, answers.labels)
            whole.add(pooled(answers.wide, answers.recurrent, weights), answers.labels)

    figures = {"eval_accuracy": whole.accuracy, "eval_loss": whole.loss}
    if ask is not None:
        figures["eval_accuracy_wide"] = of_wide.accuracy
        figures["eval_accuracy_recurrent"] = of_recurrent.accuracy
    return weights, figures


def fit_pool(answers: Sequence[Answers]) -> np.ndarray:
    """a and b with the least cross-entropy plus PULL |(a, b) - CENTER|^2, float64 [2]."""
    wide = np.concatenate([part.wide for part in answers])
    recurrent = np.concatenate([part.recurrent for part in answers if part.recurrent is not None])
    labels = np.concatenate([part.labels for part in answers])
    parts, rows = (wide, recurrent), np.arange(len(labels))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_whole = pooled(wide, recurrent, weights)
        whole = np.exp(log_whole)
        slopes = [((whole * part).sum(axis=1) - part[rows, labels]).mean() for part in parts]
        value = -log_whole[rows, labels].mean() + PULL * np.square(weights - CENTER).sum()
        return value, np.array(slopes) + 2 * PULL * (weights - CENTER)

    found = minimize(loss, np.full(2, 0.5), jac=True, method="L-BFGS-B", bounds=[(0, MOST)] * 2)
    return np.asarray(found.x, np.float64)


class Recurrent:
    """Asks a network for log-probabilities, in the order of the rows."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.time = model.input_shape[1]
        self.call = tf.function(
            lambda ids: model(ids, training=False),
            autograph=False,
            input_signature=[tf.TensorSpec([None, self.time], tf.int64)],
        )

    def __call__(self, path: Path) -> np.ndarray:
        """float64 [rows of a shard of Features, num_classes]."""
        ids = _ids(path)
        num_rows = int(ids.nrows())
        order = np.argsort(ids.row_lengths().numpy(), kind="stable")
        result = np.zeros((num_rows, self.model.output_shape[-1]))
        for first in range(0, num_rows, BATCH_ROWS):
            chosen = order[first : first + BATCH_ROWS]
            dense = tf.gather(ids, chosen).to_tensor(features.PAD_ID, shape=[None, self.time])
            # One time step at least.
            dense = tf.pad(dense, [[0, 0], [0, max(0, 1 - dense.shape[1])]])
            result[chosen] = self.call(dense).numpy()
        return np.log(np.maximum(result, TINY))


def _answers(
    wide: Wide, ask: Callable[[Path], np.ndarray] | None, source: Path
) -> Iterator[Answers]:
    paths = features.shards(source, features.EVAL)
    for path, ngrams_path in zip(paths, paths_of(source, features.EVAL), strict=True):
        rows = Rows.read(ngrams_path)
        if len(rows):
            recurrent = ask(path) if ask else None
            yield Answers(wide.log_probabilities(rows), recurrent, rows.labels)


def _ids(path: Path) -> tf.RaggedTensor:
    with reading(path) as name:
        serialized = list(tf.data.TFRecordDataset(name, compression_type="GZIP"))
    spec = {features.IDS: tf.io.RaggedFeature(tf.int64)}
    return tf.io.parse_example(tf.stack(serialized), spec)[features.IDS]


class _Sums:
    """Sums over rows."""

    def __init__(self) -> None:
        self.rows, self.right, self.losses = 0, 0, 0.0

    def add(self, log_probabilities: np.ndarray, labels: np.ndarray) -> None:
        self.rows += len(labels)
        self.right += int((log_probabilities.argmax(axis=1) == labels).sum())
        self.losses -= float(log_probabilities[np.arange(len(labels)), labels].sum())

    @property
    def accuracy(self) -> float:
        return self.right / self.rows

    @property
    def loss(self) -> float:
        return self.losses / self.rows
