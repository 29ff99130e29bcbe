"""The SavedModel as Beam's RunInference asks it, loaded once in each process.

A batch is padded to its longest row. So the rows of a chunk are sorted by length, cut into batches
and answered, and the answers go back to the rows' places. The batches depend on the chunk alone: a
second try gives the same bits.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler

from components.bulk_inferrer.chunks import Chunk
from seqline.data import features
from seqline.host import progress
from seqline.model.served import ServedModel, has_class
from seqline.rows.row import BadRow

# More rows in a batch were measured to be no faster on a CPU, and to pad more.
BATCH_ROWS = 512
# Cells of a padded batch: bytes of texts, tokens, or numbers of sequences. 512 texts of 4 KiB.
BATCH_CELLS = 1 << 21
# Probabilities of a batch: up to 2,048 classes it may have BATCH_ROWS rows.
BATCH_PROBABILITIES = 1 << 20
# Batches at once: TensorFlow leaves cores idle between two steps of a recurrence.
MAX_THREADS = 4


@dataclass(frozen=True)
class AnsweredChunk:
    """A chunk with the model's answers.

    Attributes:
        chunk: The rows that have a class; the others are among its bad rows.
        probabilities: float32 [rows, classes].
        class_id: int64 [rows].
        labels: The label of each row, UTF-8.
    """

    chunk: Chunk
    probabilities: np.ndarray
    class_id: np.ndarray
    labels: list[bytes]


class SavedModelHandler(ModelHandler[list[Chunk], AnsweredChunk, ServedModel]):
    """RunInference over lists of one Chunk.

    Beam's own batching is off. `answer` cuts a chunk into batches, because it knows the length of
    every row.
    """

    def __init__(self, model: str, signature: str, unverified: bool = False) -> None:
        super().__init__()
        self.model = model
        self.signature = signature
        self.unverified = unverified

    def load_model(self) -> ServedModel:
        return ServedModel(self.model, self.signature, self.unverified)

    def should_skip_batching(self) -> bool:
        return True

    def run_inference(
        self, batch: Sequence[Chunk], model: ServedModel, inference_args: Any = None
    ) -> Iterator[AnsweredChunk]:
        for chunk in batch:
            yield answer(chunk, model)

    def get_num_bytes(self, batch: Sequence[Chunk]) -> int:
        return sum(chunk.num_bytes for chunk in batch)

    def get_metrics_namespace(self) -> str:
        return "seqline.bulk_inferrer"


def answer(chunk: Chunk, model: ServedModel) -> AnsweredChunk:
    """Asks a model about every row of a chunk."""
    contents = [row.content for row in chunk.rows]
    probabilities = np.zeros((len(contents), len(model.labels)), np.float32)
    class_id = np.zeros(len(contents), np.int64)
    labels = np.zeros(len(contents), object)

    def ask(rows: list[int]) -> None:
        answers = model.ask(to_tensor(model.content, [contents[row] for row in rows]))
        probabilities[rows] = answers["probabilities"]
        class_id[rows] = answers["class_id"]
        labels[rows] = answers["label"]
        progress.advance(len(rows))

    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        lengths = [len(content) for content in contents]
        most_rows = max(1, min(BATCH_ROWS, BATCH_PROBABILITIES // len(model.labels)))
        list(pool.map(ask, batches(lengths, model.dim or 1, most_rows)))

    answered = has_class(probabilities)
    if not answered.all():
        chunk = _without(chunk, np.flatnonzero(~answered).tolist())
    return AnsweredChunk(
        chunk, probabilities[answered], class_id[answered], labels[answered].tolist()
    )


def _without(chunk: Chunk, lacking: Sequence[int]) -> Chunk:
    """A chunk whose rows without a class are bad rows, in the order of their places."""
    refused = set(lacking)
    bad = [
        BadRow(
            row.file,
            row.line,
            "the model's probabilities for it are not finite: its numbers are too large",
            "format",
        )
        for number, row in enumerate(chunk.rows)
        if number in refused
    ]
    rows = [row for number, row in enumerate(chunk.rows) if number not in refused]
    in_order = sorted([*chunk.bad, *bad], key=lambda row: (row.file, row.line))
    return replace(chunk, rows=rows, bad=in_order)


def batches(lengths: Sequence[int], width: int = 1, most_rows: int = BATCH_ROWS) -> list[list[int]]:
    """Puts rows of similar length together.

    A batch has at most BATCH_CELLS cells unless it is a single row.

    Args:
        lengths: The length of each row.
        width: Cells of one step of a row.
        most_rows: Rows of a batch, at most.

    Returns:
        The numbers of the rows of each batch. Every row is in one batch.
    """
    filled: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The rows come by length, so this one is the longest so far.
        if (
            filled
            and len(filled[-1]) < most_rows
            and (len(filled[-1]) + 1) * lengths[row] * width <= BATCH_CELLS
        ):
            filled[-1].append(row)
        else:
            filled.append([row])
    return filled


def to_tensor(content: str, rows: Sequence[Any]) -> tf.Tensor | tf.RaggedTensor:
    """The rows of a batch as `ServedModel.ask` takes them.

    Args:
        content: What a row holds.
        rows: bytes for text, lists of bytes for tokens, arrays [time, dim] for sequences.
    """
    if content == features.TEXT:
        return tf.constant(rows, tf.string)
    if content == features.TOKENS:
        values = tf.constant(list(chain.from_iterable(rows)), tf.string)
        return tf.RaggedTensor.from_row_lengths(values, [len(row) for row in rows])
    values = tf.constant(np.concatenate([row.ravel() for row in rows]), tf.float32)
    return tf.RaggedTensor.from_row_lengths(values, [row.size for row in rows])
