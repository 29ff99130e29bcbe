"""Finds the columns of content and label, by their values and their names."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.init.column import (
    Column,
    Contents,
    content_of,
    counts_of,
    is_split,
    is_title,
    is_weight,
    label_of,
    label_score,
    text_score,
)
from pipeline.init.inspection import Inspection
from seqline.data import labels, scripts
from seqline.rows.values import short

# Texts, and letters of each, whose script is looked at.
NUM_TEXTS, NUM_LETTERS = 300, 200
NUM_SHOWN = 3
NUM_SINGLE = 5


@dataclass
class Choice:
    """The columns of content and label, and what the content is like.

    Attributes:
        text: The column with the content, or several that are joined; () if no column can be it.
        label: The column with the label; None if no column can be it.
        contents: The kind of the content.
        split: The column with the split of each row; None if no column is one.
        weight: A column that may be a weight; None if no column is one.
        joined: Columns that may be joined, such as a title and the content; () for none.
        texts: The best candidates for `text`, the best first.
        labels: The best candidates for `label`, the best first: (column, value -> rows).
        lengths: Lengths of the contents in tokens or time steps, in ascending order.
        script: The script of the texts, such as latin.
        characters: Whether characters make better tokens than words.
        unspaced: Whether that is because the script has no spaces.
        notes: Sentences about what looks wrong.
    """

    text: tuple[str, ...]
    label: str | None
    contents: Contents
    split: str | None = None
    weight: str | None = None
    joined: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)
    labels: list[tuple[str, Counter[str]]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    script: str = ""
    characters: bool = False
    unspaced: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Rows of each class of the chosen label."""
        return next((counts for name, counts in self.labels if name == self.label), Counter())


def choose(inspected: Inspection, text: Sequence[str] = (), label: str | None = None) -> Choice:
    """Chooses the columns of content and label.

    Args:
        inspected: The data.
        text: The columns of the content, if the user named them.
        label: The column of the label, if the user named it.
    """
    texts = _text_candidates([column for column in inspected.columns if column.name != label])
    chosen = tuple(text or texts[:1])
    others = [column for column in inspected.columns if column.name not in chosen]
    candidates = _label_candidates(others)
    if label is not None:
        candidates = [(name, counts) for name, counts in candidates if name != label]
        candidates.insert(0, (label, counts_of(inspected.column(label))))
    if inspected.has_classes:
        candidates = [("label", inspected.counts)]

    choice = Choice(
        text=chosen,
        label=candidates[0][0] if candidates else None,
        contents=Contents("text"),
        texts=texts[:NUM_SHOWN],
        labels=candidates[:NUM_SHOWN],
    )
    left = [column for column in others if column.name != choice.label]
    # Files for each split say it already.
    if not inspected.has_splits:
        choice.split = next((column.name for column in left if is_split(column)), None)
    choice.weight = next((column.name for column in left if is_weight(column)), None)

    if len(chosen) == 1 and content_of(inspected.column(chosen[0])).content == "text":
        titles = {column.name for column in left if is_title(column)} - {choice.split}
        names = [name for name in inspected.names if name in titles or name == chosen[0]]
        choice.joined = tuple(names) if titles else ()
    if chosen:
        _measure(choice, inspected.joined(chosen))
    choice.notes = [*inspected.notes, *label_notes(inspected, choice)]
    return choice


def _text_candidates(columns: list[Column]) -> list[str]:
    """The columns that may be the content, the best first."""
    scores = {column.name: text_score(column) for column in columns}
    least = max(scores.values(), default=0.0) / 10
    ranked = sorted(scores, key=lambda name: scores[name], reverse=True)
    return [name for name in ranked if scores[name] > max(0.0, least)]


def _label_candidates(columns: list[Column]) -> list[tuple[str, Counter[str]]]:
    """The columns that may be the label, the best first, with the rows of each value."""
    ranked = sorted(columns, key=label_score, reverse=True)
    return [(column.name, counts_of(column)) for column in ranked if label_score(column) > 0]


def _measure(choice: Choice, column: Column) -> None:
    """Finds the lengths, the script and the kind of the content."""
    choice.contents = content_of(column)
    values = column.filled
    if choice.contents.content != "text":
        lists = [_from_json(value) if isinstance(value, str) else value for value in values]
        choice.lengths = sorted(len(value) for value in lists if isinstance(value, list))
        return

    texts = [value for value in values if isinstance(value, str)]
    choice.script = scripts.main_script(text[:NUM_LETTERS] for text in texts[:NUM_TEXTS])
    choice.characters = needs_characters(texts)
    choice.unspaced = is_unspaced(texts)
    choice.lengths = sorted(len(text) if choice.characters else len(text.split()) for text in texts)


def _from_json(text: str) -> Any:
    """A sequence in a CSV file; None for what is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def label_notes(inspected: Inspection, choice: Choice) -> list[str]:
    """Sentences about labels that may not be what they look like."""
    notes = []
    counts = choice.counts
    for group in labels.similar(counts)[:NUM_SHOWN]:
        shown = " and ".join(f"{label!r} {counts[label]:,}" for label in group)
        notes.append(f"Labels that differ in how they are written are several classes: {shown}.")

    if choice.label and not inspected.has_classes:
        values = inspected.column(choice.label).filled
        written = {value for value in values if isinstance(value, str) and value != label_of(value)}
        if written:
            first = min(written)
            are = "1 label is" if len(written) == 1 else f"{len(written):,} labels are"
            notes.append(
                f"{are} written with outer white space or in another Unicode form, such as"
                f" {short(first)}, which counts as {label_of(first)!r}."
            )
        if any(isinstance(value, float) for value in values):
            notes.append("The labels are whole numbers that were written as floats: 1.0 is 1.")

    if single := [label for label, count in counts.items() if count < 2]:
        shown = ", ".join(map(repr, single[:NUM_SINGLE]))
        more = f" and {len(single) - NUM_SINGLE:,} more" if len(single) > NUM_SINGLE else ""
        classes = "1 class has" if len(single) == 1 else f"{len(single):,} classes have"
        notes.append(
            f"{classes} one row, which cannot be in train and in test: {shown}{more}. See"
            " min_class_rows and rare_classes."
        )
    return notes


def needs_characters(texts: list[str]) -> bool:
    """Whether characters make better tokens than words.

    They do where the script has no spaces, or where most texts are a single word.
    """
    if not texts:
        return False
    words = sorted(len(text.split()) for text in texts)
    return is_unspaced(texts) or words[len(words) // 2] <= 1


def is_unspaced(texts: list[str]) -> bool:
    """Whether most letters are of scripts without spaces between words."""
    starts = [text[:NUM_LETTERS] for text in texts[:NUM_TEXTS]]
    return scripts.unspaced_share(starts) >= 0.5


def quantile(lengths: list[int], share: float) -> int:
    """The length that this share of the lengths, which are sorted, does not exceed; 0 for none."""
    return lengths[min(len(lengths) - 1, int(share * len(lengths)))] if lengths else 0
