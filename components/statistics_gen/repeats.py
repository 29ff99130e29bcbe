"""Contents that occur more than once: within a split, in two splits, under several labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.statistics_gen import row_tables
from components.statistics_gen.row_tables import Rows
from seqline.data.buckets import NUM_BUCKETS, places

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

    def merge(self, other: "Matches") -> None:
        """Adds contents with larger digests."""
        self.num_contents += other.num_contents
        self.num_rows += other.num_rows
        room = NUM_EXAMPLES - len(self.examples)
        self.examples |= dict(list(other.examples.items())[:room])


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

    def merge(self, other: "SplitRepeats", num_top: int) -> None:
        """Adds contents with larger digests."""
        self.num_distinct += other.num_distinct
        self.num_repeated += other.num_repeated
        self.num_copies = math.gcd(self.num_copies, other.num_copies)
        self.keep_top(other.top, num_top)
        self.ambiguous.merge(other.ambiguous)
        for split, matches in other.duplicates.items():
            self.duplicates.setdefault(split, Matches()).merge(matches)

    def keep_top(self, candidates: Sequence[tuple[int, int]], num_top: int) -> None:
        """Keeps the most frequent contents; of equal ones, those with the smallest digests."""
        entries = sorted([*self.top, *candidates], key=lambda entry: (-entry[0], entry[1]))
        self.top = entries[:num_top]


def contents(table: Rows) -> Contents:
    """The contents of a table, whatever their labels."""
    first = np.ones(len(table.digest), bool)
    first[1:] = table.digest[1:] != table.digest[:-1]
    starts = np.flatnonzero(first)
    count = np.add.reduceat(table.count, starts) if len(starts) else table.count
    return Contents(table.digest[starts], count, np.diff(np.append(starts, len(first))))


@dataclass
class Repeats:
    """What repeats in some buckets of row tables.

    Attributes:
        splits: Split -> its repetitions. Its duplicates are the rows whose content occurs in
            another split, too, for each split that comes before it.
        everywhere: The contents with several labels in all splits together.
        texts: Digest of a content that is shown -> its text.
    """

    splits: dict[str, SplitRepeats]
    everywhere: Matches = field(default_factory=Matches)
    texts: dict[int, str] = field(default_factory=dict)

    def add(self, parts: Mapping[str, Rows], num_top: int) -> None:
        """Adds a bucket, with larger digests than those before it.

        Args:
            parts: split -> the bucket of its rows.
            num_top: how many of the most frequent contents of a split are named.
        """
        distinct = {split: contents(part) for split, part in parts.items()}
        for split, part in parts.items():
            _add(self.splits[split], distinct[split], part, num_top)
            for other in list(parts)[: list(parts).index(split)]:
                is_in_both = is_in(distinct[split].digest, distinct[other].digest)
                duplicates = self.splits[split].duplicates.setdefault(other, Matches())
                duplicates.add(distinct[split], is_in_both, part)

        together = row_tables.total(list(parts.values()))
        of_all = contents(together)
        self.everywhere.add(of_all, of_all.num_labels > 1, together)

    def merge(self, other: "Repeats", num_top: int) -> None:
        """Adds buckets with larger digests."""
        for split, repeats in self.splits.items():
            repeats.merge(other.splits[split], num_top)
        self.everywhere.merge(other.everywhere)
        self.texts |= other.texts

    @property
    def shown(self) -> list[int]:
        """The digests of the contents that are shown."""
        shown = [digest for split in self.splits.values() for digest in _shown(split)]
        return [*shown, *self.everywhere.examples]

    def to_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """The repetitions for statistics.json. The texts of all that is shown must be known.

        Args:
            names: digest of a label -> the label.

        Returns:
            "splits": split -> its repetitions. "ambiguous": the contents with several labels in
            all splits together.
        """
        texts = self.texts
        return {
            "splits": {
                split: _to_json(repeats, texts, names) for split, repeats in self.splits.items()
            },
            "ambiguous": _ambiguous(self.everywhere, texts, names),
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
    pairs = zip(distinct.count[best].tolist(), distinct.digest[best].tolist(), strict=True)
    split.keep_top(list(pairs), num_top)


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


def repeated(newest: Sequence[Path], earlier: Sequence[Sequence[Path]]) -> dict[str, Any]:
    """The rows of the newest table whose content the earlier tables hold, too.

    Args:
        newest: the files of a row table.
        earlier: those of each of the others.
    """
    matches = Matches()
    for bucket in range(NUM_BUCKETS):
        table = row_tables.sum_bucket(places([newest], bucket))
        distinct = contents(table)
        distinct_earlier = contents(row_tables.sum_bucket(places(earlier, bucket)))
        matches.add(distinct, is_in(distinct.digest, distinct_earlier.digest), table)

    texts = row_tables.lookup(lambda bucket: places([newest], bucket), matches.examples)
    return {
        "num_rows": matches.num_rows,
        "examples": [texts[digest] for digest in matches.examples],
    }
