"""A SavedModel that answers in terms of given labels."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.evaluator.rows import BATCH_SIZE
from seqline.data import features
from seqline.data.examples import Block
from seqline.data.labels import normal
from seqline.model.served import NO_CLASS, ServedModel


class AlignedModel:
    """A SavedModel whose classes are those of `labels`, which need not be its own.

    A label that the model does not know has probability 0. A class of the model that is not among
    the labels is predicted as -1, and so is the class of a row that has none.
    """

    def __init__(self, model: str | ServedModel, labels: Sequence[str]) -> None:
        self.served = model if isinstance(model, ServedModel) else ServedModel(model)
        self.num_classes = len(labels)
        column_of = {label: column for column, label in enumerate(labels)}
        # The column of each class of the model's own.
        self.columns = np.array([column_of.get(normal(label), -1) for label in self.served.labels])

    def answer(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Asks the model about a block, in batches of rows of about one length.

        Returns:
            (probabilities: float32 [rows, num_classes], predicted class: int64 [rows]).
        """
        order = np.argsort(_sizes(self.served.content, block.content), kind="stable")
        probabilities = np.zeros((len(order), self.num_classes), np.float32)
        predicted = np.zeros(len(order), np.int64)
        known = self.columns >= 0
        # Classes for several forms of one label, as earlier versions had them, share a column.
        is_shared = len(set(self.columns[known].tolist())) < known.sum()

        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            answers = self.served.ask(tf.gather(block.content, chosen))
            own = answers["probabilities"]  # [batch, the model's own classes]
            places = np.ix_(chosen, self.columns[known])
            if is_shared:
                np.add.at(probabilities, places, own[:, known])
            else:
                probabilities[places] = own[:, known]
            class_id = answers["class_id"]
            predicted[chosen] = np.where(class_id == NO_CLASS, -1, self.columns[class_id])
        return probabilities, predicted


def _sizes(content: str, rows: tf.Tensor | tf.RaggedTensor) -> np.ndarray:
    """The size of each row, [rows]: bytes of a text, otherwise tokens or numbers."""
    sizes = tf.strings.length(rows) if content == features.TEXT else rows.row_lengths()
    return sizes.numpy()
