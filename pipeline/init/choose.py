"""Which column is the content and which the label, by what they hold and by their names."""

import json
import math
import statistics
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.init.look import Column, Found

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
# Columns that have few values and are no label.
OTHER_NAMES = ("id", "split", "fold", "date", "year", "user", "lang", "language", "source", "index")
MAX_CLASSES = 1000
# Scripts that are written without spaces between words.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
NUM_SHOWN = 3


@dataclass(frozen=True)
class Contents:
    """What a column holds. dim: numbers of a time step, where lists of numbers are flat."""

    content: Literal["text", "tokens", "sequence"]
    dim: int | None = None


@dataclass
class Choice:
    """text, label.

    The columns; None where none can be it. labels: candidates, the best first, with their counts.
    lengths: of the contents, in tokens or time steps. script: of the texts, such as LATIN.
    characters: whether characters make better tokens than words.
    """

    text: str | None
    label: str | None
    contents: Contents
    texts: list[str] = field(default_factory=list)
    labels: list[tuple[str, Counter[str]]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    script: str = ""
    characters: bool = False
    num_chars: int = 0

    @property
    def counts(self) -> Counter[str]:
        """Rows of each class of the label that was chosen."""
        return next((counts for name, counts in self.labels if name == self.label), Counter())


def choose(found: Found, text: str | None = None, label: str | None = None) -> Choice:
    """text, label: the columns where somebody said which."""
    candidates = sorted(
        (column for column in found.columns if column.name != label), key=_text_score, reverse=True
    )
    best = _text_score(candidates[0]) if candidates else 0.0
    texts = [column.name for column in candidates if _text_score(column) > max(0.0, best / 10)]
    chosen = text if text is not None else texts[0] if texts else None
    columns = [column for column in found.columns if column.name != chosen]
    counted = [
        (column.name, counts_of(column))
        for column in sorted(columns, key=_label_score, reverse=True)
        if _label_score(column) > 0
    ]
    if label is not None:
        counted = [(name, counts) for name, counts in counted if name != label]
        counted.insert(0, (label, counts_of(found.column(label))))
    if found.has_classes:
        counted = [("label", found.counts)]
    choice = Choice(
        chosen,
        counted[0][0] if counted else None,
        Contents("text"),
        texts[:NUM_SHOWN],
        counted[:NUM_SHOWN],
    )
    if chosen is not None:
        _measure(choice, found.column(chosen))
    return choice


def content_of(column: Column) -> Contents:
    """Text, tokens or a sequence of numbers, by the first values."""
    kinds = Counter(_kind(value) for value in column.there[:200])
    if not kinds:
        return Contents("text")
    content, is_flat = kinds.most_common(1)[0][0]
    return Contents(content, 1 if content == "sequence" and is_flat else None)


def counts_of(column: Column) -> Counter[str]:
    """Rows of each value, as a label is written."""
    return Counter(
        str(value).lower() if isinstance(value, bool) else str(value)
        for value in column.there
        if not isinstance(value, list)
    )


def _kind(value: Any) -> tuple[Literal["text", "tokens", "sequence"], bool]:
    if isinstance(value, str) and value.startswith("["):  # a sequence in a CSV file
        try:
            value = json.loads(value)
        except ValueError:
            return ("text", False)
        return (
            _kind(value)
            if isinstance(value, list) and value and not isinstance(value[0], str)
            else ("text", False)
        )
    if not isinstance(value, list):
        return ("text", False)
    if value and isinstance(value[0], str):
        return ("tokens", False)
    return ("sequence", bool(value) and not isinstance(value[0], list))


def _text_score(column: Column) -> float:
    """How much a column looks like the content: long, hardly ever the same twice, and called so."""
    values = column.there[:1000]
    if not values:
        return 0.0
    if content_of(column).content != "text":
        return 1000.0 * _named(column, TEXT_NAMES, 3.0)
    if sum(isinstance(value, str) for value in values) < 0.9 * len(values):
        return 0.0
    letters = sum(
        any(each.isalpha() for each in value) for value in values if isinstance(value, str)
    ) / len(values)
    length = statistics.fmean(min(len(value), 1000) for value in values if isinstance(value, str))
    distinct = len({*map(str, values)}) / len(values)
    return (
        letters
        * length
        * distinct
        * _named(column, TEXT_NAMES, 3.0)
        * _named(column, OTHER_NAMES, 0.1)
    )


def _label_score(column: Column) -> float:
    """How much a column looks like the label.

    Few values, each of them several times, and called so.
    """
    values = [value for value in column.there if not isinstance(value, list)]
    if not values or any(
        isinstance(value, float) and value != int(value)
        for value in values
        if math.isfinite(float(value) if isinstance(value, float) else 0)
    ):
        return 0.0
    counts = counts_of(column)
    if not 2 <= len(counts) <= MAX_CLASSES or len(counts) > max(2, len(values) / 2):
        return 0.0
    if statistics.fmean(map(len, counts)) > 60:
        return 0.0
    is_split = set(counts) <= {"train", "test", "dev", "eval", "valid", "validation"}
    return (
        10.0
        / (1 + math.log(len(counts)))
        * _named(column, LABEL_NAMES, 10.0)
        * _named(column, OTHER_NAMES, 0.1)
        * (0.05 if is_split else 1)
    )


def _named(column: Column, names: tuple[str, ...], factor: float) -> float:
    lower = column.name.lower().strip()
    if lower in names:
        return factor
    words = lower.replace("-", "_").split("_")
    return math.sqrt(factor) if any(word in names for word in words) else 1.0


def _measure(choice: Choice, column: Column) -> None:
    """Lengths, script and kind of the content."""
    choice.contents = content_of(column)
    values = column.there
    if choice.contents.content != "text":
        lists = [json.loads(value) if isinstance(value, str) else value for value in values]
        choice.lengths = sorted(len(value) for value in lists if isinstance(value, list))
        return
    texts = [value for value in values if isinstance(value, str)]
    choice.num_chars = int(statistics.median(map(len, texts))) if texts else 0
    choice.script = script_of(texts)
    choice.characters = needs_characters(texts)
    choice.lengths = sorted(len(text) if choice.characters else len(text.split()) for text in texts)


def needs_characters(texts: list[str]) -> bool:
    """Whether characters make better tokens than words.

    The script has no spaces, or most texts are a single word.
    """
    if not texts:
        return False
    words = sorted(len(text.split()) for text in texts)
    return script_of(texts) in UNSPACED or words[len(words) // 2] <= 1


def script_of(texts: list[str]) -> str:
    """The script of most letters, as Unicode calls it; an empty string where there are none."""
    counts: Counter[str] = Counter()
    for text in texts[:300]:
        for letter in text[:200]:
            if letter.isalpha():
                counts[unicodedata.name(letter, "?").split(" ", 1)[0].split("-")[0]] += 1
    return counts.most_common(1)[0][0] if counts else ""


def quantile(lengths: list[int], part: float) -> int:
    """Of sorted lengths; 0 for none."""
    return lengths[min(len(lengths) - 1, int(part * len(lengths)))] if lengths else 0
