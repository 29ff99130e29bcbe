"""The tokens and characters of the splits, and how many of them the train split does not have."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.statistics_gen.histogram import Histogram
from seqline.data import counts, scripts
from seqline.data.buckets import NUM_BUCKETS, places

# Entries outside the train split that are shown.
NUM_EXAMPLES = 5
# An entry that occurs this often does not do so by chance: another draw of the same kind has it.
FREQUENT = 5

# (count, entry): equal counts in descending order of the entries, as TFDV orders top values.
Top = list[tuple[int, bytes]]


@dataclass
class Vocabulary:
    """The entries (tokens or characters) of a split."""

    num: int = 0  # occurrences
    num_distinct: int = 0
    num_once: int = 0  # entries that occur once
    # Occurrences of entries with letters of scripts without spaces, and entries that occur once.
    num_unspaced: int = 0
    num_unspaced_once: int = 0
    top: Top = field(default_factory=list)  # the most frequent entries

    def add(self, entries: Mapping[bytes, int], num_top: int) -> None:
        self.num += sum(entries.values())
        self.num_distinct += len(entries)
        self.num_once += sum(1 for count in entries.values() if count == 1)
        for entry, count in entries.items():
            if not entry.isascii() and scripts.UNSPACED_CHAR.search(entry.decode(errors="replace")):
                self.num_unspaced += count
                self.num_unspaced_once += count == 1
        self.top = heapq.nlargest(
            num_top, [*self.top, *((count, entry) for entry, count in entries.items())]
        )

    def merge(self, other: "Vocabulary", num_top: int) -> None:
        """Adds other entries."""
        self.num += other.num
        self.num_distinct += other.num_distinct
        self.num_once += other.num_once
        self.num_unspaced += other.num_unspaced
        self.num_unspaced_once += other.num_unspaced_once
        self.top = heapq.nlargest(num_top, self.top + other.top)


@dataclass
class Outside:
    """The entries of a split that a reference does not have."""

    num: int = 0  # occurrences
    num_distinct: int = 0
    num_frequent: int = 0  # the split's frequent entries, known to the reference or not
    num_frequent_known: int = 0
    top: Top = field(default_factory=list)  # the most frequent of the entries outside

    def add(self, entries: Mapping[bytes, int], reference: Mapping[bytes, int]) -> None:
        outside = {entry: count for entry, count in entries.items() if entry not in reference}
        frequent = [entry for entry, count in entries.items() if count >= FREQUENT]
        self.num += sum(outside.values())
        self.num_distinct += len(outside)
        self.num_frequent += len(frequent)
        self.num_frequent_known += sum(1 for entry in frequent if entry in reference)
        self.top = heapq.nlargest(
            NUM_EXAMPLES, [*self.top, *((count, entry) for entry, count in outside.items())]
        )

    def merge(self, other: "Outside") -> None:
        """Adds other entries."""
        self.num += other.num
        self.num_distinct += other.num_distinct
        self.num_frequent += other.num_frequent
        self.num_frequent_known += other.num_frequent_known
        self.top = heapq.nlargest(NUM_EXAMPLES, self.top + other.top)


@dataclass
class Vocabularies:
    """The entries of splits, of which the first is the reference."""

    splits: dict[str, Vocabulary]
    outsides: dict[str, Outside]  # of all splits but the first

    @classmethod
    def of(cls, splits: Iterable[str]) -> "Vocabularies":
        """Without entries yet."""
        names = list(splits)
        return cls(
            {split: Vocabulary() for split in names}, {split: Outside() for split in names[1:]}
        )

    def add(self, entries: Mapping[str, Mapping[bytes, int]], num_top: int) -> None:
        """Adds entries that no earlier call had.

        Args:
            entries: split -> entry -> how often it occurs.
            num_top: how many of the most frequent entries are named.
        """
        reference = next(iter(entries.values()))
        for split, vocabulary in self.splits.items():
            vocabulary.add(entries[split], num_top)
            if split in self.outsides:
                self.outsides[split].add(entries[split], reference)

    def merge(self, other: "Vocabularies", num_top: int) -> None:
        """Adds other entries."""
        for split, vocabulary in self.splits.items():
            vocabulary.merge(other.splits[split], num_top)
            if split in self.outsides:
                self.outsides[split].merge(other.outsides[split])

    def to_json(self) -> dict[str, Any]:
        """Split -> its figures, for statistics.json."""
        reference = next(iter(self.splits.values()))
        figures: dict[str, Any] = {}
        for split, vocabulary in self.splits.items():
            outside = self.outsides.get(split)
            figures[split] = {
                "num": vocabulary.num,
                "num_distinct": vocabulary.num_distinct,
                "num_once": vocabulary.num_once,
                "num_unspaced": vocabulary.num_unspaced,
                "num_unspaced_once": vocabulary.num_unspaced_once,
                "top": _top_to_json(vocabulary.top),
                "oov": _outside_to_json(outside, vocabulary, reference) if outside else None,
            }
        return figures


def of_tokens(tables: Mapping[str, Sequence[Sequence[Path]]], num_top: int) -> dict[str, Any]:
    """The vocabularies of splits, from their count tables. The first split is the reference.

    Args:
        tables: split -> the files of each of its count tables.
        num_top: how many of the most frequent tokens are named.

    Returns:
        split -> its figures, for statistics.json.
    """
    vocabularies = Vocabularies.of(tables)
    for bucket in range(NUM_BUCKETS):
        entries = {
            split: counts.sum_bucket(places(of_split, bucket)) for split, of_split in tables.items()
        }
        vocabularies.add(entries, num_top)
    return vocabularies.to_json()


def of_chars(histograms: Mapping[str, Histogram], num_top: int) -> dict[str, Any]:
    """The same for characters, from the counts of the code points of each split."""
    entries: dict[str, dict[bytes, int]] = {}
    for split, histogram in histograms.items():
        points = histogram.values.tolist()
        entries[split] = {
            chr(point).encode(): count
            for point, count in zip(points, histogram.counts.tolist(), strict=True)
        }

    vocabularies = Vocabularies.of(histograms)
    vocabularies.add(entries, num_top)
    figures = vocabularies.to_json()
    for split, chars in entries.items():
        figures[split] |= _letters(chars)
    return figures


def _letters(chars: Mapping[bytes, int]) -> dict[str, Any]:
    """How many letters there are, and those of each script without spaces between words."""
    num_letters = 0
    unspaced: Counter[str] = Counter()
    for char, count in chars.items():
        letter = char.decode()
        if not letter.isalpha():
            continue

        num_letters += count
        if scripts.UNSPACED_CHAR.fullmatch(letter):
            unspaced[scripts.script_of(letter)] += count

    return {
        "num_letters": num_letters,
        "unspaced_scripts": dict(sorted(unspaced.items(), key=lambda entry: (-entry[1], entry[0]))),
    }


def _outside_to_json(outside: Outside, split: Vocabulary, reference: Vocabulary) -> dict[str, Any]:
    """The figures of the entries outside the reference.

    "rate" is their share of the split's occurrences. "expected" is the rate to expect from another
    draw of the reference's source, by the Good-Turing estimate: the share of the reference's
    occurrences whose entry occurs once. "overlap" is the share of the split's frequent entries that
    the reference has.
    """
    overlap = outside.num_frequent_known / outside.num_frequent if outside.num_frequent else None
    return {
        "num": outside.num,
        "num_distinct": outside.num_distinct,
        "rate": outside.num / split.num if split.num else None,
        "expected": reference.num_once / reference.num if reference.num else None,
        "num_frequent": outside.num_frequent,
        "overlap": overlap,
        "top": _top_to_json(outside.top),
    }


def _top_to_json(top: Top) -> list[dict[str, Any]]:
    return [{"value": entry.decode(errors="replace"), "count": count} for count, entry in top]
