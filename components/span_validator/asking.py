"""Rows of Examples, and what the served SavedModel makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqline.data import features
from seqline.data.examples import Manifest, raw_features, span_of
from seqline.data.examples import records as read_records
from seqline.errors import UserError
from seqline.storage.staging import local_copy, path_of

BATCH_SIZE = 256
# A model that was exported elsewhere may lack the second one.
PREDICT, TRANSFORM = "serving_examples", "transform_features"


@dataclass
class Answers:
    """Rows that were asked. labels.

    Their own; probabilities: float32 [rows, classes], in the order of the model's labels.

    num_tokens, num_unknown: of all rows together; 0 for sequences.
    """

    labels: list[str] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)
    num_tokens: int = 0
    num_unknown: int = 0

    @property
    def table(self) -> np.ndarray:
        return (
            np.concatenate(self.probabilities)
            if self.probabilities
            else np.zeros((0, 0), np.float32)
        )


class ServedModel:
    """The served version. Raises UserError for one that has no signature for tf.Examples."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.loaded = tf.saved_model.load(str(local_copy(path_of(folder))))
        if PREDICT not in self.loaded.signatures:
            raise UserError(
                f"The served version {folder} has no signature {PREDICT}: seqline did not export"
                " it. Push another one first."
            )
        assets = path_of(folder) / "assets"
        self.labels = (
            (assets / features.LABELS_VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
        )
        tokens = assets / features.TOKENS_VOCABULARY
        self.oov = (
            features.oov_id(len(tokens.read_bytes().split(b"\n")) - 1) if tokens.is_file() else None
        )

    def ask(self, records: Sequence[bytes], labels: Sequence[str]) -> Answers:
        """records.

        Serialized tf.Examples. Raises UserError where the model reads something else than they
        hold.
        """
        found = Answers(list(labels))
        signatures = self.loaded.signatures
        try:
            for start in range(0, len(records), BATCH_SIZE):
                batch = tf.constant(records[start : start + BATCH_SIZE])
                found.probabilities.append(
                    signatures[PREDICT](examples=batch)["probabilities"].numpy()
                )
                if self.oov is not None and TRANSFORM in signatures:
                    ids = signatures[TRANSFORM](examples=batch)[features.IDS].numpy()
                    found.num_tokens += int((ids != features.PAD_ID).sum())
                    found.num_unknown += int((ids == self.oov).sum())
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"The served version {self.folder} cannot read these Examples"
                f" ({error.message.splitlines()[0]}). Push to another place with --set"
                " pusher.serving_dir=..."
            ) from None
        return found


def rows(
    examples: Path, manifest: Manifest, spans: Sequence[int], splits: Sequence[str], most: int
) -> tuple[list[bytes], list[str]]:
    """(serialized tf.Examples, labels) of rows of these spans and splits, evenly spread, at most so
    many.
    """
    chosen = [span for span in manifest.spans if span.number in spans]
    total = sum(sum(span.num_rows.get(split, {}).values()) for span in chosen for split in splits)
    every = max(1, -(-total // most))
    records: list[bytes] = []
    labels: list[str] = []
    number = 0
    for path in _shards(examples, spans, splits):
        for record in read_records(path):
            if number % every == 0:
                records.append(record)
            number += 1
    spec = {features.LABEL: raw_features(manifest.content)[features.LABEL]}
    for start in range(0, len(records), 4096):
        labels += [
            label.decode()
            for label in tf.io.parse_example(records[start : start + 4096], spec)[
                features.LABEL
            ].numpy()
        ]
    return records, labels


def _shards(examples: Path, spans: Sequence[int], splits: Sequence[str]) -> Iterator[Path]:
    for split in splits:
        for path in sorted((examples / f"Split-{split}").glob("data_tfrecord-*.gz")):
            if span_of(path) in spans:
                yield path
