"""Which tokens and characters the splits have, and how many of them the train split does not know."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.statistics_gen.histogram import Histogram
from seqline.data import counts

# Entries outside the train split that are shown.
NUM_EXAMPLES = 5
# An entry that occurs so often is no chance find: another draw of the same kind has it, too.
FREQUENT = 5

# (count, entry): equal counts in descending order of the entries, as TFDV orders top values.
Top = list[tuple[int, bytes]]


@dataclass
class Vocabulary:
    """The entries (tokens or characters) of a split. num.

    Occurrences. num_once: entries that occur once.
    """

    num: int = 0
    num_distinct: int = 0
    num_once: int = 0
    top: Top = field(default_factory=list)

    def add(self, entries: Mapping[bytes, int], num_top: int) -> None:
        self.num += sum(entries.values())
        self.num_distinct += len(entries)
        self.num_once += sum(1 for count in entries.values() if count == 1)
        self.top = heapq.nlargest(
            num_top, [*self.top, *((count, entry) for entry, count in entries.items())]
        )


@dataclass
class Outside:
    """The entries of a split that a reference does not have.

    And of the split's frequent ones, how many it does have.
    """

    num: int = 0
    num_distinct: int = 0
    num_frequent: int = 0
    num_frequent_known: int = 0
    top: Top = field(default_factory=list)

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


def of_tokens(tables: Mapping[str, Sequence[Path]], num_top: int) -> dict[str, Any]:
    """The vocabularies of splits from their count tables.

    The first split is the others' reference.
    """
    vocabularies = {split: Vocabulary() for split in tables}
    outsides = {split: Outside() for split in list(tables)[1:]}
    for bucket in range(counts.NUM_BUCKETS):
        entries = {split: counts.sum_bucket(paths, bucket) for split, paths in tables.items()}
        _add(vocabularies, outsides, entries, num_top)
    return _to_json(vocabularies, outsides)


def of_chars(histograms: Mapping[str, Histogram], num_top: int) -> dict[str, Any]:
    """The same for characters, from counts of code points."""
    vocabularies = {split: Vocabulary() for split in histograms}
    outsides = {split: Outside() for split in list(histograms)[1:]}
    entries = {
        split: {
            chr(point).encode(): count
            for point, count in zip(found.values.tolist(), found.counts.tolist(), strict=True)
        }
        for split, found in histograms.items()
    }
    _add(vocabularies, outsides, entries, num_top)
    return _to_json(vocabularies, outsides)


def _add(
    vocabularies: Mapping[str, Vocabulary],
    outsides: Mapping[str, Outside],
    entries: Mapping[str, Mapping[bytes, int]],
    num_top: int,
) -> None:
    reference = next(iter(entries.values()))
    for split, vocabulary in vocabularies.items():
        vocabulary.add(entries[split], num_top)
        if split in outsides:
            outsides[split].add(entries[split], reference)


def _to_json(
    vocabularies: Mapping[str, Vocabulary], outsides: Mapping[str, Outside]
) -> dict[str, Any]:
    reference = next(iter(vocabularies.values()))
    return {
        split: {
            "num": found.num,
            "num_distinct": found.num_distinct,
            "num_once": found.num_once,
            "top": [
                {"value": entry.decode(errors="replace"), "count": count}
                for count, entry in found.top
            ],
            "oov": (
                _outside_to_json(outsides[split], found, reference) if split in outsides else None
            ),
        }
        for split, found in vocabularies.items()
    }


def _outside_to_json(outside: Outside, split: Vocabulary, reference: Vocabulary) -> dict[str, Any]:
    """rate.

    Of the split's occurrences. expected: of another draw from where the reference comes from, by
    Good and Turing's estimate (the share of the reference's occurrences whose entry occurs once).
    overlap: of the split's frequent entries.
    """
    return {
        "num": outside.num,
        "num_distinct": outside.num_distinct,
        "rate": outside.num / split.num if split.num else None,
        "expected": reference.num_once / reference.num if reference.num else None,
        "num_frequent": outside.num_frequent,
        "overlap": (
            outside.num_frequent_known / outside.num_frequent if outside.num_frequent else None
        ),
        "top": [
            {"value": entry.decode(errors="replace"), "count": count}
            for count, entry in outside.top
        ],
    }
