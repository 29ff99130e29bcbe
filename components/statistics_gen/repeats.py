"""Contents that occur more than once: within a split, in two splits, under several labels."""

import math
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
    """The distinct contents of a table, in the order of their digests."""

    digest: np.ndarray  # uint64 [n]
    count: np.ndarray  # of rows [n]
    num_labels: np.ndarray  # of distinct labels [n]


@dataclass
class Matches:
    """The contents that meet a condition."""

    num_contents: int = 0
    num_rows: int = 0
    # Digest of a content -> digests of its labels, for the smallest digests (the first to be met).
    examples: dict[int, list[int]] = field(default_factory=dict)

    def add(self, contents: Contents, chosen: np.ndarray, table: Rows) -> None:
        """Adds the chosen ones of some contents.

        Args:
            contents: n contents.
            chosen: which of them meet the condition, bool [n].
            table: the rows of the contents, with their labels.
        """
        self.num_contents += int(chosen.sum())
        self.num_rows += int(contents.count[chosen].sum())
        for digest in contents.digest[chosen][: NUM_EXAMPLES - len(self.examples)]:
            start = np.searchsorted(table.digest, digest, "left")
            end = np.searchsorted(table.digest, digest, "right")
            self.examples[int(digest)] = table.label[start:end].tolist()


@dataclass
class SplitRepeats:
    """The repetitions in a split."""

    num_distinct: int = 0
    num_repeated: int = 0
    # How often each row (a content with its label) is there: the greatest number by which all of
    # their counts can be divided. 0 without rows.
    num_copies: int = 0
    # (count, digest) of the most frequent contents that occur twice or more.
    top: list[tuple[int, int]] = field(default_factory=list)
    ambiguous: Matches = field(default_factory=Matches)  # contents with several labels
    # Another split -> the contents that occur in it, too.
    duplicates: dict[str, Matches] = field(default_factory=dict)


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
    """Finds what repeats in a window.

    Args:
        tables: split -> its row tables.
        names: digest of a label -> the label.
        num_top: how many of the most frequent contents of a split are named.

    Returns:
        "splits": split -> its repetitions. Its "duplicates" are the rows whose content occurs in
        another split, too, for each split that comes before it in `tables`.
        "ambiguous": the contents with several labels in all splits together.
    """
    splits = {split: SplitRepeats() for split in tables}
    everywhere = Matches()
    for bucket in range(row_tables.NUM_BUCKETS):
        parts = {split: row_tables.sum_bucket(paths, bucket) for split, paths in tables.items()}
        distinct = {split: contents(part) for split, part in parts.items()}
        for split, part in parts.items():
            _add(splits[split], distinct[split], part, num_top)
            for other in list(tables)[: list(tables).index(split)]:
                is_in_both = is_in(distinct[split].digest, distinct[other].digest)
                duplicates = splits[split].duplicates.setdefault(other, Matches())
                duplicates.add(distinct[split], is_in_both, part)

        together = row_tables.total(list(parts.values()))
        of_window = contents(together)
        everywhere.add(of_window, of_window.num_labels > 1, together)

    shown = [digest for split in splits.values() for digest in _shown(split)]
    shown += everywhere.examples
    texts = row_tables.lookup([path for paths in tables.values() for path in paths], shown)
    return {
        "splits": {split: _to_json(repeats, texts, names) for split, repeats in splits.items()},
        "ambiguous": _ambiguous(everywhere, texts, names),
    }


def is_in(digests: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which digests are also among the others: bool [n]. Both must be in ascending order."""
    if not len(others):
        return np.zeros(len(digests), bool)
    places = np.minimum(np.searchsorted(others, digests), len(others) - 1)
    return others[places] == digests


def _add(split: SplitRepeats, distinct: Contents, table: Rows, num_top: int) -> None:
    split.num_distinct += len(distinct.digest)
    split.num_repeated += int((distinct.count - 1).sum())
    split.num_copies = math.gcd(split.num_copies, int(np.gcd.reduce(table.count)))
    split.ambiguous.add(distinct, distinct.num_labels > 1, table)

    several = np.flatnonzero(distinct.count > 1)
    best = several[np.lexsort((distinct.digest[several], -distinct.count[several]))][:num_top]
    candidates = split.top + list(
        zip(distinct.count[best].tolist(), distinct.digest[best].tolist(), strict=True)
    )
    split.top = sorted(candidates, key=lambda entry: (-entry[0], entry[1]))[:num_top]


def _shown(split: SplitRepeats) -> list[int]:
    """The digests of the contents that are shown for a split."""
    digests = [digest for _, digest in split.top]
    for matches in (split.ambiguous, *split.duplicates.values()):
        digests += matches.examples
    return digests


def _to_json(
    split: SplitRepeats, texts: Mapping[int, str], names: Mapping[int, str]
) -> dict[str, Any]:
    return {
        "num_distinct": split.num_distinct,
        "num_repeated": split.num_repeated,
        "num_copies": split.num_copies,
        "top_values": [{"value": texts[digest], "count": count} for count, digest in split.top],
        "duplicates": {
            other: {
                "num_rows": matches.num_rows,
                "examples": [texts[digest] for digest in matches.examples],
            }
            for other, matches in split.duplicates.items()
        },
        "ambiguous": _ambiguous(split.ambiguous, texts, names),
    }


def _ambiguous(
    matches: Matches, texts: Mapping[int, str], names: Mapping[int, str]
) -> dict[str, Any]:
    examples = [
        {"text": texts[digest], "labels": sorted(names[label] for label in labels)}
        for digest, labels in matches.examples.items()
    ]
    return {"num_texts": matches.num_contents, "num_rows": matches.num_rows, "examples": examples}


def repeated(newest: Sequence[Path], earlier: Sequence[Path]) -> dict[str, Any]:
    """The rows of the newest tables whose content the earlier tables hold, too."""
    matches = Matches()
    for bucket in range(row_tables.NUM_BUCKETS):
        table = row_tables.sum_bucket(newest, bucket)
        distinct = contents(table)
        distinct_earlier = contents(row_tables.sum_bucket(earlier, bucket))
        matches.add(distinct, is_in(distinct.digest, distinct_earlier.digest), table)

    texts = row_tables.lookup(newest, matches.examples)
    return {
        "num_rows": matches.num_rows,
        "examples": [texts[digest] for digest in matches.examples],
    }
