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
from components.example_gen.summary import Summary
from seqline.data import features
from seqline.data.examples import GATHERED, KEPT, LEFT_OUT, RareClass
from seqline.errors import DataError

# Classes that a message names; all of them are in the figures.
NUM_NAMED = 50


@dataclass(frozen=True)
class Decision:
    """What reading a span has to know. moved.

    Digests of contents that go to train. left_out, gathered: labels. Empty where all is well.
    """

    moved: frozenset[int] = frozenset()
    left_out: frozenset[str] = frozenset()
    gathered: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return not (self.moved or self.left_out or self.gathered)

    def of(self, span: Summary) -> "Decision":
        """The decision as far as a span may follow it.

        Any span may hold a moved content, under another label, too.
        """
        labels = {label for counts in span.num_rows.values() for label in counts}
        return replace(self, left_out=self.left_out & labels, gathered=self.gathered & labels)

    def key(self, params: ExampleGenParams) -> dict[str, object]:
        """What of it belongs into the key of a span, as JSON."""
        other = {"other_class": params.other_class} if self.gathered else {}
        return {
            "moved": sorted(self.moved),
            "left_out": sorted(self.left_out),
            "gathered": sorted(self.gathered),
            **other,
        }


def decide(summary: Summary, params: ExampleGenParams) -> tuple[Decision, list[RareClass]]:
    """The decision for a window, and its rare classes in ascending order of their labels. summary.

    Of the rows as the digest splits them.

    Raises DataError for rare classes where example_gen.rare_classes is "stop"; it names all of
    them.
    """
    train = summary.num_rows.get(features.TRAIN, {})
    labels = sorted({label for counts in summary.num_rows.values() for label in counts})
    rare = [label for label in labels if _num_in_train(label, summary) < params.min_class_rows]
    if rare and params.rare_classes == "stop":
        raise DataError(_stop([_record(label, summary, "") for label in rare], len(labels), params))
    common = [label for label in labels if label not in set(rare)]
    moved = {summary.nearest[label].digest for label in common if label not in train}
    done = LEFT_OUT
    if rare and params.rare_classes == "gather":
        movable = [summary.nearest[label].digest for label in rare if label in summary.nearest]
        if any(label in train for label in rare) or params.other_class in common:
            done = GATHERED
        elif movable:
            done = GATHERED
            moved.add(min(movable))
        # Otherwise other_class would have no row in train either, and no model could say it.
    records = [_record(label, summary, done) for label in rare]
    records += [
        _record(label, summary, KEPT)
        for label in common
        if sum(_num_rows(label, summary).values()) == 1
    ]
    decision = Decision(
        frozenset(moved),
        frozenset(rare if done == LEFT_OUT else ()),
        frozenset(rare if done == GATHERED else ()),
    )
    return decision, sorted(records, key=lambda record: record.label)


def _num_in_train(label: str, summary: Summary) -> int:
    """The rows of a class in train.

    By the digest, or, where there are none, those with the content that can be moved there.
    """
    in_train = summary.num_rows.get(features.TRAIN, {}).get(label, 0)
    return in_train or (summary.nearest[label].num_rows if label in summary.nearest else 0)


def _num_rows(label: str, summary: Summary) -> dict[str, int]:
    return {
        split: summary.num_rows[split][label]
        for split in features.SPLITS
        if label in summary.num_rows.get(split, {})
    }


def _record(label: str, summary: Summary, done: str) -> RareClass:
    num_rows = _num_rows(label, summary)
    return RareClass(
        label,
        num_rows,
        summary.places[next(iter(num_rows))][label],
        done,
        _num_in_train(label, summary) == 0,
    )


# Sentences


def _named(records: Sequence[RareClass]) -> str:
    """`'a' (1 row in test, at b.csv:3), 'b' (...)`."""
    named = [f"{record.label!r} ({record.counted})" for record in records[:NUM_NAMED]]
    return ", ".join(named) + (
        f", and {len(records) - NUM_NAMED:,} more" if len(records) > NUM_NAMED else ""
    )


def _stop(records: Sequence[RareClass], num_labels: int, params: ExampleGenParams) -> str:
    wanted = (
        "no row in train"
        if params.min_class_rows == 1
        else f"fewer than {params.min_class_rows:,} rows in train"
    )
    return (
        f"{len(records):,} of {num_labels:,} classes {'has' if len(records) == 1 else 'have'}"
        f" {wanted} (example_gen.min_class_rows {params.min_class_rows:,}): {_named(records)}. Add"
        " rows of them to train, or set example_gen.rare_classes to 'leave_out' or to 'gather'."
    )
