"""What reading a shard, a span or a window of spans found.

Counts of rows by split and label, and where the first ones are.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Bad rows that an error message quotes.
NUM_QUOTED = 5

# split -> label -> rows
Counts = dict[str, dict[str, int]]


class Nearest(NamedTuple):
    """The content of a class outside train that is nearest to train's, where the digest cut the
    splits. digest: 64 bits, as a number.

    num_rows: rows of the class with this content.
    """

    digest: int
    num_rows: int


@dataclass
class Summary:
    """What was found in a shard, or in all of them. errors.

    (message, exit code) of what ended the reading.

    num_rows: of the rows as they are used. nearest: label -> see there. left_out, gathered: rows of
    rare classes, by the split that they are of and their own label. moved: rows that went to train,
    by the split that their digest says and their label.
    """

    num_read: int = 0
    num_bad: dict[str, int] = field(default_factory=dict)  # problem -> rows
    quoted: list[str] = field(default_factory=list)
    num_rows: Counts = field(default_factory=dict)
    places: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # split -> label -> where its first row is
    dims: dict[str, str] = field(
        default_factory=dict
    )  # numbers of one time step -> where the first such row is
    errors: list[list[Any]] = field(default_factory=list)
    nearest: dict[str, Nearest] = field(default_factory=dict)
    left_out: Counts = field(default_factory=dict)
    gathered: Counts = field(default_factory=dict)
    moved: Counts = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nearest = {
            label: Nearest(*nearest) for label, nearest in self.nearest.items()
        }  # lists, where they come from JSON

    def merge(self, other: "Summary") -> None:
        self.num_read += other.num_read
        for problem, count in other.num_bad.items():
            self.num_bad[problem] = self.num_bad.get(problem, 0) + count
        self.quoted = (self.quoted + other.quoted)[:NUM_QUOTED]
        for mine, theirs in (
            (self.num_rows, other.num_rows),
            (self.left_out, other.left_out),
            (self.gathered, other.gathered),
            (self.moved, other.moved),
        ):
            for split, labels in theirs.items():
                for label, count in labels.items():
                    add(mine, split, label, count)
        for split, places in other.places.items():
            for label, place in places.items():
                self.places.setdefault(split, {}).setdefault(label, place)
        for dim, place in other.dims.items():
            self.dims.setdefault(dim, place)
        for label, nearest in other.nearest.items():
            self.note_nearest(label, *nearest)
        self.errors += other.errors

    def note_nearest(self, label: str, digest: int, num_rows: int = 1) -> None:
        """A row of a class outside train: is its content the nearest one, or that one again?"""
        known = self.nearest.get(label)
        if known is None or digest < known.digest:
            self.nearest[label] = Nearest(digest, num_rows)
        elif digest == known.digest:
            self.nearest[label] = Nearest(digest, known.num_rows + num_rows)

    def num_in(self, split: str) -> int:
        """The rows of a split that are used."""
        return sum(self.num_rows.get(split, {}).values())

    def num_left_out_of(self, split: str) -> int:
        """The rows of a split that are left out because their classes are rare."""
        return sum(self.left_out.get(split, {}).values())


def add(counts: Counts, split: str, label: str, count: int = 1) -> None:
    """Adds rows to counts."""
    labels = counts.setdefault(split, {})
    labels[label] = labels.get(label, 0) + count


def total(counts: Counts) -> int:
    """The rows of all splits and labels."""
    return sum(sum(labels.values()) for labels in counts.values())
