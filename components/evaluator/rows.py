"""Reads Examples in blocks of rows and asks a SavedModel about them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqline.data import features
from seqline.data.examples import Block, blocks, content_of
from seqline.storage.staging import local_copy, path_of

# Rows that a model is asked about at once.
BATCH_SIZE = 256

Request = dict[str, tf.Tensor]


def rows(examples: Path, split: str) -> Iterator[tuple[Request, tf.Tensor]]:
    """(the arguments of `serving_default`, label [batch]) of a split's rows, in order."""
    content, dim = content_of(examples)
    for path in features.shards(examples, split):
        for block in blocks(path, content, size=BATCH_SIZE):
            yield request(content, dim, block.content), tf.constant(block.labels)


def request(content: str, dim: int | None, raw: Any) -> Request:
    """The arguments of `serving_default`. raw.

    String [batch] for text, otherwise ragged [batch, any].
    """
    if content == features.TEXT:
        return {content: raw}
    padded = raw.to_tensor()
    if dim is None:
        return {content: padded}
    return {
        content: tf.reshape(padded, [len(padded), padded.shape[1] // dim, dim]),
        features.LENGTH: raw.row_lengths() // dim,
    }


def size_of(content: str, raw: Any) -> np.ndarray:
    """How much each row holds, [rows]: bytes of a text, otherwise tokens or numbers."""
    return (tf.strings.length(raw) if content == features.TEXT else raw.row_lengths()).numpy()


class Model:
    """A SavedModel that answers in terms of `labels`, which need not be its own.

    A class of its own that is not among them is predicted as -1; one of them that it does not know
    has probability 0.
    """

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        self.loaded = tf.saved_model.load(str(local_copy(path_of(folder))))
        self.serve = self.loaded.signatures["serving_default"]
        place = {label: index for index, label in enumerate(labels)}
        self.own_labels = labels_of(folder)
        self.columns = np.array([place.get(label, -1) for label in self.own_labels])
        self.num_classes = len(labels)

    def arguments(self) -> dict[str, tuple[Any, ...]]:
        """name -> shape, with None for any size."""
        return {
            name: tuple(spec.shape)
            for name, spec in self.serve.structured_input_signature[1].items()
        }

    def answer(self, block: Block, content: str, dim: int | None) -> tuple[np.ndarray, np.ndarray]:
        """(probabilities: float32 [rows, num_classes], predicted class: int64 [rows])."""
        order = np.argsort(size_of(content, block.content), kind="stable")
        probabilities = np.zeros((len(order), self.num_classes), np.float32)
        predicted = np.zeros(len(order), np.int64)
        known = self.columns >= 0
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            found = self.serve(**request(content, dim, tf.gather(block.content, chosen)))
            probabilities[np.ix_(chosen, self.columns[known])] = found["probabilities"].numpy()[
                :, known
            ]
            predicted[chosen] = self.columns[found["class_id"].numpy()]
        return probabilities, predicted


def labels_of(saved_model: str) -> list[str]:
    """The labels of a SavedModel, in the order of its class ids."""
    return (
        (path_of(saved_model) / "assets" / features.LABELS_VOCABULARY)
        .read_text(encoding="utf-8")
        .split("\n")[:-1]
    )
