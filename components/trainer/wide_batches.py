"""Batches of texts as the features of the wide part.

Each shard of the splits is read, shuffled and cut into batches once; if all of them fit into memory
they are kept. Otherwise they are read again in every epoch, and no more than HELD_BYTES of them,
or one shard, are in memory. The order follows from the seed and the number of the epoch alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from seqline.data import features, ngrams
from seqline.data.ngrams import Rows, Table
from seqline.model.wide import matrix

# The most texts of a batch, which has one at least. With more classes than BATCH_ROWS it has as
# many texts as there are classes: a step reads and writes a weight for each class, and with 1,000
# of them more texts in fewer steps took 40 % less CPU, with the same accuracy.
BATCH_ROWS, MOST_ROWS = 128, 1024
# The most values of its features, of all texts together.
BATCH_VALUES = 2**20
# The most bytes of batches in memory.
HELD_BYTES = 2**29


@dataclass(frozen=True)
class Batch:
    """The features of n texts, which hold m distinct ones.

    Attributes:
        features: The distinct features, ascending, int32 [m].
        starts: Where the texts of each begin, and the end; int32 [m + 1].
        rows, values: The texts, from 0, that hold one feature after the other, and its value in
            each; int32 and float32 [sum].
        labels: int64 [n].
        weights: float32 [n].
    """

    features: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in vars(self).values())


def paths_of(source: Path, split: str) -> list[Path]:
    """The files of the n-grams of a split, in the order of the shards of its rows."""
    folder = ngrams.folder_of(source, split)
    return [folder / f"{path.name}.arrow" for path in features.shards(source, split)]


class Texts:
    """The texts of some splits as features.

    Args:
        splits: Their names.
        table: The n-grams of the Features.
        kept: Places of the features that count, ascending; None for all.
    """

    def __init__(
        self, source: Path, splits: Sequence[str], table: Table, kept: np.ndarray | None = None
    ) -> None:
        self.paths = [path for split in splits for path in paths_of(source, split)]
        self.num_tokens, self.num_sequences = len(table.tokens), len(table.sequences)
        self.kept = kept
        self.idf = table.idf()
        if kept is not None:
            self.idf = np.zeros(table.num_features)
            self.idf[kept] = table.idf()[kept]

    def read(self, path: Path) -> tuple[sp.csr_matrix, Rows]:
        """One of the `paths`: float32 [rows, features that count], and its rows."""
        rows = Rows.read(path)
        content = matrix(rows, self.idf, self.num_tokens, self.num_sequences)
        return content if self.kept is None else content[:, self.kept], rows


class Batches:
    """The batches of the rows to learn from. Read them all once, by `all`, before the first epoch.

    Args:
        class_weights: float32 [num_classes], factors on the weights of a class's rows.
        seed: Decides the order.
        held_bytes: See HELD_BYTES.
    """

    def __init__(
        self, texts: Texts, class_weights: np.ndarray, seed: int, held_bytes: int = HELD_BYTES
    ) -> None:
        self.texts = texts
        self.class_weights = class_weights
        self.seed = seed
        self.held_bytes = held_bytes
        self.num_rows = max(BATCH_ROWS, min(len(class_weights), MOST_ROWS))
        self._sizes = [0] * len(texts.paths)
        self._held: dict[int, list[Batch]] = {}

    def all(self) -> Iterator[Batch]:
        """All batches in the order of the shards."""
        for number in range(len(self.texts.paths)):
            batches = self._shard(number)
            self._sizes[number] = sum(batch.num_bytes for batch in batches)
            self._held[number] = batches
            if sum(self._sizes) > self.held_bytes:
                self._held.clear()
            yield from batches

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches in the order of an epoch."""
        rng = np.random.default_rng([self.seed, number])
        for group in self._groups(rng.permutation(len(self._sizes)).tolist()):
            batches = [batch for shard in group for batch in self._shard(shard)]
            for place in rng.permutation(len(batches)).tolist():
                yield batches[place]

    def _groups(self, order: Sequence[int]) -> Iterator[list[int]]:
        """Shards whose batches are in memory, and shuffled, together."""
        group: list[int] = []
        for number in order:
            sizes = sum(self._sizes[member] for member in group)
            if group and sizes + self._sizes[number] > self.held_bytes:
                yield group
                group = []
            group.append(number)
        yield group

    def _shard(self, number: int) -> list[Batch]:
        if number in self._held:
            return self._held[number]

        content, rows = self.texts.read(self.texts.paths[number])
        weights = self.class_weights[rows.labels]
        if len(rows.weights):
            weights = weights * rows.weights

        # The stream of no epoch.
        order = np.random.default_rng([self.seed, 0, number]).permutation(len(rows))
        return list(_cut(content[order], rows.labels[order], weights[order], self.num_rows))


def _cut(
    content: sp.csr_matrix, labels: np.ndarray, weights: np.ndarray, most: int
) -> Iterator[Batch]:
    """Cuts texts into batches of `most` rows at most."""
    place = np.zeros(content.shape[1], np.int32)
    starts = content.indptr.astype(np.int64)
    first = 0
    while first < len(labels):
        end = int(np.searchsorted(starts, starts[first] + BATCH_VALUES, "right")) - 1
        end = max(first + 1, min(end, first + most, len(labels)))
        inner = slice(starts[first], starts[end])

        # Features are few enough to be marked; sorting takes ten times as long.
        marked = np.zeros(content.shape[1], bool)
        marked[content.indices[inner]] = True
        distinct = np.flatnonzero(marked).astype(np.int32)
        place[distinct] = np.arange(len(distinct), dtype=np.int32)
        by_row = sp.csr_matrix(
            (
                content.data[inner],
                place[content.indices[inner]],
                starts[first : end + 1] - starts[first],
            ),
            (end - first, len(distinct)),
        )
        by_feature = by_row.tocsc()
        yield Batch(
            distinct,
            by_feature.indptr.astype(np.int32),
            by_feature.indices.astype(np.int32),
            by_feature.data,
            labels[first:end],
            weights[first:end].astype(np.float32),
        )
        first = end
