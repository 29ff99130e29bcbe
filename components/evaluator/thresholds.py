"""Thresholds of single slices, such as `label=sport`: each must be of a slice that can exist."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from components.evaluator import EvaluatorParams, slices
from seqline.component import Figures
from seqline.data import features
from seqline.data.feature_kinds import kinds_of
from seqline.data.manifest import read_manifest
from seqline.errors import UserError
from seqline.suggest import suggestion

SETTING = "evaluator.min_slice_accuracy"
# Known values that a message names.
NUM_NAMED = 10

# (feature, value)
Slice = tuple[str, str]


def named(params: EvaluatorParams) -> Iterator[Slice]:
    """The single slices that have thresholds of their own."""
    floors = params.min_slice_accuracy
    for name in floors if isinstance(floors, Mapping) else ():
        feature, is_single, value = name.partition("=")
        if is_single:
            yield feature, value


def check(params: EvaluatorParams) -> None:
    """Checks what can be told before there are rows: lengths are in fixed ranges.

    Raises:
        UserError: A threshold is for a range of lengths that does not exist.
    """
    for feature, value in named(params):
        if feature != features.LENGTH:
            continue

        first = re.match("[0-9]+", value)
        if not first or slices.bucket(int(first[0])) != value:
            near = f" Did you mean 'length={slices.bucket(int(first[0]))}'?" if first else ""
            raise UserError(
                f"{SETTING} names 'length={value}', and the ranges of lengths are 0, 1, 2-3, 4-7,"
                f" 8-15 and so on.{near}"
            )


def check_examples(params: EvaluatorParams, examples: Path) -> None:
    """Checks that slices and their thresholds are of something that the Examples have.

    Raises:
        UserError: They have no such feature, or no row of a label or a span that has a threshold.
    """
    of_examples = [name for name in params.slices if name not in slices.DERIVED]
    if of_examples:
        kinds_of(of_examples, features.shards(examples, features.TEST))

    spans = read_manifest(examples).spans
    known = {
        features.LABEL: {
            label for span in spans for labels in span.num_rows.values() for label in labels
        },
        slices.SPAN: {str(span.number) for span in spans},
    }

    for feature, value in named(params):
        if feature in known and value not in known[feature]:
            raise UserError(
                f"{SETTING} names '{feature}={value}', of which the Examples have no row; they have"
                f" {_listed(known[feature])}.{_suggestion(feature, value, known[feature])} Correct"
                " it, or remove it: a threshold of no slice would let everything pass."
            )


def without_rows(params: EvaluatorParams, measured: Sequence[Figures]) -> str:
    """Names the single slices with thresholds of which test has no row; "" if it has all.

    Args:
        params: The thresholds.
        measured: The figures of the slices of test.
    """
    reasons = []
    for feature, value in named(params):
        values = {each["value"] for each in measured if each["feature"] == feature}
        if value not in values:
            reasons.append(f"{feature}={value} (it has {_listed(values)})")

    if not reasons:
        return ""
    return f"test has no row of slices that min_slice_accuracy names: {'; '.join(reasons)}"


def _suggestion(feature: str, value: str, known: Iterable[str]) -> str:
    return suggestion(f"{feature}={value}", [f"{feature}={name}" for name in known])


def _listed(values: Iterable[str]) -> str:
    ordered = sorted(values)
    more = f", and {len(ordered) - NUM_NAMED:,} more" if len(ordered) > NUM_NAMED else ""
    return ", ".join(map(repr, ordered[:NUM_NAMED])) + more
