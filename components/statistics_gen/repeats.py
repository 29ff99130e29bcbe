"""Contents that occur more than once: within a split, in two splits, under several labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.statistics_gen import row_tables
from components.statistics_gen.row_tables import Rows

# Rows that are shown for each kind of repetition.
NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Contents:
    """The distinct contents of a table, in order.

    All [n]: digest uint64; count, of rows; num_labels, of distinct labels.
    """

    digest: np.ndarray
    count: np.ndarray
    num_labels: np.ndarray


@dataclass
class Found:
    """Contents that meet a condition. examples.

    Of the smallest digests (the first that are met), with their labels' digests.
    """

    num_contents: int = 0
    num_rows: int = 0
    examples: dict[int, list[int]] = field(default_factory=dict)

    def add(self, contents: Contents, chosen: np.ndarray, table: Rows) -> None:
        """chosen: bool [n]. table: where the contents' labels are."""
        self.num_contents += int(chosen.sum())
        self.num_rows += int(contents.count[chosen].sum())
        for digest in contents.digest[chosen][: NUM_EXAMPLES - len(self.examples)]:
            start, end = (np.searchsorted(table.digest, digest, side) for side in ("left", "right"))
            self.examples[int(digest)] = table.label[start:end].tolist()


@dataclass
class Split:
    """What repeats in a split. top.

    (count, digest) of the most frequent contents, those that occur twice or more.
    """

    num_distinct: int = 0
    num_repeated: int = 0
    top: list[tuple[int, int]] = field(default_factory=list)
    ambiguous: Found = field(default_factory=Found)
    duplicates: dict[str, Found] = field(default_factory=dict)


def contents(table: Rows) -> Contents:
    """The contents of a table, whatever their labels."""
    first = np.ones(len(table.digest), bool)
    first[1:] = table.digest[1:] != table.digest[:-1]
    starts = np.flatnonzero(first)
    count = np.add.reduceat(table.count, starts) if len(starts) else table.count
    return Contents(table.digest[starts], count, np.diff(np.append(starts, len(first))))


def find(
    tables: Mapping[str, Sequence[Path]], names: Mapping[int, str], num_top: int
) -> dict[str, Any]:
    """What repeats in a window.

    tables: split -> its row tables. names: the labels by their digests. A split's `duplicates` are
    its rows whose content occurs in another split, too, for each split that stands before it in
    `tables`. `ambiguous`: contents with several labels, in the split and (beside `splits`) in all
    splits together.
    """
    splits = {split: Split() for split in tables}
    everywhere = Found()
    for bucket in range(row_tables.NUM_BUCKETS):
        parts = {split: row_tables.sum_bucket(paths, bucket) for split, paths in tables.items()}
        held = {split: contents(part) for split, part in parts.items()}
        for split, part in parts.items():
            _add(splits[split], held[split], part, num_top)
            for other in list(tables)[: list(tables).index(split)]:
                both = is_in(held[split].digest, held[other].digest)
                splits[split].duplicates.setdefault(other, Found()).add(held[split], both, part)
        together = row_tables.total(list(parts.values()))
        distinct = contents(together)
        everywhere.add(distinct, distinct.num_labels > 1, together)
    wanted = [digest for split in splits.values() for digest in _wanted(split)] + list(
        everywhere.examples
    )
    texts = row_tables.lookup([path for paths in tables.values() for path in paths], wanted)
    return {
        "splits": {split: _to_json(found, texts, names) for split, found in splits.items()},
        "ambiguous": _ambiguous(everywhere, texts, names),
    }


def is_in(digests: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which digests are among the others, too: bool [n]. Both in ascending order."""
    if not len(others):
        return np.zeros(len(digests), bool)
    places = np.minimum(np.searchsorted(others, digests), len(others) - 1)
    return others[places] == digests


def _add(split: Split, held: Contents, table: Rows, num_top: int) -> None:
    split.num_distinct += len(held.digest)
    split.num_repeated += int((held.count - 1).sum())
    split.ambiguous.add(held, held.num_labels > 1, table)
    several = np.flatnonzero(held.count > 1)
    best = several[np.lexsort((held.digest[several], -held.count[several]))][:num_top]
    candidates = split.top + list(
        zip(held.count[best].tolist(), held.digest[best].tolist(), strict=True)
    )
    split.top = sorted(candidates, key=lambda entry: (-entry[0], entry[1]))[:num_top]


def _wanted(split: Split) -> list[int]:
    found = [split.ambiguous, *split.duplicates.values()]
    return [digest for _, digest in split.top] + [
        digest for each in found for digest in each.examples
    ]


def _to_json(split: Split, texts: Mapping[int, str], names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "num_distinct": split.num_distinct,
        "num_repeated": split.num_repeated,
        "top_values": [{"value": texts[digest], "count": count} for count, digest in split.top],
        "duplicates": {
            other: {
                "num_rows": found.num_rows,
                "examples": [texts[digest] for digest in found.examples],
            }
            for other, found in split.duplicates.items()
        },
        "ambiguous": _ambiguous(split.ambiguous, texts, names),
    }


def _ambiguous(found: Found, texts: Mapping[int, str], names: Mapping[int, str]) -> dict[str, Any]:
    examples = [
        {"text": texts[digest], "labels": sorted(names[label] for label in labels)}
        for digest, labels in found.examples.items()
    ]
    return {"num_texts": found.num_contents, "num_rows": found.num_rows, "examples": examples}


def repeated(newest: Sequence[Path], earlier: Sequence[Path]) -> dict[str, Any]:
    """The rows of some tables whose content other tables hold, too."""
    found = Found()
    for bucket in range(row_tables.NUM_BUCKETS):
        table = row_tables.sum_bucket(newest, bucket)
        held = contents(table)
        found.add(
            held, is_in(held.digest, contents(row_tables.sum_bucket(earlier, bucket)).digest), table
        )
    texts = row_tables.lookup(newest, found.examples)
    return {"num_rows": found.num_rows, "examples": [texts[digest] for digest in found.examples]}
