"""The sum of the RowCounts of a span's shards, which come in any order.

Most counts do not depend on the order. What is the first of something, such as the first row of a
label, is kept with its rank. So a sum of many shards holds one place for each label, and it is the
same as if the shards were added in their order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from components.example_gen.row_counts import ENOUGH_CONTENTS, MAX_FORMS, RowCounts
from seqline.rows.bad_rows import NUM_QUOTED
from seqline.rows.unused import NUM_NAMED

# (number of the shard in its span, place among the shard's own)
Rank = tuple[int, int]

# Fields that list the first entries -> how many they hold.
MOST = {
    "quoted": NUM_QUOTED,
    "swallowing": NUM_QUOTED,
    "empty_files": NUM_NAMED,
    "errors": 1,
    "contents": ENOUGH_CONTENTS,
}
# Fields that hold a number or a place for each key, in the order in which the keys first occur.
KEYED = ("num_bad", "dims", "written")
# Those of them whose numbers add up.
SUMMED = ("num_bad", "written")
PLACES = "places"


@dataclass
class ShardSum:
    """The counts of some shards of a span.

    Attributes:
        sums: What does not depend on the order of the shards.
        listed: A field of MOST -> its first entries.
        keyed: A field of KEYED -> key -> the rank of the key, and its number or place. Also PLACES
            -> (split, label) -> the rank and the place of its first row.
    """

    sums: RowCounts = field(default_factory=RowCounts)
    listed: dict[str, list[tuple[Rank, Any]]] = field(
        default_factory=lambda: {name: [] for name in MOST}
    )
    keyed: dict[str, dict[Any, tuple[Rank, Any]]] = field(
        default_factory=lambda: {name: {} for name in (*KEYED, PLACES)}
    )

    @classmethod
    def of(cls, number: int, counts: RowCounts) -> "ShardSum":
        """The counts of one shard.

        Args:
            number: The number of the shard in its span.
            counts: Of its rows.
        """
        shard = cls()
        shard.sums.add_sums(counts)
        for name, listed in shard.listed.items():
            listed += [
                ((number, place), entry) for place, entry in enumerate(getattr(counts, name))
            ]

        entries: dict[str, dict[Any, Any]] = {name: getattr(counts, name) for name in KEYED}
        entries[PLACES] = {
            (split, label): place
            for split, labels in counts.places.items()
            for label, place in labels.items()
        }

        for name, keyed in shard.keyed.items():
            for place, (key, value) in enumerate(entries[name].items()):
                keyed[key] = ((number, place), value)
        return shard

    def merge(self, other: "ShardSum") -> None:
        """Adds other shards."""
        self.sums.add_sums(other.sums)
        for name, most in MOST.items():
            entries = sorted(self.listed[name] + other.listed[name], key=lambda entry: entry[0])
            if name == "contents":
                entries = _distinct(entries)
            self.listed[name] = entries[:most]

        for name, own in self.keyed.items():
            for key, entry in other.keyed[name].items():
                known = own.get(key, entry)
                if key in own and name in SUMMED:
                    own[key] = (min(known[0], entry[0]), known[1] + entry[1])
                else:
                    own[key] = min(known, entry)

    def counts(self) -> RowCounts:
        """The counts of all shards, with all that is ordered in the order of the shards."""
        whole = RowCounts()
        whole.add_sums(self.sums)
        for name, listed in self.listed.items():
            setattr(whole, name, [entry for _, entry in listed])

        for name in KEYED:
            setattr(whole, name, {key: value for key, (_, value) in _in_order(self.keyed[name])})
        whole.written = dict(list(whole.written.items())[:MAX_FORMS])

        # A label has its first place where it has its first row.
        num_rows, whole.num_rows = whole.num_rows, {}
        for (split, label), (_, place) in _in_order(self.keyed[PLACES]):
            whole.num_rows.setdefault(split, {})[label] = num_rows[split][label]
            whole.places.setdefault(split, {})[label] = place
        return whole


def _distinct(entries: Iterable[tuple[Rank, Any]]) -> list[tuple[Rank, Any]]:
    """The first of equal entries."""
    first: dict[Any, Rank] = {}
    for rank, entry in entries:
        first.setdefault(entry, rank)
    return [(rank, entry) for entry, rank in first.items()]


def _in_order(keyed: dict[Any, tuple[Rank, Any]]) -> list[tuple[Any, tuple[Rank, Any]]]:
    return sorted(keyed.items(), key=lambda entry: entry[1][0])


class SumShards(beam.CombineFn):
    """(number of a shard, its RowCounts) -> the RowCounts of all."""

    def create_accumulator(self) -> ShardSum:
        return ShardSum()

    def add_input(self, accumulator: ShardSum, shard: tuple[int, RowCounts]) -> ShardSum:
        accumulator.merge(ShardSum.of(*shard))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[ShardSum]) -> ShardSum:
        whole = ShardSum()
        for accumulator in accumulators:
            whole.merge(accumulator)
        return whole

    def extract_output(self, accumulator: ShardSum) -> RowCounts:
        return accumulator.counts()
