"""The tokens and characters of the splits, and how many of them the train split does not have."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.statistics_gen.histogram import Histogram
from seqline.data import counts, scripts

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


def of_tokens(tables: Mapping[str, Sequence[Path]], num_top: int) -> dict[str, Any]:
    """The vocabularies of splits, from their count tables. The first split is the reference.

    Args:
        tables: split -> its count tables.
        num_top: how many of the most frequent tokens are named.

    Returns:
        split -> its figures, for statistics.json.
    """
    vocabularies = {split: Vocabulary() for split in tables}
    outsides = {split: Outside() for split in list(tables)[1:]}
    for bucket in range(counts.NUM_BUCKETS):
        entries = {split: counts.sum_bucket(paths, bucket) for split, paths in tables.items()}
        _add(vocabularies, outsides, entries, num_top)
    return _to_json(vocabularies, outsides)


def of_chars(histograms: Mapping[str, Histogram], num_top: int) -> dict[str, Any]:
    """The same for characters, from the counts of the code points of each split."""
    vocabularies = {split: Vocabulary() for split in histograms}
    outsides = {split: Outside() for split in list(histograms)[1:]}

    entries: dict[str, dict[bytes, int]] = {}
    for split, histogram in histograms.items():
        points = histogram.values.tolist()
        entries[split] = {
            chr(point).encode(): count
            for point, count in zip(points, histogram.counts.tolist(), strict=True)
        }

    _add(vocabularies, outsides, entries, num_top)
    figures = _to_json(vocabularies, outsides)
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
    figures: dict[str, Any] = {}
    for split, vocabulary in vocabularies.items():
        outside = outsides.get(split)
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
