"""The rows that one of several workers reads.

Every worker composes the same global batches. For that it needs the order and the length of all
rows, and the content of its own rows alone. So each reads its own files, the workers tell each
other the lengths, and a file with rows of others is replaced by a local one, in which each of these
rows is a placeholder that holds its length.

    four files, two workers    reads            has placeholders of
    worker 0                   files 0 and 1    files 2 and 3
    worker 1                   files 2 and 3    files 0 and 1
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.trainer.distributed.strategy import Team
from components.trainer.input import CYCLE_FILES, FOREIGN, fetching, parse
from seqline.data import features

log = logging.getLogger("seqline.trainer")

# Rows that are parsed at once.
BATCH_ROWS = 4096

# (content, class ids) of some rows, as `input.blocks` gives them.
OnRows = Callable[[tf.RaggedTensor, tf.Tensor], None]


class Share:
    """The rows that this worker reads.

    Args:
        source: the Features.
        dim: numbers of a time step; 0 for ids.
        folder: an empty one on this machine, for the placeholders.
    """

    def __init__(self, team: Team, source: Path, dim: int, folder: Path) -> None:
        assert team.cluster is not None, "a process that trains alone reads all rows"
        self.team = team
        self.cluster = team.cluster
        self.source = source
        self.dim = dim
        self.folder = folder
        self._paths: dict[str, list[str]] = {}

    def paths(self, split: str) -> list[str]:
        """The files to read in place of those of a split. Needs `index`."""
        return self._paths[split]

    def index(self, split: str, on_rows: OnRows = lambda content, label: None) -> None:
        """Learns the lengths of all rows of a split. All workers do it at the same time.

        Args:
            on_rows: called with the rows that this worker reads; with each row of the split on one
                worker only.
        """
        number = self.cluster.number
        paths = features.shards(self.source, split)
        of_files = [
            owners(file, len(paths), len(self.cluster.members)) for file in range(len(paths))
        ]

        local_name = fetching(self.source, split)
        lengths: dict[int, np.ndarray] = {}
        for file, path in enumerate(paths):
            if number in of_files[file]:
                is_counted = number == of_files[file][0]
                name = local_name(str(path))
                local = self._local(path, split)
                read = self._read(name, local, of_files[file], on_rows if is_counted else None)
                if is_counted:
                    lengths[file] = read

        own_counts = [len(lengths.get(file, ())) for file in range(len(paths))]
        counts = self.team.summed(np.array(own_counts))
        for file, path in enumerate(paths):
            if len(set(of_files[file])) == len(self.cluster.members):
                continue  # Each of them has read it.
            own = lengths.pop(file, np.zeros(counts[file], np.int64))
            all_lengths = self.team.summed(own)
            if number not in of_files[file]:
                _write(self._local(path, split), map(_placeholder(), all_lengths.tolist()))

        self._paths[split] = [
            str(path if set(of_file) == {number} else self._local(path, split))
            for path, of_file in zip(paths, of_files, strict=True)
        ]
        num_read = sum(number in of_file for of_file in of_files)
        worker = self.cluster.name(number)
        log.info("%s: reads %d of the %d files of %s", worker, num_read, len(paths), split)

    def _read(
        self, name: str, local: Path, of_file: tuple[int, ...], on_rows: OnRows | None
    ) -> np.ndarray:
        """Reads a file, and replaces it by `local` if some rows are not this worker's.

        Returns:
            The lengths of its rows.
        """
        all_lengths: list[np.ndarray] = []

        def records() -> Iterator[bytes]:
            placeholder, turn = _placeholder(), 0
            dataset = tf.data.TFRecordDataset(name, compression_type="GZIP")
            for serialized in dataset.batch(BATCH_ROWS):
                content, label = parse(serialized, self.dim, is_weighted=False)
                if on_rows:
                    on_rows(content, label)

                lengths = content.row_lengths().numpy()
                all_lengths.append(lengths)
                for record, length in zip(serialized.numpy(), lengths.tolist(), strict=True):
                    is_own = of_file[turn % len(of_file)] == self.cluster.number
                    yield record if is_own else placeholder(length)
                    turn += 1

        if set(of_file) == {self.cluster.number}:
            for _ in records():
                pass
        else:
            _write(local, records())
        return np.concatenate([*all_lengths, np.zeros(0, np.int64)])

    def _local(self, path: Path, split: str) -> Path:
        return self.folder / split / path.name


def _write(path: Path, records: Iterator[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)


def owners(file: int, num_files: int, num_workers: int) -> tuple[int, ...]:
    """The worker of each row of a file, in turn: row j is of worker `owners(...)[j % num_workers]`.

    Files that are read at the same time are divided evenly, so that every worker has about as many
    rows of each batch.

        four files, three workers    file 0    0 0 0
                                     file 1    0 1 1
                                     file 2    1 1 2
                                     file 3    2 2 2
    """
    place = file % CYCLE_FILES
    num_together = min(CYCLE_FILES, num_files - (file - place))
    return tuple((place * num_workers + turn) // num_together for turn in range(num_workers))


def _placeholder() -> Callable[[int], bytes]:
    """A function from the length of a row to the record that stands for it."""
    known: dict[int, bytes] = {}

    def record(length: int) -> bytes:
        if length not in known:
            row = tf.train.Example()
            row.features.feature[FOREIGN].int64_list.value.append(length)
            known[length] = row.SerializeToString()
        return known[length]

    return record
