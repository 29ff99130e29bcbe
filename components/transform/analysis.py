"""The first pass: the tokens of every row and their counts in train; for sequences, their moments.

The part of a span in the span cache holds
  Split-<split>/<shard>.arrow   tokenised rows: the shard's distinct tokens, and every row as
                                indices into them
  counts/                       the train split's token counts (seqline.data.counts)
  ngram_counts/                 the same for n-grams, where they are wanted
or, for sequences, moments/<shard>.json. Both have lengths/<shard>.json (see `lengths`); words of
texts, letters/<shard>.json (see `by_script`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from pydantic import Field, FiniteFloat

from components.transform import TransformParams, by_script, lengths, ngram_counts
from components.transform.text import normalize, tokenize
from seqline.data import counts, features
from seqline.data.buckets import Place, files_of, steps
from seqline.data.examples import ExampleShard
from seqline.data.table_merge import Entry, MergeTables, shard_path
from seqline.storage import records
from seqline.storage.staging import local_copy, reading, writing

# Rows that TensorFlow tokenises at once.
BATCH_SIZE = 8192
# The name of a span's table of tokens, see `seqline.data.buckets`.
COUNTS = "counts"


@dataclass(frozen=True)
class TokenShard:
    """A tokenised shard of n rows."""

    tokens: list[bytes]  # [num_distinct], in the order in which they first occur
    indices: np.ndarray  # into tokens, row after row [sum(lengths)]
    lengths: np.ndarray  # tokens of each row [n]
    labels: list[bytes]  # [n]
    weights: np.ndarray | None = None  # float32 [n]; None where rows have none

    def write(self, path: str) -> None:
        """Writes an Arrow file of one record whose fields are lists. It appears whole."""
        labels = pa.array(self.labels, pa.binary()).dictionary_encode()
        index_type = np.uint16 if len(self.tokens) <= 1 << 16 else np.uint32
        columns = {
            "tokens": pa.array(self.tokens, pa.binary()),
            "indices": pa.array(self.indices.astype(index_type)),
            "lengths": pa.array(self.lengths, pa.int32()),
            "labels": labels.dictionary,
            "label": labels.indices,
        }
        if self.weights is not None:
            columns["weights"] = pa.array(self.weights)

        lists = [pa.ListArray.from_arrays([0, len(column)], column) for column in columns.values()]
        batch = pa.record_batch(lists, list(columns))
        with (
            writing(path) as name,
            pa.OSFile(name, "wb") as file,
            pa.ipc.new_file(file, batch.schema) as writer,
        ):
            writer.write_batch(batch)

    @classmethod
    def read(cls, path: str | Path) -> "TokenShard":
        """Reads what `write` wrote."""
        with reading(path) as name, pa.OSFile(name, "rb") as file:
            batch = pa.ipc.open_file(file).get_batch(0)
            columns = {column: batch[column].values for column in batch.schema.names}

        labels = columns["labels"].take(columns["label"])
        return cls(
            tokens=columns["tokens"].to_pylist(),
            indices=columns["indices"].to_numpy(),
            lengths=columns["lengths"].to_numpy(),
            labels=labels.to_pylist(),
            weights=columns["weights"].to_numpy() if "weights" in columns else None,
        )


class AnalyzeShards(beam.PTransform):
    """PCollection[ExampleShard] -> the parts of some spans. Shards of other spans are ignored.

    Args:
        folders: span -> the empty folder of its part.
        content: what the Examples hold.
        params: of the transform.
    """

    def __init__(self, folders: Mapping[int, Path], content: str, params: TransformParams) -> None:
        super().__init__()
        self.folders = {number: str(folder) for number, folder in folders.items()}
        self.content = content
        self.params = params

        subfolders = [f"Split-{split}" for split in features.SPLITS]
        subfolders += [COUNTS, ngram_counts.TABLE, "moments", lengths.FOLDER, by_script.FOLDER]
        for folder in folders.values():
            for name in subfolders:
                (folder / name).mkdir()

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        if self.content == features.SEQUENCE:
            return shards | "Moments" >> beam.ParDo(MomentsOfShard(self.folders))

        tables = shards | "Tokenize" >> beam.ParDo(
            TokenizeShard(self.folders, self.content, self.params)
        )
        return tables | "Tables" >> MergeTables(write_sum)


def write_sum(table: str, steps: Iterable[list[Place]], path: str) -> None:
    """Writes the sum of some buckets of a table, see `MergeTables`."""
    if table == COUNTS:
        counts.write(path, map(counts.total, steps))
    else:
        ngram_counts.write(path, map(ngram_counts.total, steps))


class TokenizeShard(beam.DoFn):
    """Writes the tokens of a shard.

    For a shard of train it also writes its count tables, and yields (the folder of its span's
    part, (name of a table, name of the shard)) for each.
    """

    def __init__(self, folders: Mapping[int, str], content: str, params: TransformParams) -> None:
        self.folders = folders
        self.content = content
        self.tokens = params.tokens or "word"  # of the content text, `analyze` has decided it
        self.lowercase = params.lowercase
        self.has_ngrams = params.most_ngrams(content) > 0

    def setup(self) -> None:
        strings = [tf.TensorSpec([None], tf.string)]
        self.normalize = tf.function(
            lambda text: normalize(text, self.lowercase), input_signature=strings, autograph=False
        )

        def tokens_of(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            tokens = tokenize(text, self.tokens)
            return tokens.flat_values, tokens.row_lengths()

        self.tokens_of = tf.function(tokens_of, input_signature=strings, autograph=False)

    def process(self, shard: ExampleShard) -> Iterator[tuple[str, Entry]]:
        if shard.span not in self.folders:
            return

        folder = self.folders[shard.span]
        tokenized = self.tokenize(shard)
        if shard.weights is not None:
            tokenized = replace(tokenized, weights=np.array(shard.weights, np.float32))
        tokenized.write(f"{folder}/Split-{shard.split}/{shard.name}.arrow")
        if shard.split != features.TRAIN:
            return

        lengths.write(folder, shard.name, tokenized.lengths)
        if self.content == features.TEXT and self.tokens == "word":
            letters = by_script.count(tokenized.tokens, tokenized.indices, tokenized.lengths)
            by_script.write(folder, shard.name, letters)
        num = np.bincount(tokenized.indices, minlength=len(tokenized.tokens)).tolist()
        with writing(shard_path(folder, COUNTS, shard.name)) as name:
            counts.write(name, counts.split(dict(zip(tokenized.tokens, num, strict=True))))
        yield folder, (COUNTS, shard.name)

        if self.has_ngrams:
            kinds = ngram_counts.kinds_of(self.content, self.tokens)
            ngrams = ngram_counts.count(
                tokenized.tokens, tokenized.indices, tokenized.lengths, kinds
            )
            path = shard_path(folder, ngram_counts.TABLE, shard.name)
            ngram_counts.write(path, ngram_counts.split(ngrams))
            yield folder, (ngram_counts.TABLE, shard.name)

    def tokenize(self, shard: ExampleShard) -> TokenShard:
        """The tokens of a shard's rows."""
        labels = list(shard.labels)
        if self.content == features.TOKENS:
            tokens = pa.array([token for row in shard.contents for token in row], pa.binary())
            lengths = np.array([len(row) for row in shard.contents], np.int32)
            return _token_shard(tokens.dictionary_encode(), lengths, labels)

        normalized = []
        for start in range(0, len(shard.contents), BATCH_SIZE):
            texts = self.normalize(shard.contents[start : start + BATCH_SIZE]).numpy()
            normalized.append(pa.array(texts, pa.binary()))

        if self.tokens == "char":
            return self._by_characters(normalized, labels)
        return self._by_chunks(normalized, labels)

    def _by_characters(self, normalized: Sequence[pa.Array], labels: list[bytes]) -> TokenShard:
        chars = []
        lengths = []
        for batch in normalized:
            char, length = self.tokens_of(batch.to_numpy(zero_copy_only=False))
            chars.append(pa.array(char.numpy(), pa.binary()))
            lengths.append(length.numpy())
        tokens = pa.chunked_array(chars).combine_chunks().dictionary_encode()
        return _token_shard(tokens, np.concatenate(lengths).astype(np.int32), labels)

    def _by_chunks(self, normalized: Sequence[pa.Array], labels: list[bytes]) -> TokenShard:
        """Tokenises the chunks between spaces, each distinct one once in a shard.

        No word or punctuation mark reaches over a space, so the tokens are the same. Arrow finds
        the distinct chunks at half the cost of TensorFlow's ops on all tokens.
        """
        lists = [pc.split_pattern(batch.view(pa.string()), pattern=" ") for batch in normalized]
        num_chunks = np.concatenate([pc.list_value_length(rows).to_numpy() for rows in lists])
        chunks = pa.chunked_array([rows.flatten() for rows in lists])
        chunks = chunks.combine_chunks().dictionary_encode()

        distinct = chunks.dictionary.view(pa.binary()).to_numpy(zero_copy_only=False)
        token, num_tokens = (tensor.numpy() for tensor in self.tokens_of(distinct))
        tokens = pa.array(token, pa.binary()).dictionary_encode()

        starts = np.cumsum(num_tokens) - num_tokens  # [num_distinct_chunks]
        positions, sizes = _ranges(starts, num_tokens, chunks.indices.to_numpy())
        lengths = np.add.reduceat(sizes, np.cumsum(num_chunks) - num_chunks).astype(np.int32)
        indices = tokens.indices.to_numpy()[positions]
        return TokenShard(tokens.dictionary.to_pylist(), indices, lengths, labels)


