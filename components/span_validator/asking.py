"""Rows of Examples, and what the served SavedModel makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqline.data import features
from seqline.data.examples import raw_features, span_of
from seqline.data.examples import records as read_records
from seqline.data.manifest import Manifest
from seqline.errors import UserError
from seqline.model.served import ServedModel, merge_labels
from seqline.storage.staging import path_of

BATCH_SIZE = 256
# Records whose labels are read at once.
NUM_PARSED = 4096
# A model that was exported elsewhere may lack the second one.
PREDICT, TRANSFORM = "serving_examples", "transform_features"


@dataclass
class Answers:
    """Rows with the answers of the served model.

    Attributes:
        labels: The rows' own labels.
        probabilities: One array for each batch, float32 [batch, classes], in the order of the
            model's labels.
        num_tokens: Tokens of all rows together; 0 for sequences.
        num_unknown: Those of them that are not in the model's vocabulary.
    """

    labels: list[str] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)
    num_tokens: int = 0
    num_unknown: int = 0

    @property
    def table(self) -> np.ndarray:
        """The probabilities of all rows, float32 [rows, classes]."""
        if not self.probabilities:
            return np.zeros((0, 0), np.float32)
        return np.concatenate(self.probabilities)


class SpanAsker:
    """Asks the served version about serialized tf.Examples.

    Attributes:
        labels: The model's labels in their normal form, in the order of its class ids.

    Raises:
        UserError: The version has no signature for tf.Examples.
    """

    def __init__(self, folder: str) -> None:
        self.model = ServedModel(folder, PREDICT)
        if not self.model.has(PREDICT):
            raise UserError(
                f"The served version {folder} has no signature {PREDICT}: seqline did not export "
                "it. Push another one first."
            )

        self.labels, self._places = merge_labels(self.model.labels)
        tokens = path_of(folder) / "assets" / features.TOKENS_VOCABULARY
        self.oov_id = None
        if tokens.is_file() and self.model.has(TRANSFORM):
            self.oov_id = features.oov_id(len(tokens.read_bytes().split(b"\n")) - 1)

    def ask(self, records: Sequence[bytes], labels: Sequence[str]) -> Answers:
        """Asks about rows.

        Args:
            records: Serialized tf.Examples.
            labels: The label of each.

        Raises:
            UserError: The model reads another kind of content.
        """
        answers = Answers(list(labels))
        try:
            for start in range(0, len(records), BATCH_SIZE):
                self._ask_batch(records[start : start + BATCH_SIZE], answers)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"The served version {self.model.folder} cannot read these Examples "
                f"({error.message.splitlines()[0]}). "
                "Push to another place with --set pusher.serving_dir=..."
            ) from None
        return answers

    def _ask_batch(self, records: Sequence[bytes], answers: Answers) -> None:
        """Adds the answers to a batch."""
        batch = {"examples": tf.constant(records)}
        answers.probabilities.append(self._merged(self.model.call(batch)["probabilities"]))
        if self.oov_id is not None:
            ids = self.model.call(batch, TRANSFORM)[features.IDS]
            answers.num_tokens += int((ids != features.PAD_ID).sum())
            answers.num_unknown += int((ids == self.oov_id).sum())

    def _merged(self, probabilities: np.ndarray) -> np.ndarray:
        """The probabilities of `labels`, [batch, labels], from those of the model's classes."""
        if len(self._places) == len(self.labels):
            return probabilities
        merged = np.zeros((len(probabilities), len(self.labels)), np.float32)
        np.add.at(merged.T, self._places, probabilities.T)
        return merged


def rows(
    examples: Path, manifest: Manifest, spans: Sequence[int], splits: Sequence[str], most: int
) -> tuple[list[bytes], list[str]]:
    """Rows of some spans and splits, evenly spread over them.

    Args:
        examples: The Examples.
        manifest: Their manifest.
        spans: The numbers of the spans.
        splits: The names of the splits.
        most: The greatest number of rows to return.

    Returns:
        (serialized tf.Examples, the label of each).
    """
    chosen = [span for span in manifest.spans if span.number in spans]
    total = sum(sum(span.num_rows.get(split, {}).values()) for span in chosen for split in splits)
    every = max(1, -(-total // most))

    records: list[bytes] = []
    number = 0
    for path in _shards(examples, spans, splits):
        for record in read_records(path):
            if number % every == 0:
                records.append(record)
            number += 1

    labels: list[str] = []
    spec = {features.LABEL: raw_features(manifest.content)[features.LABEL]}
    for start in range(0, len(records), NUM_PARSED):
        parsed = tf.io.parse_example(records[start : start + NUM_PARSED], spec)
        labels += [label.decode() for label in parsed[features.LABEL].numpy()]
    return records, labels


def _shards(examples: Path, spans: Sequence[int], splits: Sequence[str]) -> Iterator[Path]:
    for split in splits:
        for path in sorted((examples / f"Split-{split}").glob("data_tfrecord-*.gz")):
            if span_of(path) in spans:
                yield path
