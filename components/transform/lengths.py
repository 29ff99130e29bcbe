"""max_length from the data: how long the rows of the train split are.

The part of a span in the span cache holds lengths/<shard>.json for each shard of train. A window's
lengths are the sum of its spans', so that its max_length is known without reading a row again.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from components.transform import MOST_FROM_DATA, TransformParams
from seqline.data import features
from seqline.storage import records
from seqline.storage.records import Count
from seqline.storage.staging import local_copy, writing

# The folder of a part that holds them.
FOLDER = "lengths"
# Of 100 texts, as many are read whole. The few that are far longer would set the steps of their
# whole batch; without `masking`, those of every batch.
PERCENT = 99
# Texts get a multiple of it: the next window then mostly has the same max_length, and its Features
# and the shapes that the network is compiled for stay the same.
MULTIPLE = 32
# Counts of rows for 0, 1, ... MOST_FROM_DATA, and of those that are longer.
NUM_COUNTS = MOST_FROM_DATA + 2


@dataclass(frozen=True)
class ShardLengths:
    """The lengths of a shard, as their file holds them.

    Attributes:
        num_rows: Rows of each length from 0 to MOST_FROM_DATA, and last the longer ones.
    """

    num_rows: Annotated[list[Count], Field(min_length=NUM_COUNTS, max_length=NUM_COUNTS)]


def write(part: str, shard: str, lengths: np.ndarray) -> None:
    """Writes the file of a shard of train.

    Args:
        part: the folder of the span's part.
        shard: the shard's name.
        lengths: tokens or time steps of each row [n].
    """
    num_rows = np.bincount(np.minimum(lengths, NUM_COUNTS - 1), minlength=NUM_COUNTS)
    with writing(f"{part}/{FOLDER}/{shard}.json") as name:
        records.write_object(asdict(ShardLengths(num_rows.tolist())), Path(name))


def of_window(parts: Iterable[Path]) -> np.ndarray:
    """Rows of the train split by their length, see `ShardLengths` (int64 [NUM_COUNTS]).

    Args:
        parts: the parts of the window's spans.
    """
    total = np.zeros(NUM_COUNTS, np.int64)
    for part in parts:
        way_out = f"Remove {part}; the next run counts its span again."
        for path in sorted(local_copy(part / FOLDER).glob("*.json")):
            total += records.read(ShardLengths, path, way_out).num_rows
    return total


def choose(num_rows: np.ndarray, content: str) -> int:
    """The max_length for rows of these lengths.

    Number sequences are read to the end of the longest one: their length is the data's own, and
    padding behind it would only be more to read without `masking`.

    Args:
        num_rows: see `of_window`.
        content: what a row holds.
    """
    if content == features.SEQUENCE:
        longest = int(num_rows.nonzero()[0].max(initial=1))
        return min(longest, MOST_FROM_DATA)

    num_whole = -(-int(num_rows.sum()) * PERCENT // 100)
    quantile = max(1, int(np.searchsorted(num_rows.cumsum(), num_whole)))
    return min(-(-quantile // MULTIPLE) * MULTIPLE, MOST_FROM_DATA)


def resolve(params: TransformParams, parts: Iterable[Path], content: str) -> TransformParams:
    """The params with a max_length: their own, or the one that fits a window."""
    if params.max_length is not None:
        return params
    return params.model_copy(update={"max_length": choose(of_window(parts), content)})
