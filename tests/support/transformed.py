"""Small Examples that tests transform, and readers of the Features made of them."""

from pathlib import Path

import tensorflow as tf

from components.transform import TransformParams, run
from seqline.data.features import EVAL, TEST, TRAIN, shards

Rows = dict[str, list[tuple[str, str]]]

# Counts of the train split: the 2, cat 2, dog 2, and é . , a ! once each: 11 tokens in all.
ROWS: Rows = {
    TRAIN: [
        ("The cat, the dog.", "zoo"),
        ("A cat!", "Farm"),
        ("dog E\u0301", "zoo"),
        ("", "école"),
    ],
    EVAL: [("the unknown cat", "zoo")],
    TEST: [("Dog.", "Farm")],
}
TOKENS = ["the", "dog", "cat", "é", "a", ".", ",", "!"]
LABELS = ["Farm", "zoo", "école"]
OOV = len(TOKENS) + 1


def transform(examples: Path, output: Path, **arguments: object) -> dict:
    """Runs the transform, by default with a vocabulary of all tokens.

    The arguments are params, except `span_cache` and `previous`.
    """
    extra = {name: arguments.pop(name) for name in ("span_cache", "previous") if name in arguments}
    output.mkdir(parents=True, exist_ok=True)
    return run(
        examples=examples,
        params=TransformParams(**{"min_frequency": 1, **arguments}),
        output=output,
        **extra,
    )


def read_features(root: Path, split: str) -> list[tuple[list[int], int, int]]:
    """(ids, length, label) of every row of a split."""
    rows = []
    for path in shards(root, split):
        for serialized in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            feature = tf.train.Example.FromString(serialized.numpy()).features.feature
            ids, length, label = (
                list(feature[name].int64_list.value) for name in ("ids", "length", "label")
            )
            rows.append((ids, length[0], label[0]))
    return rows


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
