"""A column of a source, and what its values and its name tell: content, label, split or weight."""

import json
import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from components.example_gen.splits import SPLIT_NAMES
from seqline.data import features
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
TITLE_NAMES = ("title", "headline", "subject", "summary", "heading")
WEIGHT_NAMES = ("weight", "weights", "sample_weight", "importance")
# Columns that have few values and are not labels.
OTHER_NAMES = ("id", "split", "fold", "date", "year", "user", "lang", "language", "source", "index")
MAX_CLASSES = 1000
# Values that are looked at for what does not need all of them.
NUM_VALUES = 1000


@dataclass
class Column:
    """A column's values in the first rows, None where a row has none."""

    name: str
    values: list[Any] = field(default_factory=list)

    @property
    def filled(self) -> list[Any]:
        """The values that are neither None, nor NaN, nor empty."""
        return [
            value
            for value in self.values
            if value not in (None, "") and not (isinstance(value, float) and math.isnan(value))
        ]


@dataclass(frozen=True)
class Contents:
    """The content of a column.

    Attributes:
        content: The kind of the values.
        dim: Numbers in a time step, if the values are flat lists of numbers.
    """

    content: Literal["text", "tokens", "sequence"]
    dim: int | None = None


def content_of(column: Column) -> Contents:
    """The kind of most of the first values: text, tokens, or a sequence of numbers."""
    kinds = Counter(_kind(value) for value in column.filled[:200])
    if not kinds:
        return Contents("text")
    content, is_flat = kinds.most_common(1)[0][0]
    return Contents(content, 1 if content == "sequence" and is_flat else None)


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


def counts_of(column: Column) -> Counter[str]:
    """Rows of each value, as example_gen makes a label of it."""
    return Counter(label_of(value) for value in column.filled if not isinstance(value, list))


def label_of(value: Any) -> str:
    """A value as a label: whole floats are integers, and outer white space does not count."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return normal(str(value))


def text_score(column: Column) -> float:
    """How much a column looks like the content: long values, few repetitions, a fitting name."""
    values = column.filled[:NUM_VALUES]
    if not values:
        return 0.0
    content = content_of(column).content
    if content == "sequence":
        return 1000.0 * _named(column, TEXT_NAMES, 3.0)
    if content == "tokens":
        values = [" ".join(map(str, value)) for value in values if isinstance(value, list)]

    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < 0.9 * len(values):
        return 0.0

    with_letters = sum(any(char.isalpha() for char in text) for text in texts) / len(values)
    length = statistics.fmean(min(len(text), 1000) for text in texts)
    distinct = len({*map(str, values)}) / len(values)
    name = _named(column, TEXT_NAMES, 3.0) * _named(column, OTHER_NAMES, 0.1)
    return with_letters * length * distinct * name


def label_score(column: Column) -> float:
    """How much a column looks like the label: few values, each frequent, and a fitting name."""
    values = [value for value in column.filled if not isinstance(value, list)]
    if not values or any(map(_is_fraction, values)):
        return 0.0

    counts = counts_of(column)
    if not 2 <= len(counts) <= MAX_CLASSES or len(counts) > max(2, len(values) / 2):
        return 0.0
    if statistics.fmean(map(len, counts)) > 60:
        return 0.0

    name = _named(column, LABEL_NAMES, 10.0)
    name *= _named(column, OTHER_NAMES, 0.1) * _named(column, WEIGHT_NAMES, 0.1)
    is_split = {name.strip().lower() for name in counts} <= set(SPLIT_NAMES)
    return 10.0 / (1 + math.log(len(counts))) * name * (0.05 if is_split else 1)


def _is_fraction(value: Any) -> bool:
    """Whether a value is a finite number that is not a whole one."""
    return isinstance(value, float) and math.isfinite(value) and value != int(value)


def is_title(column: Column) -> bool:
    """Whether a column may be a title, or another text that goes with the content.

    Its values are mostly different texts of several words.
    """
    values = column.filled[:NUM_VALUES]
    texts = [value for value in values if isinstance(value, str) and any(map(str.isalpha, value))]
    if not values or len(texts) < 0.9 * len(values) or content_of(column).content != "text":
        return False

    is_named = _named(column, TITLE_NAMES, 2.0) > 1
    if _named(column, OTHER_NAMES, 2.0) > 1:
        return False
    least = 0.2 if is_named else 0.5
    words = statistics.median(len(text.split()) for text in texts)
    return len(set(texts)) > least * len(texts) and words >= (1 if is_named else 3)


def is_split(column: Column) -> bool:
    """Whether all values name splits, and train is one of several."""
    splits = {
        SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
        for value in column.values
    }
    return len(splits) > 1 and features.TRAIN in splits and None not in splits


def is_weight(column: Column) -> bool:
    """Whether a column is called so, and all of its values are numbers of 0 or more."""
    return column.name.strip().lower() in WEIGHT_NAMES and all(map(_is_amount, column.values))


def _is_amount(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < math.inf
    except (TypeError, ValueError):
        return False


def _named(column: Column, names: tuple[str, ...], factor: float) -> float:
    """The factor if the column has one of the names, its root if a word of its name is one."""
    lower = column.name.lower().strip()
    if lower in names:
        return factor
    words = lower.replace("-", "_").replace(".", "_").split("_")
    return math.sqrt(factor) if any(word in names for word in words) else 1.0
