"""The second pass: the transform graph over every shard of every split."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components import features
from components.base import Figures
from components.beam import pipeline_options
from components.transform import TransformParams
from components.transform.vocabulary import RAW_FEATURES, batches

# A count beside those by split.
AT_MAX_LENGTH = "at_max_length"


def materialize(examples: Path, params: TransformParams, output: Path, beam_args: Sequence[str]) -> Figures:
    """Writes `Split-*/` under `output`, each shard under the name of the shard that it comes from.

    Returns num_rows by split and num_at_max_length, the rows that fill max_length and may have been cut.
    """
    splits = [split for split in features.SPLITS if (examples / f"Split-{split}").is_dir()]
    shards = []
    for split in splits:
        (output / f"Split-{split}").mkdir()
        shards += [(split, str(path), str(output / f"Split-{split}" / path.name)) for path in features.shards(examples, split)]
    with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards)
            | "Spread" >> beam.Reshuffle()
            | "Transform" >> beam.ParDo(TransformShard(str(output), params.max_length))
            | "Total" >> beam.CombineGlobally(total)
            | "WriteCounts" >> beam.Map(partial(write_counts, path=str(output / "counts")))
        )
    counts = Counter({key: int(count) for key, count in map(str.split, (output / "counts").read_text().splitlines())})
    (output / "counts").unlink()
    return {"num_rows": {split: counts[split] for split in splits}, "num_at_max_length": counts[AT_MAX_LENGTH]}


class TransformShard(beam.DoFn):
    """(split, path of Examples, path of Features) -> the number of rows by split, and of those at max_length."""

    def __init__(self, transform_output: str, max_length: int) -> None:
        self.transform_output = transform_output
        self.max_length = max_length

    def setup(self) -> None:
        # What tft.TFTransformOutput.transform_features_layer() wraps: a tf_keras layer around it would cost a second more.
        self.graph = tf.saved_model.load(f"{self.transform_output}/transform_fn")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def transform(serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
            row = self.graph.transform_fn(tf.io.parse_example(serialized, RAW_FEATURES))
            return row[features.IDS].values, row[features.LENGTH], row[features.LABEL]

        self.transform = transform

    def process(self, shard: tuple[str, str, str]) -> Iterator[Counter[str]]:
        split, source, target = shard
        counts: Counter[str] = Counter()
        # A bundle that is tried again writes the same bytes; the rename makes them visible at once.
        part = f"{target}.part"
        with tf.io.TFRecordWriter(part, "GZIP") as writer:
            for batch in batches(source):
                ids, length, label = (column.numpy() for column in self.transform(batch))
                for serialized in serialize(ids, length, label):
                    writer.write(serialized)
                counts[split] += len(length)
                counts[AT_MAX_LENGTH] += int((length == self.max_length).sum())
        tf.io.gfile.rename(part, target, overwrite=True)
        yield counts


def serialize(ids: np.ndarray, length: np.ndarray, label: np.ndarray) -> Iterator[bytes]:
    """Features of n rows as tf.Examples, the same bytes each time (tfx_bsl's encoder shuffles the features' order).

    ids: [sum(length)], one row behind the other; length, label: [n].
    """
    ends = np.cumsum(length).tolist()
    for start, end, class_id in zip([0, *ends], ends, label.tolist(), strict=False):
        example = tf.train.Example()
        feature = example.features.feature
        feature[features.IDS].int64_list.value.extend(ids[start:end].tolist())
        feature[features.LENGTH].int64_list.value.append(end - start)
        feature[features.LABEL].int64_list.value.append(class_id)
        yield example.SerializeToString(deterministic=True)


def total(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The sum of counters."""
    return sum(counts, Counter())


def write_counts(counts: Counter[str], path: str) -> None:
    """One `name count` a line."""
    with tf.io.gfile.GFile(path, "w") as file:
        file.write("".join(f"{name} {count}\n" for name, count in sorted(counts.items())))