def _token_shard(
    tokens: pa.DictionaryArray, lengths: np.ndarray, labels: list[bytes]
) -> TokenShard:
    return TokenShard(tokens.dictionary.to_pylist(), tokens.indices.to_numpy(), lengths, labels)


def _ranges(
    starts: np.ndarray, sizes: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of some ranges, one range after the other.

    Args:
        starts: first numbers of the ranges [n].
        sizes: how many numbers each range has [n].
        chosen: places of ranges, in any order and any number of times [num_chosen].

    Returns:
        start, start + 1, ..., start + size - 1 of each chosen range, and the chosen ranges' sizes.
    """
    size = sizes[chosen]
    ends = np.cumsum(size)
    return np.arange(int(ends[-1])) + np.repeat(starts[chosen] - (ends - size), size), size


def buckets_of(parts: Iterable[Path]) -> Iterator[counts.Counts]:
    """The token counts of a window, some buckets at a time: the sum of its spans' tables.

    Args:
        parts: the parts of the spans.
    """
    tables = [files_of(part, COUNTS) for part in parts]
    for step in steps({COUNTS: tables}):
        yield counts.total(step[COUNTS])


@dataclass(frozen=True)
class Moments:
    """The first moments of the numbers of time steps."""

    count: int  # time steps
    mean: np.ndarray  # float64 [dim]
    squares: np.ndarray  # sums of squared deviations from the mean, float64 [dim]

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets of time steps together.

        By Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
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


@dataclass(frozen=True)
class ShardMoments:
    """The moments of a shard, as their file holds them."""

    count: Annotated[int, Field(ge=1, lt=2**63)]
    mean: list[FiniteFloat]
    squares: list[FiniteFloat]


class MomentsOfShard(beam.DoFn):
    """Writes the moments and lengths of a shard of sequences, if it is of the train split."""

    def __init__(self, folders: Mapping[int, str]) -> None:
        self.folders = folders

    def process(self, shard: ExampleShard) -> Iterator[None]:
        if shard.span in self.folders and shard.split == features.TRAIN:
            steps = np.concatenate(shard.contents).astype(np.float64)  # [time of all rows, dim]
            mean = steps.mean(axis=0)
            squares = ((steps - mean) ** 2).sum(axis=0)
            moments = ShardMoments(len(steps), mean.tolist(), squares.tolist())

            folder = self.folders[shard.span]
            with writing(f"{folder}/moments/{shard.name}.json") as name:
                Path(name).write_text(json.dumps(asdict(moments)))
            num_steps = np.array([len(row) for row in shard.contents], np.int64)
            lengths.write(folder, shard.name, num_steps)
        yield from ()


def moments_of(parts: Iterable[Path]) -> Moments:
    """The moments of a window's train split.

    The shards are added in a fixed order, so that the sum is the same each time.

    Args:
        parts: the parts of the spans.
    """
    shards: list[Moments] = []
    for part in parts:
        for path in sorted(local_copy(part / "moments").glob("*.json")):
            way_out = f"Remove {part}; the next run counts its span again."
            read = records.read(ShardMoments, path, way_out)
            dims = {len(read.mean), len(read.squares), *(len(shard.mean) for shard in shards)}
            if len(dims) > 1:
                raise records.damaged(path, f"mean: {len(read.mean)} numbers", way_out)
            shards.append(Moments(read.count, np.array(read.mean), np.array(read.squares)))

    total = shards[0]
    for moments in shards[1:]:
        total = total + moments
    return total
