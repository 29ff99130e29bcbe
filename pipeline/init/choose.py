"""Finds the columns of content and label, by their values and their names."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from components.example_gen.splits import SPLIT_NAMES
from pipeline.init.inspection import Column, Inspection
from seqline.data import features, scripts
from seqline.data.labels import normal

TEXT_NAMES = (
    "text",
    "content",
    "review",
    "sentence",
    "body",
    "message",
    "comment",
    "tweet",
    "article",
    "document",
    "question",
    "tokens",
)
LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "topic",
    "stars",
    "rating",
    "intent",
    "tag",
    "polarity",
    "y",
)
# Columns that have few values and are not labels.
OTHER_NAMES = ("id", "split", "fold", "date", "year", "user", "lang", "language", "source", "index")
MAX_CLASSES = 1000
# Texts, and letters of each, whose script is looked at.
NUM_TEXTS, NUM_LETTERS = 300, 200
NUM_SHOWN = 3


@dataclass(frozen=True)
class Contents:
    """The content of a column.

    Attributes:
        content: The kind of the values.
        dim: Numbers in a time step, if the values are flat lists of numbers.
    """

    content: Literal["text", "tokens", "sequence"]
    dim: int | None = None


@dataclass
class Choice:
    """The columns of content and label, and what the content is like.

    Attributes:
        text: The column with the content, or several that are joined; () if no column can be it.
        split: The column with the split of each row; None if no column is one.
        label: The column with the label; None if no column can be it.
        contents: The kind of the content.
        texts: The best candidates for `text`, the best first.
        labels: The best candidates for `label`, the best first: (column, value -> rows).
        lengths: Lengths of the contents in tokens or time steps, in ascending order.
        script: The script of the texts, such as latin.
        characters: Whether characters make better tokens than words.
    """

    text: tuple[str, ...]
    label: str | None
    contents: Contents
    split: str | None = None
    texts: list[str] = field(default_factory=list)
    labels: list[tuple[str, Counter[str]]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    script: str = ""
    characters: bool = False

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
    labels = _label_candidates(others)
    if label is not None:
        labels = [(name, counts) for name, counts in labels if name != label]
        labels.insert(0, (label, counts_of(inspected.column(label))))
    if inspected.has_classes:
        labels = [("label", inspected.counts)]

    choice = Choice(
        text=chosen,
        label=labels[0][0] if labels else None,
        contents=Contents("text"),
        texts=texts[:NUM_SHOWN],
        labels=labels[:NUM_SHOWN],
    )
    # Files for each split say it already.
    if isinstance(inspected.source, str):
        columns = [column for column in others if column.name != choice.label]
        choice.split = next((column.name for column in columns if _is_split(column)), None)
    if chosen:
        _measure(choice, inspected.joined(chosen))
    return choice


def _is_split(column: Column) -> bool:
    """Whether all values name splits, and train is one of several."""
    splits = {
        SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
        for value in column.values
    }
    return len(splits) > 1 and features.TRAIN in splits and None not in splits


def _text_candidates(columns: list[Column]) -> list[str]:
    """The columns that may be the content, the best first."""
    scores = {column.name: _text_score(column) for column in columns}
    least = max(scores.values(), default=0.0) / 10
    ranked = sorted(scores, key=lambda name: scores[name], reverse=True)
    return [name for name in ranked if scores[name] > max(0.0, least)]


def _label_candidates(columns: list[Column]) -> list[tuple[str, Counter[str]]]:
    """The columns that may be the label, the best first, with the rows of each value."""
    ranked = sorted(columns, key=_label_score, reverse=True)
    return [(column.name, counts_of(column)) for column in ranked if _label_score(column) > 0]


def content_of(column: Column) -> Contents:
    """The kind of most of the first values: text, tokens, or a sequence of numbers."""
    kinds = Counter(_kind(value) for value in column.filled[:200])
    if not kinds:
        return Contents("text")
    content, is_flat = kinds.most_common(1)[0][0]
    return Contents(content, 1 if content == "sequence" and is_flat else None)


def counts_of(column: Column) -> Counter[str]:
    """Rows of each value, as example_gen makes a label of it."""
    return Counter(_label(value) for value in column.filled if not isinstance(value, list))


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return normal(str(value))


def _kind(value: Any) -> tuple[Literal["text", "tokens", "sequence"], bool]:
    """(the kind of a value, whether it is a flat list of numbers)."""
    if isinstance(value, str) and value.startswith("["):
        # A sequence in a CSV file is JSON.
        try:
            value = json.loads(value)
        except ValueError:
            return ("text", False)
        if not value or isinstance(value[0], str):
            return ("text", False)

    if not isinstance(value, list):
        return ("text", False)
    if value and isinstance(value[0], str):
        return ("tokens", False)
    return ("sequence", bool(value) and not isinstance(value[0], list))


def _text_score(column: Column) -> float:
    """How much a column looks like the content: long values, few repetitions, a fitting name."""
    values = column.filled[:1000]
    if not values:
        return 0.0
    if content_of(column).content != "text":
        return 1000.0 * _named(column, TEXT_NAMES, 3.0)

    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < 0.9 * len(values):
        return 0.0

    with_letters = sum(any(char.isalpha() for char in text) for text in texts) / len(values)
    length = statistics.fmean(min(len(text), 1000) for text in texts)
    distinct = len({*map(str, values)}) / len(values)
    name = _named(column, TEXT_NAMES, 3.0) * _named(column, OTHER_NAMES, 0.1)
    return with_letters * length * distinct * name


def _label_score(column: Column) -> float:
    """How much a column looks like the label: few values, each frequent, and a fitting name."""
    values = [value for value in column.filled if not isinstance(value, list)]
    if not values or any(map(_is_fraction, values)):
        return 0.0

    counts = counts_of(column)
    if not 2 <= len(counts) <= MAX_CLASSES or len(counts) > max(2, len(values) / 2):
        return 0.0
    if statistics.fmean(map(len, counts)) > 60:
        return 0.0

    name = _named(column, LABEL_NAMES, 10.0) * _named(column, OTHER_NAMES, 0.1)
    is_split = {name.strip().lower() for name in counts} <= set(SPLIT_NAMES)
    return 10.0 / (1 + math.log(len(counts))) * name * (0.05 if is_split else 1)


def _is_fraction(value: Any) -> bool:
    """Whether a value is a finite number that is not a whole one."""
    return isinstance(value, float) and math.isfinite(value) and value != int(value)


def _named(column: Column, names: tuple[str, ...], factor: float) -> float:
    """The factor if the column has one of the names, its root if a word of its name is one."""
    lower = column.name.lower().strip()
    if lower in names:
        return factor
    words = lower.replace("-", "_").split("_")
    return math.sqrt(factor) if any(word in names for word in words) else 1.0


def _measure(choice: Choice, column: Column) -> None:
    """Finds the lengths, the script and the kind of the content."""
    choice.contents = content_of(column)
    values = column.filled
    if choice.contents.content != "text":
        lists = [json.loads(value) if isinstance(value, str) else value for value in values]
        choice.lengths = sorted(len(value) for value in lists if isinstance(value, list))
        return

    texts = [value for value in values if isinstance(value, str)]
    choice.script = scripts.main_script(text[:NUM_LETTERS] for text in texts[:NUM_TEXTS])
    choice.characters = needs_characters(texts)
    choice.lengths = sorted(len(text) if choice.characters else len(text.split()) for text in texts)


def needs_characters(texts: list[str]) -> bool:
    """Whether characters make better tokens than words.

    They do where the script has no spaces, or where most texts are a single word.
    """
    if not texts:
        return False
    words = sorted(len(text.split()) for text in texts)
    starts = [text[:NUM_LETTERS] for text in texts[:NUM_TEXTS]]
    return scripts.unspaced_share(starts) >= 0.5 or words[len(words) // 2] <= 1


def quantile(lengths: list[int], share: float) -> int:
    """The length that this share of the lengths, which are sorted, does not exceed; 0 for none."""
    return lengths[min(len(lengths) - 1, int(share * len(lengths)))] if lengths else 0
