"""The first pass.

The tokens of every row, and how often each occurs in the train split; for sequences, their moments.

A part (one span) holds
  Split-<split>/<shard>.arrow   tokenised rows: the shard's distinct tokens, and every row as
                                indices into them
  counts/<group>.arrow          the train split's token counts (seqline.data.counts), a group of
                                buckets each
or, for sequences, moments/<shard>.json.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.transform import TransformParams
from components.transform.text import normalize, tokenize
from seqline.data import counts, features
from seqline.data.examples import ExampleShard
from seqline.storage.staging import local_copy, reading, reading_all, writing

# Rows that TensorFlow tokenises at once.
BATCH_SIZE = 8192
# Groups of buckets whose sum is made at once, by as many workers.
NUM_GROUPS = 8


@dataclass(frozen=True)
class TokenShard:
    """A tokenised shard.

    tokens: its distinct tokens [num_distinct], in the order in which they first occur. indices:
    into them, one row behind the other [sum(lengths)]. lengths: of the rows [n]. labels: [n].
    """

    tokens: list[bytes]
    indices: np.ndarray
    lengths: np.ndarray
    labels: list[bytes]

    def write(self, path: str) -> None:
        """Writes an Arrow file of one record whose fields are lists.

        It appears whole or not at all.
        """
        labels = pa.array(self.labels, pa.binary()).dictionary_encode()
        columns = {
            "tokens": pa.array(self.tokens, pa.binary()),
            "indices": pa.array(
                self.indices.astype(np.uint16 if len(self.tokens) <= 1 << 16 else np.uint32)
            ),
            "lengths": pa.array(self.lengths, pa.int32()),
            "labels": labels.dictionary,
            "label": labels.indices,
        }
        batch = pa.record_batch(
            [pa.ListArray.from_arrays([0, len(column)], column) for column in columns.values()],
            list(columns),
        )
        with (
            writing(path) as name,
            pa.OSFile(name, "wb") as file,
            pa.ipc.new_file(file, batch.schema) as writer,
        ):
            writer.write_batch(batch)

    @classmethod
    def read(cls, path: str | Path) -> "TokenShard":
        with reading(path) as name, pa.OSFile(name, "rb") as file:
            batch = pa.ipc.open_file(file).get_batch(0)
            columns = {name: batch[name].values for name in batch.schema.names}
        labels = columns["labels"].take(columns["label"])
        return cls(
            columns["tokens"].to_pylist(),
            columns["indices"].to_numpy(),
            columns["lengths"].to_numpy(),
            labels.to_pylist(),
        )


class AnalyzeShards(beam.PTransform):
    """PCollection[ExampleShard] -> files in the folders of the spans (number -> folder).

    Shards of other spans pass unread.
    """

    def __init__(self, folders: Mapping[int, Path], content: str, params: TransformParams) -> None:
        super().__init__()
        self.folders = {number: str(folder) for number, folder in folders.items()}
        self.content = content
        self.params = params
        for folder in folders.values():
            for name in (
                *(f"Split-{split}" for split in features.SPLITS),
                "tables",
                "counts",
                "moments",
            ):
                (folder / name).mkdir()

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        if self.content == features.SEQUENCE:
            return shards | "Moments" >> beam.ParDo(MomentsOfShard(self.folders))
        return (
            shards
            | "Tokenize" >> beam.ParDo(TokenizeShard(self.folders, self.content, self.params))
            | "TablesOfSpan" >> beam.GroupByKey()
            | "Groups"
            >> beam.FlatMapTuple(
                lambda folder, tables: [
                    (folder, sorted(tables), group) for group in range(NUM_GROUPS)
                ]
            )
            | "SpreadGroups" >> beam.Reshuffle()
            | "SumTables" >> beam.MapTuple(sum_tables)
        )


class TokenizeShard(beam.DoFn):
    """ExampleShard -> (the folder of its span, the path of its count table), for shards of the
    train split.
    """

    def __init__(self, folders: Mapping[int, str], content: str, params: TransformParams) -> None:
        self.folders = folders
        self.content = content
        self.tokens = params.tokens
        self.lowercase = params.lowercase

    def setup(self) -> None:
        strings = [tf.TensorSpec([None], tf.string)]
        self.normalize = tf.function(
            lambda text: normalize(text, self.lowercase), input_signature=strings, autograph=False
        )

        def tokens_of(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            tokens = tokenize(text, self.tokens)
            return tokens.flat_values, tokens.row_lengths()

        self.tokens_of = tf.function(tokens_of, input_signature=strings, autograph=False)

    def process(self, shard: ExampleShard) -> Iterator[tuple[str, str]]:
        if shard.span not in self.folders:
            return
        folder = self.folders[shard.span]
        tokenized = self.tokenize(shard)
        tokenized.write(f"{folder}/Split-{shard.split}/{shard.name}.arrow")
        if shard.split == features.TRAIN:
            number = np.bincount(tokenized.indices, minlength=len(tokenized.tokens)).tolist()
            table = f"{folder}/tables/{shard.name}.arrow"
            with writing(table) as name:
                counts.write(name, counts.split(dict(zip(tokenized.tokens, number, strict=True))))
            yield folder, table

    def tokenize(self, shard: ExampleShard) -> TokenShard:
        """The tokens of a shard's rows."""
        if self.content == features.TOKENS:
            tokens = pa.array(
                [token for row in shard.contents for token in row], pa.binary()
            ).dictionary_encode()
            lengths = np.array([len(row) for row in shard.contents], np.int32)
            return TokenShard(
                tokens.dictionary.to_pylist(),
                tokens.indices.to_numpy(),
                lengths,
                list(shard.labels),
            )
        starts = range(0, len(shard.contents), BATCH_SIZE)
        normalized = [
            pa.array(
                self.normalize(shard.contents[start : start + BATCH_SIZE]).numpy(), pa.binary()
            )
            for start in starts
        ]
        if self.tokens == "char":
            found = [self.tokens_of(batch.to_numpy(zero_copy_only=False)) for batch in normalized]
            tokens = (
                pa.chunked_array([pa.array(token.numpy(), pa.binary()) for token, _ in found])
                .combine_chunks()
                .dictionary_encode()
            )
            lengths = np.concatenate([length.numpy() for _, length in found]).astype(np.int32)
            return TokenShard(
                tokens.dictionary.to_pylist(),
                tokens.indices.to_numpy(),
                lengths,
                list(shard.labels),
            )
        return self._by_chunks(normalized, list(shard.labels))

    def _by_chunks(self, normalized: Sequence[pa.Array], labels: list[bytes]) -> TokenShard:
        """Words and punctuation never reach over a space.

        What stands between two spaces is tokenised once a shard, however often it occurs. Arrow
        finds the distinct chunks at half the cost of TensorFlow's ops on all tokens.
        """
        lists = [pc.split_pattern(batch.view(pa.string()), pattern=" ") for batch in normalized]
        num_chunks = np.concatenate([pc.list_value_length(each).to_numpy() for each in lists])
        chunks = (
            pa.chunked_array([each.flatten() for each in lists])
            .combine_chunks()
            .dictionary_encode()
        )
        token, num_tokens = (
            each.numpy()
            for each in self.tokens_of(
                chunks.dictionary.view(pa.binary()).to_numpy(zero_copy_only=False)
            )
        )
        tokens = pa.array(token, pa.binary()).dictionary_encode()
        chunk = chunks.indices.to_numpy()
        positions, counted = _ranges(np.cumsum(num_tokens) - num_tokens, num_tokens, chunk)
        lengths = np.add.reduceat(counted, np.cumsum(num_chunks) - num_chunks).astype(np.int32)
        return TokenShard(
            tokens.dictionary.to_pylist(), tokens.indices.to_numpy()[positions], lengths, labels
        )


