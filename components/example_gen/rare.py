"""Rare classes: which ones a window of spans has, and what becomes of their rows.

Two things are decided, from the counts of all spans of the window:

  moved     a class with no row in train, where the split was cut by a digest: the content whose
            digest is nearest to train's goes to train
  rare      a class that still has fewer than min_class_rows rows in train: it stops the run, is
            left out, or is gathered into other_class

A source's own eval and test rows are never moved. The decision follows from the content alone: not
from shards, workers or order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.example_gen import ExampleGenParams
from components.example_gen.row_counts import RowCounts
from seqline.data import features
from seqline.data.manifest import GATHERED, KEPT, LEFT_OUT, RareClass
from seqline.errors import DataError

# Classes that a message names; all of them are in the figures.
NUM_NAMED = 50


@dataclass(frozen=True)
class Decision:
    """The decisions for a window that reading a span has to know. Empty where there are none.

    Attributes:
        moved: Digests of contents that go to train.
        left_out: Labels whose rows are in no split.
        gathered: Labels whose rows get the label `other_class`.
        cut: Splits that the column of splits lacks. They are taken from train by the digest.
    """

    moved: frozenset[int] = frozenset()
    left_out: frozenset[str] = frozenset()
    gathered: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return not (self.moved or self.left_out or self.gathered or self.cut)

    def of(self, span: RowCounts) -> "Decision":
        """The part of the decision that may concern a span.

        Any span may hold a moved content, under another label, too.
        """
        labels = set(span.labels)
        return replace(self, left_out=self.left_out & labels, gathered=self.gathered & labels)

    def key(self, params: ExampleGenParams) -> dict[str, object]:
        """The decision as the key of a span holds it, as JSON."""
        other: dict[str, object] = {}
        if self.gathered:
            other["other_class"] = params.other_class
        if self.cut:
            other["cut"] = sorted(self.cut)
        return {
            "moved": sorted(self.moved),
            "left_out": sorted(self.left_out),
            "gathered": sorted(self.gathered),
            **other,
        }


def decide(counts: RowCounts, params: ExampleGenParams) -> tuple[Decision, list[RareClass]]:
    """The decision for a window, and its rare classes in ascending order of their labels.

    Args:
        counts: Of the rows as the digest splits them.
        params: What a rare class is, and what becomes of it.

    Raises:
        DataError: There are rare classes, and example_gen.rare_classes is "stop". The message names
            them.
    """
    train = counts.num_rows.get(features.TRAIN, {})
    labels = counts.labels
    rare = [label for label in labels if _num_in_train(label, counts) < params.min_class_rows]
    if rare and params.rare_classes == "stop":
        raise DataError(_stop([_record(label, counts, "") for label in rare], len(labels), params))

    rare_labels = set(rare)
    common = [label for label in labels if label not in rare_labels]
    moved = {counts.nearest[label].digest for label in common if label not in train}
    done = LEFT_OUT
    if rare and params.rare_classes == "gather":
        movable = [counts.nearest[label].digest for label in rare if label in counts.nearest]
        if any(label in train for label in rare) or params.other_class in common:
            done = GATHERED
        elif movable:
            done = GATHERED
            moved.add(min(movable))
        # Otherwise other_class would have no row in train either, and no model could say it.

    single = [label for label in common if sum(_num_rows(label, counts).values()) == 1]
    records = [_record(label, counts, done) for label in rare]
    records += [_record(label, counts, KEPT) for label in single]
    decision = Decision(
        frozenset(moved),
        frozenset(rare if done == LEFT_OUT else ()),
        frozenset(rare if done == GATHERED else ()),
    )
    return decision, sorted(records, key=lambda record: record.label)


def _num_in_train(label: str, counts: RowCounts) -> int:
    """The rows of a class in train, or else those with the content that can be moved there."""
    in_train = counts.num_rows.get(features.TRAIN, {}).get(label, 0)
    return in_train or (counts.nearest[label].num_rows if label in counts.nearest else 0)


def _num_rows(label: str, counts: RowCounts) -> dict[str, int]:
    """Split -> rows of a class."""
    return {
        split: counts.num_rows[split][label]
        for split in features.SPLITS
        if label in counts.num_rows.get(split, {})
    }


def _record(label: str, counts: RowCounts, done: str) -> RareClass:
    num_rows = _num_rows(label, counts)
    return RareClass(
        label=label,
        num_rows=num_rows,
        place=counts.places[next(iter(num_rows))][label],
        done=done,
        is_unseen=_num_in_train(label, counts) == 0,
    )


# Sentences


def _named(records: Sequence[RareClass]) -> str:
    """`'a' (1 row in test, at b.csv:3), 'b' (...)`."""
    named = [f"{record.label!r} ({record.counted})" for record in records[:NUM_NAMED]]
    num_more = len(records) - len(named)
    return ", ".join(named) + (f", and {num_more:,} more" if num_more else "")


def _stop(records: Sequence[RareClass], num_labels: int, params: ExampleGenParams) -> str:
    wanted = "no row in train"
    if params.min_class_rows > 1:
        wanted = f"fewer than {params.min_class_rows:,} rows in train"
    return (
        f"{len(records):,} of {num_labels:,} classes {'has' if len(records) == 1 else 'have'}"
        f" {wanted} (example_gen.min_class_rows {params.min_class_rows:,}): {_named(records)}. Add"
        " rows of them to train, or set example_gen.rare_classes to 'leave_out' or to 'gather'."
    )
