"""Counts of the rows of a shard, a span or a window of spans, and where the first ones are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seqline.rows.bad_rows import NUM_QUOTED, BadRows, quote
from seqline.rows.row import BadRow
from seqline.rows.unused import NUM_NAMED

# Forms of labels that are counted one by one.
MAX_FORMS = 100
# With as many distinct contents, each split can have one.
ENOUGH_CONTENTS = 3

# split -> label -> rows
Counts = dict[str, dict[str, int]]


class Nearest(NamedTuple):
    """The content of a class outside train that is nearest to train's, by the digest that splits.

    Attributes:
        digest: Of the content: 64 bits, as a number.
        num_rows: Rows of the class with this content.
    """

    digest: int
    num_rows: int


@dataclass
class RowCounts:
    """The rows that were read.

    Attributes:
        num_read: All of them.
        num_bad: Problem -> rows that cannot be used.
        quoted: The first bad rows, as messages quote them.
        num_rows: Split -> label -> rows, as they are used.
        places: Split -> label -> the place of its first row.
        dims: Numbers of one time step -> the place of the first such row.
        errors: [message, exit code] of what ended the reading of a shard.
        nearest: Label -> its nearest content outside train.
        left_out: Rows of rare classes that are in no split, by the split and label they would have.
        gathered: Rows of rare classes that got another label, by their split and own label.
        num_empty_files: Files that hold no row.
        empty_files: The first of them.
        moved: Rows that went to train, by the split that their digest says and their label.
        weightless: Rows with the weight 0, of those that are used.
        num_normalized: Rows whose label was not written in its normal form.
        written: Label as it was written, where that is not its normal form -> rows. The first
            MAX_FORMS of them.
        num_swallowed: Lines in quoted fields that look like rows of the file, with known labels.
        swallowing: The places of the first rows with such lines.
        contents: The digests of the first ENOUGH_CONTENTS distinct contents that were split by
            their digest.
        num_files: Files that were written: shards of Examples, their origins, and lists of rows.
    """

    num_read: int = 0
    num_bad: dict[str, int] = field(default_factory=dict)
    quoted: list[str] = field(default_factory=list)
    num_rows: Counts = field(default_factory=dict)
    places: dict[str, dict[str, str]] = field(default_factory=dict)
    dims: dict[str, str] = field(default_factory=dict)
    errors: list[list[Any]] = field(default_factory=list)
    nearest: dict[str, Nearest] = field(default_factory=dict)
    left_out: Counts = field(default_factory=dict)
    gathered: Counts = field(default_factory=dict)
    moved: Counts = field(default_factory=dict)
    num_empty_files: int = 0
    empty_files: list[str] = field(default_factory=list)
    weightless: Counts = field(default_factory=dict)
    num_normalized: int = 0
    written: dict[str, int] = field(default_factory=dict)
    num_swallowed: int = 0
    swallowing: list[str] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    num_files: int = 0

    def __post_init__(self) -> None:
        # They are lists where they come from JSON.
        self.nearest = {label: Nearest(*nearest) for label, nearest in self.nearest.items()}

    def merge(self, other: "RowCounts") -> None:
        """Adds the rows of another shard or span, which comes after these."""
        self.add_sums(other)
        for problem, count in other.num_bad.items():
            self.num_bad[problem] = self.num_bad.get(problem, 0) + count
        self.quoted = (self.quoted + other.quoted)[:NUM_QUOTED]

        for split, places in other.places.items():
            for label, place in places.items():
                self.places.setdefault(split, {}).setdefault(label, place)

        for dim, place in other.dims.items():
            self.dims.setdefault(dim, place)
        for form, count in other.written.items():
            self._add_form(form, count)

        self.swallowing = (self.swallowing + other.swallowing)[:NUM_QUOTED]
        for digest in other.contents:
            self.note_content(digest)

        self.errors += other.errors
        self.empty_files = (self.empty_files + other.empty_files)[:NUM_NAMED]

    def add_sums(self, other: "RowCounts") -> None:
        """Adds what does not depend on which rows come first. See `merge` for the rest."""
        self.num_read += other.num_read
        for own_counts, other_counts in (
            (self.num_rows, other.num_rows),
            (self.left_out, other.left_out),
            (self.gathered, other.gathered),
            (self.moved, other.moved),
            (self.weightless, other.weightless),
        ):
            for split, labels in other_counts.items():
                for label, count in labels.items():
                    add(own_counts, split, label, count)

        for label, nearest in other.nearest.items():
            self.note_nearest(label, *nearest)

        self.num_normalized += other.num_normalized
        self.num_swallowed += other.num_swallowed
        self.num_empty_files += other.num_empty_files
        self.num_files += other.num_files

    def note_bad(self, row: BadRow) -> None:
        """Counts a bad row."""
        self.num_bad[row.problem] = self.num_bad.get(row.problem, 0) + 1
        if len(self.quoted) < NUM_QUOTED:
            self.quoted.append(quote(row))

    def note_empty(self, path: str) -> None:
        """Counts a file that holds no row."""
        self.num_empty_files += 1
        self.empty_files = [*self.empty_files, path][:NUM_NAMED]

    def note_swallowed(self, place: str, labels: Sequence[str]) -> None:
        """Counts the lines within a row that look like rows.

        Args:
            place: The file and line of the row.
            labels: What stands in each of the lines where rows have their label. Lines of prose
                have no label there that other rows have.
        """
        known = {label for labels in self.num_rows.values() for label in labels}
        num = sum(label in known or label in self.written for label in labels)
        self.num_swallowed += num
        if num and len(self.swallowing) < NUM_QUOTED:
            self.swallowing.append(place)

    def note_content(self, digest: int) -> None:
        """Keeps the digest of a content if few others are known."""
        if len(self.contents) < ENOUGH_CONTENTS and digest not in self.contents:
            self.contents.append(digest)

    def note_written(self, form: str) -> None:
        """Counts a row whose label was written in this form, which is not its normal one."""
        self.num_normalized += 1
        self._add_form(form, 1)

    def _add_form(self, form: str, count: int) -> None:
        if form in self.written or len(self.written) < MAX_FORMS:
            self.written[form] = self.written.get(form, 0) + count

    def note_nearest(self, label: str, digest: int, num_rows: int = 1) -> None:
        """Keeps the digest of a content outside train if it is the nearest of its class."""
        known = self.nearest.get(label)
        if known is None or digest < known.digest:
            self.nearest[label] = Nearest(digest, num_rows)
        elif digest == known.digest:
            self.nearest[label] = Nearest(digest, known.num_rows + num_rows)

    @property
    def bad_rows(self) -> BadRows:
        return BadRows(sum(self.num_bad.values()), self.num_read, self.quoted)

    @property
    def labels(self) -> list[str]:
        """The labels of all splits, in ascending order."""
        return sorted({label for labels in self.num_rows.values() for label in labels})

    def num_in(self, split: str) -> int:
        """The rows of a split that are used."""
        return sum(self.num_rows.get(split, {}).values())


def add(counts: Counts, split: str, label: str, count: int = 1) -> None:
    """Adds rows to counts."""
    labels = counts.setdefault(split, {})
    labels[label] = labels.get(label, 0) + count


def total(counts: Counts) -> int:
    """The rows of all splits and labels."""
    return sum(sum(labels.values()) for labels in counts.values())
