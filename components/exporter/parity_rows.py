"""The rows by which an export is compared with the network that was trained."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.exporter import ExporterParams
from seqline.data import features, ngrams
from seqline.data.examples import Content, raw_features
from seqline.data.ngrams import Rows
from seqline.data.transform_summary import content_of, read_summary
from seqline.storage.staging import reading

# Rows of every split but eval.
NUM_OTHERS = 16
# The least number of eval rows by which tables of bfloat16 or int8 are measured: half a percent of
# accuracy has to show. int16 is held to log-odds, row by row.
NUM_MEASURED = 2048


@dataclass
class ParityRows:
    """The rows that are compared, in order.

    Attributes:
        content: what a row holds.
        dim: numbers of a time step; 0 unless rows are sequences.
        labels: the label of each class id.
        places: (split, file, number of the row in the file, from 1) of each row.
        examples: serialized raw tf.Examples.
        features: the same rows as serialized transformed tf.Examples.
    """

    content: Content
    dim: int
    labels: list[bytes] = field(default_factory=list)
    places: list[tuple[str, Path, int]] = field(default_factory=list)
    examples: list[bytes] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)

    def describe(self, number: int) -> str:
        """The place of a row and what it holds, for an error."""
        _, path, row = self.places[number]
        parsed = tf.io.parse_single_example(self.examples[number], raw_features(self.content))
        content = parsed[self.content]
        if self.content == features.TEXT:
            value = content.numpy().decode(errors="replace")
        else:
            value = content.values.numpy().tolist()
        return f"{path.parent.name}/{path.name}, row {row} ({short(value)})"


def choose_rows(examples: Path, source: Path, params: ExporterParams) -> ParityRows:
    """Chooses the first rows of eval, the longest one of its first file, and a few of other splits.

    Args:
        source: the Features.
    """
    summary = read_summary(source)
    labels = (source / "vocabularies" / features.LABELS_VOCABULARY).read_bytes().split(b"\n")[:-1]
    rows = ParityRows(content_of(summary), summary.get("dim") or 0, labels)
    num_eval = params.parity_rows
    if params.tables in ("bfloat16", "int8"):
        num_eval = max(num_eval, NUM_MEASURED)

    for split in (features.EVAL, features.TRAIN, features.TEST):
        if not (examples / f"Split-{split}").is_dir():
            continue

        # A data set without eval rows is compared by as many rows of the first split it has.
        num_left = num_eval if split == features.EVAL or not rows.places else NUM_OTHERS
        for number, path in enumerate(features.shards(examples, split)):
            is_whole = number == 0 and split == features.EVAL
            raw = _records(path, None if is_whole else num_left)
            chosen = list(range(min(num_left, len(raw))))
            longest = max(range(len(raw)), key=lambda row: len(raw[row]))
            if longest >= len(chosen):
                chosen.append(longest)

            transformed = _records(source / f"Split-{split}" / path.name, chosen[-1] + 1)
            rows.places += [(split, path, row + 1) for row in chosen]
            rows.examples += [raw[row] for row in chosen]
            rows.features += [transformed[row] for row in chosen]
            num_left -= len(chosen)
            if num_left <= 0:
                break

    return rows


def ngrams_of(rows: ParityRows, source: Path) -> Iterator[Rows]:
    """The n-grams of the rows that are compared, a file at a time.

    Args:
        source: the Features.

    Raises:
        DataError: a file is damaged.
    """
    for (split, path), places in groupby(rows.places, key=lambda place: place[:2]):
        shard = Rows.read(ngrams.folder_of(source, split) / f"{path.name}.arrow")
        yield shard.take(np.array([row - 1 for _, _, row in places]))


def _records(path: Path, limit: int | None) -> list[bytes]:
    """The first records of a file; all of them if `limit` is None."""
    with reading(path) as file:
        records = tf.data.TFRecordDataset(file, compression_type="GZIP")
        batches = (records if limit is None else records.take(limit)).batch(1024)
        return [record for batch in batches for record in batch.numpy().tolist()]


def short(value: Any, size: int = 60) -> str:
    """A value in an error, of at most `size` characters."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "i":
            value = value.tolist()
        else:
            value = [round(float(number), 6) for number in value.ravel()[:40]]

    text = repr(value)
    return text if len(text) <= size else f"{text[:size]}..."
