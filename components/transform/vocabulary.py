"""The first pass: which tokens the train split holds, and how often."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

import apache_beam as beam
import tensorflow as tf

from components import features
from components.base import DataError, Figures
from components.beam import pipeline_options
from components.transform import TransformParams
from components.transform.text import Tokens, normalize, tokenize

# Rows that TensorFlow counts at once.
BATCH_SIZE = 4096
# A count table is split by a hash of the token, so that no worker has to hold all tokens of all shards.
NUM_BUCKETS = 8

RAW_FEATURES = {
    features.TEXT: tf.io.FixedLenFeature([], tf.string),
    features.LABEL: tf.io.FixedLenFeature([], tf.string),
}

Counts = dict[bytes, int]


@dataclass(frozen=True)
class Vocabularies:
    """Files with one entry a line, in rank order, and what was counted on the way."""

    tokens: Path
    labels: Path
    figures: Figures


def build(examples: Path, params: TransformParams, output: Path, beam_args: Sequence[str]) -> Vocabularies:
    """Counts the train split shard by shard and writes `tokens` and `labels` under `output`.

    tokens: the vocab_size most frequent ones; equal counts in descending order of their bytes, as tft.vocabulary orders
    them. labels: in ascending order of their bytes, so that new data alone never renumbers the classes.
    """
    output.mkdir(parents=True)
    paths = [str(path) for path in features.shards(examples, features.TRAIN)]
    with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
        counted = (
            pipeline
            | "Shards[train]" >> beam.Create(paths)
            | "Spread[train]" >> beam.Reshuffle()
            | "Count[train]" >> beam.ParDo(CountShard(params.tokens, params.lowercase))
            | "MergeBuckets" >> beam.CombinePerKey(merge)
        )
        kept = counted | "TopOfBucket" >> beam.MapTuple(partial(top_of_bucket, params=params))
        _ = kept | "ByVocabulary" >> beam.GroupByKey() | "Write" >> beam.MapTuple(partial(write, params=params, output=str(output)))
    tokens, labels = output / features.TOKENS_VOCABULARY, output / features.LABELS_VOCABULARY
    num_tokens = _num_lines(tokens)
    if not num_tokens:
        raise DataError(
            f"No token of the train split occurs {params.min_frequency} times or more: the vocabulary would be empty. "
            "Lower transform.min_frequency, or look at the texts."
        )
    num_occurrences, num_in_vocabulary, num_distinct = map(int, (output / "counts").read_text().split())
    (output / "counts").unlink()
    return Vocabularies(
        tokens,
        labels,
        {
            "num_tokens": num_tokens,
            "num_classes": _num_lines(labels),
            "num_distinct_tokens": num_distinct,
            "oov_rate": 1 - num_in_vocabulary / num_occurrences,
        },
    )


class CountShard(beam.DoFn):
    """The path of a shard -> ((vocabulary, bucket), counts), one for each bucket."""

    def __init__(self, tokens: Tokens, lowercase: bool) -> None:
        self.tokens = tokens
        self.lowercase = lowercase

    def setup(self) -> None:
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def count(serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
            row = tf.io.parse_example(serialized, RAW_FEATURES)
            tokens = tokenize(normalize(row[features.TEXT], self.lowercase), self.tokens)
            token, _, num_tokens = tf.unique_with_counts(tokens.flat_values, out_idx=tf.int64)
            label, _, num_labels = tf.unique_with_counts(row[features.LABEL], out_idx=tf.int64)
            return token, num_tokens, label, num_labels

        self.count = count

    def process(self, path: str) -> Iterator[tuple[tuple[str, int], Counts]]:
        tokens: Counter[bytes] = Counter()
        labels: Counter[bytes] = Counter()
        for batch in batches(path):
            token, num_tokens, label, num_labels = (column.numpy() for column in self.count(batch))
            _add(tokens, token, num_tokens)
            _add(labels, label, num_labels)
        buckets: list[Counts] = [{} for _ in range(NUM_BUCKETS)]
        for entry, count in tokens.items():
            buckets[bucket(entry)][entry] = count
        for number, counts in enumerate(buckets):
            yield (features.TOKENS_VOCABULARY, number), counts
        yield (features.LABELS_VOCABULARY, 0), dict(labels)


def batches(path: str) -> tf.data.Dataset:
    """The serialized rows of a shard, [BATCH_SIZE] each, read ahead.

    The caller applies its tf.function itself: Dataset.map would optimise that graph anew for each shard, at half a second.
    """
    return tf.data.TFRecordDataset(path, compression_type="GZIP").batch(BATCH_SIZE).prefetch(2)


def _add(counter: Counter[bytes], entries: "tf.Tensor", counts: "tf.Tensor") -> None:
    for entry, count in zip(entries.tolist(), counts.tolist(), strict=True):
        counter[entry] += count


def bucket(token: bytes) -> int:
    """A token's bucket: the same in every process, unlike hash()."""
    return int.from_bytes(blake2b(token, digest_size=4).digest(), "big") % NUM_BUCKETS


def merge(tables: Iterable[Counts]) -> Counts:
    """The sum of count tables."""
    total: Counter[bytes] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)


def ranked(counts: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """By count, then by bytes, both descending."""
    return sorted(counts, key=lambda entry: (entry[1], entry[0]), reverse=True)


Table = tuple[list[tuple[bytes, int]], int, int]


def top_of_bucket(key: tuple[str, int], counts: Counts, params: TransformParams) -> tuple[str, Table]:
    """(vocabulary, (the entries that can still get into it, the sum of all counts, the number of all entries))."""
    name, _ = key
    entries: Iterable[tuple[bytes, int]] = counts.items()
    if name == features.TOKENS_VOCABULARY:
        entries = ranked((token, count) for token, count in entries if count >= params.min_frequency)[: params.vocab_size]
    return name, (list(entries), sum(counts.values()), len(counts))


def write(name: str, tables: Iterable[Table], params: TransformParams, output: str) -> None:
    """Joins the buckets' tops and writes a vocabulary; written twice, it is the same file."""
    tables = list(tables)
    entries = [entry for table, _, _ in tables for entry in table]
    if name == features.LABELS_VOCABULARY:
        _write_file(f"{output}/{name}", b"".join(label + b"\n" for label, _ in sorted(entries)))
        return
    top = ranked(entries)[: params.vocab_size]
    _write_file(f"{output}/{name}", b"".join(token + b"\n" for token, _ in top))
    totals = (sum(total for _, total, _ in tables), sum(count for _, count in top), sum(number for _, _, number in tables))
    _write_file(f"{output}/counts", " ".join(map(str, totals)).encode())


def _write_file(path: str, content: bytes) -> None:
    with tf.io.gfile.GFile(f"{path}.part", "wb") as file:
        file.write(content)
    tf.io.gfile.rename(f"{path}.part", path, overwrite=True)


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