def _ranges(
    starts: np.ndarray, sizes: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """([start, start + 1, ..., start + size - 1 for each chosen range], the chosen sizes)."""
    size = sizes[chosen]
    ends = np.cumsum(size)
    return np.arange(int(ends[-1])) + np.repeat(starts[chosen] - (ends - size), size), size


def sum_tables(folder: str, tables: Sequence[str], group: int) -> None:
    """Sums one group of the buckets of a span's count tables; one bucket is in memory at a time."""
    path = f"{folder}/counts/{group}.arrow"
    per_group = counts.NUM_BUCKETS // NUM_GROUPS
    buckets = range(group * per_group, (group + 1) * per_group)
    with reading_all(tables) as names, writing(path) as target:
        counts.write(target, (counts.sum_bucket(names, bucket) for bucket in buckets))


def buckets_of(parts: Iterable[Path]) -> Iterator[counts.Counts]:
    """The token counts of a window, bucket by bucket: the sum of its spans' tables."""
    folders = [local_copy(part / "counts") for part in parts]
    per_group = counts.NUM_BUCKETS // NUM_GROUPS
    for bucket in range(counts.NUM_BUCKETS):
        group, within = divmod(bucket, per_group)
        tables = [folder / f"{group}.arrow" for folder in folders]
        yield counts.sum_bucket([table for table in tables if table.exists()], within)


@dataclass(frozen=True)
class Moments:
    """Number of time steps.

    Mean and sum of squared deviations of each of their numbers, float64 [dim].
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    def __add__(self, other: "Moments") -> "Moments":
        """Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances", 1979.
        """
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        return Moments(
            count,
            mean,
            self.squares + other.squares + delta**2 * (self.count * other.count / count),
        )


class MomentsOfShard(beam.DoFn):
    """ExampleShard of sequences -> moments/<shard>.json, for shards of the train split."""

    def __init__(self, folders: Mapping[int, str]) -> None:
        self.folders = folders

    def process(self, shard: ExampleShard) -> Iterator[None]:
        if shard.span in self.folders and shard.split == features.TRAIN:
            steps = np.concatenate(shard.contents).astype(np.float64)  # [time of all rows, dim]
            mean = steps.mean(axis=0)
            found = {
                "count": len(steps),
                "mean": mean.tolist(),
                "squares": ((steps - mean) ** 2).sum(axis=0).tolist(),
            }
            path = f"{self.folders[shard.span]}/moments/{shard.name}.json"
            with writing(path) as name:
                Path(name).write_text(json.dumps(found))
        yield from ()


def moments_of(parts: Iterable[Path]) -> Moments:
    """The moments of a window's train split, its shards added in their order.

    The same sum each time.
    """
    found = []
    for part in parts:
        for path in sorted(local_copy(part / "moments").glob("*.json")):
            read = json.loads(path.read_text())
            found.append(Moments(read["count"], np.array(read["mean"]), np.array(read["squares"])))
    total = found[0]
    for moments in found[1:]:
        total = total + moments
    return total
