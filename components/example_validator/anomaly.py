"""One anomaly, and how a line of text reports it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Characters of a row that a line quotes.
QUOTED_CHARS = 40
# Classes that a line names; the figures of example_gen have all of them.
NUM_NAMED = 20


@dataclass(frozen=True)
class Anomaly:
    """One thing that is wrong with a split.

    Attributes:
        split: the split.
        feature: the feature; "" for the split as a whole.
        kind: a key of SEVERITIES.
        message: what is wrong and how to correct it, without a full stop at the end.
        reason: a name of AnomalyInfo.Type.
        examples: rows that show it.
    """

    split: str
    feature: str
    kind: str
    message: str
    reason: str = "CUSTOM_VALIDATION"
    examples: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """`<split> split, <feature>: <message>`."""
        return f"{self.split} split{', ' if self.feature else ''}{self.feature}: {self.message}"


@dataclass(frozen=True)
class Measurement:
    """The distance of a split from train (skew) or of the newest span from earlier ones (drift)."""

    split: str
    feature: str
    kind: str  # "skew" or "drift"
    measure: str  # a name of DriftSkewInfo.Measurement.Type
    value: float
    threshold: float  # a larger value is an anomaly


def quote(text: str) -> str:
    """A row or a label as a line quotes it: short, with unprintable characters escaped."""
    return repr(text if len(text) <= QUOTED_CHARS else f"{text[: QUOTED_CHARS - 3]}...")


def example(texts: Sequence[str]) -> str:
    """`, e.g. '...'` with the first text; "" without any."""
    return f", e.g. {quote(texts[0])}" if texts else ""


def share(part: int, whole: int, noun: str = "rows") -> str:
    """`3 of 40 rows (7.5%)`."""
    return f"{part:,} of {whole:,} {noun} ({part / max(1, whole):.1%})"


def named_classes(classes: Iterable[str]) -> str:
    """The first classes, and how many more there are."""
    named = list(classes)
    more = f", and {len(named) - NUM_NAMED:,} more" if len(named) > NUM_NAMED else ""
    return ", ".join(named[:NUM_NAMED]) + more
