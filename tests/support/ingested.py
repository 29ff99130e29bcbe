"""Rows in source files, and the ids that example_gen and transform make of them."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from seqline.data import tf_example_writer
from seqline.data.examples import write_records
from seqline.data.features import SPLITS, shards
from tests.support.corpus import corpus_rows

Row = dict[str, str]
# U+0085 and U+2028 end a line for str.splitlines(), not for us; accents, quotes and line ends
# inside a field.
ODD = [
    'caf\u00e9 \u0085 at\u2028home, "quoted"',
    "a line\nand another\r\nand a third",
    "na\u00efve \U0001f600 smile",
    "tab\there",
]


def rows() -> list[Row]:
    """The corpus with some odd texts and a text that occurs twice."""
    return [*corpus_rows(60), *({"text": text, "label": "fruit"} for text in [*ODD, ODD[0]])]


def write_jsonl(path: Path, rows: list[Row]) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_tfrecord(path: Path, rows: list[Row]) -> None:
    text, label = ([row[name].encode() for row in rows] for name in ("text", "label"))
    records = list(
        tf_example_writer.examples(
            [
                tf_example_writer.bytes_features("label", label),
                tf_example_writer.bytes_features("text", text),
            ]
        )
    )

    if path.suffix == ".gz":
        write_records(path, records)
        return

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def ids_of_texts(examples: Path, features: Path) -> dict[str, list[tuple]]:
    """Returns {split: sorted (text, ids, label)}."""
    by_split = {}
    for split in SPLITS:
        rows = []
        for raw, transformed in zip(shards(examples, split), shards(features, split), strict=True):
            for row, result in zip(_features_of(raw), _features_of(transformed), strict=True):
                rows.append(
                    (
                        row["text"].bytes_list.value[0],
                        list(result["ids"].int64_list.value),
                        result["label"].int64_list.value[0],
                    )
                )
        by_split[split] = sorted(rows)
    return by_split


def _features_of(shard: Path) -> Iterator[Any]:
    for record in tf.data.TFRecordDataset(str(shard), "GZIP").as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature
