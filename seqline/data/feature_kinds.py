"""The kinds of features that Examples hold beside content and label."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from seqline.data.examples import records
from seqline.errors import UserError

# Rows of a shard in which the kind of a feature is looked for.
NUM_PEEKED = 1000


def kinds_of(names: Sequence[str], shards: Sequence[Path]) -> dict[str, str]:
    """The kinds of features: `bytes_list`, `int64_list` or `float_list` of a tf.Example.

    Raises:
        UserError: None of the first NUM_PEEKED rows has such a feature.
    """
    import tensorflow as tf

    if not names:
        return {}

    kinds: dict[str, str] = {}
    held: set[str] = set()
    for serialized in islice(records(shards[0]), NUM_PEEKED):
        row = tf.train.Example.FromString(serialized).features.feature
        held |= set(row)
        for name in names:
            if name in row and (kind := row[name].WhichOneof("kind")) is not None:
                kinds[name] = kind

        if len(kinds) == len(names):
            return kinds

    missing = [name for name in names if name not in kinds]
    raise UserError(
        f"evaluator.slices names {missing[0]!r}; the Examples hold {', '.join(sorted(held))}, "
        "and what can be derived is label, length, script, span."
    )
