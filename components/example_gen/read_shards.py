"""The Beam stages: a shard of the source to shards of Examples, and those to files."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from shutil import copyfile
from typing import Any

import apache_beam as beam

from components.example_gen import ExampleGenParams, sources, split_column, splits
from components.example_gen.rare import Decision
from components.example_gen.row_counts import RowCounts, add
from components.example_gen.split_by_digest import digest_of, identity, split_at
from seqline.data import examples as example_files
from seqline.data import features, origins
from seqline.data.examples import Content, ExampleShard, shard_name
from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.rows.row import BadRow, Row
from seqline.rows.shards import Shard
from seqline.storage.staging import writing

# Memory of a Python object on top of its content: a shard of a million short rows must not be
# unbounded.
ROW_BYTES = 64

# Rows of a shard of the source that may hold others and wait until all labels are known.
MAX_SUSPECTS = 10_000

BAD_ROWS = "bad_rows"
RARE_ROWS = "rare_rows"
# The tag of the counts among the outputs of ReadShard.
COUNTS = "counts"

# (span, number of the shard in it, the shard)
ShardJob = tuple[int, int, Shard]


class PendingShard:
    """Rows of one split that wait until they fill a shard of Examples.

    Args:
        split: The split.
        unit: The unit that counts rows in their file, see `seqline.data.origins`.
        is_weighted: Whether each row has a weight.

    Attributes:
        number: Shards of this split that the source's shard has filled before.
        num_bytes: The memory of the waiting rows, about.
    """

    def __init__(self, split: str, unit: str, is_weighted: bool) -> None:
        self.split = split
        self.unit = unit
        self.origins = origins.Origins(unit)
        self.contents: list[Any] = []
        self.labels: list[bytes] = []
        self.weights: list[float] | None = [] if is_weighted else None
        self.num_bytes = 0
        self.number = 0

    def add(self, row: Row, label: bytes, num_bytes: int) -> None:
        """Adds a row whose content has this many bytes."""
        self.contents.append(row.content)
        self.labels.append(label)
        if self.weights is not None:
            self.weights.append(row.weight)
        if self.split in origins.SPLITS:
            self.origins.add(row.file, row.line)
        num_objects = len(row.content) if isinstance(row.content, list) else 1
        self.num_bytes += num_bytes + ROW_BYTES * num_objects

    def take(self, span: int, source_shard: int) -> ExampleShard:
        """The rows as a shard; the next one begins."""
        name = shard_name(span, source_shard, self.number)
        shard = ExampleShard(span, self.split, name, self.contents, self.labels, self.weights)
        self.contents, self.labels = [], []
        self.weights = None if self.weights is None else []
        self.origins = origins.Origins(self.unit)
        self.num_bytes = 0
        self.number += 1
        return shard


class ReadShard(beam.DoFn):
    """ShardJob -> ExampleShards of at most SHARD_BYTES, and the RowCounts of the source's shard.

    The counts are tagged COUNTS: (span, (number of the source's shard, RowCounts)).

    Bad rows, and rows of rare classes, go to files of the shard's own, which appear whole: a bundle
    that is tried again rewrites them.
    """

    def __init__(
        self,
        params: ExampleGenParams,
        fractions: Mapping[int, Mapping[str, float]],
        folders: Mapping[int, str],
        decisions: Mapping[int, Decision],
    ) -> None:
        """Each mapping has an entry for each span.

        Args:
            params: How rows are read.
            fractions: Split -> fraction, see `split_fractions`.
            folders: Where the span's files are written.
            decisions: What was decided for it.
        """
        self.params = params
        self.fractions = fractions
        self.folders = folders
        self.decisions = decisions

    def process(self, job: ShardJob) -> Iterator[Any]:
        span, number, shard = job
        counts = RowCounts()
        with ExitStack() as stack:
            lists = {
                folder: stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8"))
                for folder in (BAD_ROWS, RARE_ROWS)
            }
            try:
                yield from self._read(span, number, shard, counts, lists)
            except UserError as error:
                counts.errors.append([str(error), error.exit_code])
            except OSError as error:
                message = (
                    f"{', '.join(shard.paths[:1])} cannot be read: {error}. "
                    "Run again when it can be read."
                )
                counts.errors.append([message, DataError.exit_code])

            if shard.kind == splits.TFDS_KIND:
                progress.advance()

            for folder, listed in lists.items():
                if listed.tell():
                    listed.flush()
                    path = f"{self.folders[span]}/{folder}/{span:05d}-{number:05d}.jsonl"
                    with writing(path) as name:
                        copyfile(listed.name, name)
                    counts.num_files += 1

        yield beam.pvalue.TaggedOutput(COUNTS, (span, (number, counts)))

    def _read(
        self, span: int, number: int, shard: Shard, counts: RowCounts, lists: Mapping[str, Any]
    ) -> Iterator[ExampleShard]:
        """The shards of Examples of one shard of the source. Counts its rows as they pass."""
        unit = sources.unit_of(shard)
        is_weighted = self.params.weight is not None
        pending = {split: PendingShard(split, unit, is_weighted) for split in features.SPLITS}
        suspects: list[tuple[str, tuple[str, ...]]] = []

        rows = sources.read(shard, self.params)
        if self.params.split is not None:
            rows = map(split_column.named, rows)

        with_rows: set[str] = set()
        for row in rows:
            counts.num_read += 1
            with_rows.add(row.file)
            if isinstance(row, BadRow):
                lists[BAD_ROWS].write(json.dumps(row._asdict()) + "\n")
                counts.note_bad(row)
                continue

            if row.label_as_written is not None:
                counts.note_written(row.label_as_written)

            if row.swallowed:
                place = f"{row.file}:{row.line}"
                if len(suspects) < MAX_SUSPECTS:
                    suspects.append((place, row.swallowed))
                else:  # By now most labels are known.
                    counts.note_swallowed(place, row.swallowed)

            content = identity(row.content)
            split = row.split or shard.split
            if split is None or split == features.TRAIN:
                split = self._split(span, row, content, counts, lists[RARE_ROWS])

            label = self._label(span, row, split, counts, lists[RARE_ROWS])
            if label is None:
                continue

            self._count(row, label.decode(), split, counts)
            waiting = pending[split]
            waiting.add(row, label, len(content))
            if waiting.num_bytes >= example_files.SHARD_BYTES:
                yield self._take(waiting, span, number, counts)

        for waiting in pending.values():
            if waiting.contents:
                yield self._take(waiting, span, number, counts)

        if shard.is_whole:
            for path in shard.paths:
                if path not in with_rows:
                    counts.note_empty(path)

        # Now the labels of the other rows are known.
        for place, labels in suspects:
            counts.note_swallowed(place, labels)

    def _split(self, span: int, row: Row, content: bytes, counts: RowCounts, rare_rows: Any) -> str:
        """The split of a row by its digest, or train where the decision moves it there."""
        content_digest = digest_of(content)
        counts.note_content(content_digest)
        split = split_at(content_digest, self.fractions[span])
        if split == features.TRAIN:
            return split

        label = row.label.decode()
        counts.note_nearest(label, content_digest)
        if content_digest not in self.decisions[span].moved:
            return split

        _list(rare_rows, row, split, "moved to train")
        add(counts.moved, split, label)
        return features.TRAIN

    def _label(
        self, span: int, row: Row, split: str, counts: RowCounts, rare_rows: Any
    ) -> bytes | None:
        """The label that a row gets. None where it is left out."""
        decision = self.decisions[span]
        if not decision.left_out and not decision.gathered:
            return row.label

        label = row.label.decode()
        if label in decision.left_out:
            _list(rare_rows, row, split, "left out")
            add(counts.left_out, split, label)
            return None
        if label in decision.gathered:
            _list(rare_rows, row, split, f"counted as {self.params.other_class}")
            add(counts.gathered, split, label)
            return self.params.other_class.encode()
        return row.label

    def _take(
        self, waiting: PendingShard, span: int, number: int, counts: RowCounts
    ) -> ExampleShard:
        """The waiting rows as a shard. Writes where they came from."""
        counts.num_files += 1
        places = waiting.origins
        shard = waiting.take(span, number)
        if shard.split in origins.SPLITS:
            path = origins.path_in(self.folders[span], shard.split, shard.name)
            origins.write(places, shard.contents, path)
            counts.num_files += 1
        return shard

    def _count(self, row: Row, label: str, split: str, counts: RowCounts) -> None:
        labels = counts.num_rows.setdefault(split, {})
        if label not in labels:
            labels[label] = 0
            counts.places.setdefault(split, {})[label] = f"{row.file}:{row.line}"
        labels[label] += 1
        if not row.weight:
            add(counts.weightless, split, label)
        if self.params.content == features.SEQUENCE:
            counts.dims.setdefault(str(row.content.shape[1]), f"{row.file}:{row.line}")


def _list(rare_rows: Any, row: Row, split: str, done: str) -> None:
    """Writes a line for a row of a rare class.

    Args:
        rare_rows: The file.
        row: The row.
        split: The split that the row would have been in.
        done: What was done with it.
    """
    record = {
        "file": row.file,
        "line": row.line,
        "label": row.label.decode(),
        "split": split,
        "done": done,
    }
    rare_rows.write(json.dumps(record) + "\n")


class WriteShard(beam.DoFn):
    """ExampleShard -> its file in the folder of its span."""

    def __init__(self, folders: Mapping[int, str], content: Content) -> None:
        self.folders = folders
        self.content = content

    def process(self, shard: ExampleShard) -> Iterator[None]:
        path = f"{self.folders[shard.span]}/Split-{shard.split}/{shard.name}"
        example_files.write(shard, path, self.content)
        yield from ()
