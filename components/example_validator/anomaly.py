"""One thing that is wrong, and how it is said."""

from collections.abc import Sequence
from dataclasses import dataclass

# Characters of a row that a line quotes.
QUOTED_CHARS = 40


@dataclass(frozen=True)
class Anomaly:
    """line.

    `<split> split, <feature>: what is wrong. The way out`, with no stop at its end. reason: a name
    of AnomalyInfo.Type.

    feature: "" for the split as a whole. examples: rows that show it.
    """

    split: str
    feature: str
    kind: str
    what: str
    reason: str = "CUSTOM_VALIDATION"
    examples: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        return f"{self.split} split{', ' if self.feature else ''}{self.feature}: {self.what}"


@dataclass(frozen=True)
class Measurement:
    """How far a split (skew) or the newest span (drift) is from what it is compared with.

    Too far where value > threshold.

    kind: "skew" or "drift". measure: a name of DriftSkewInfo.Measurement.Type.
    """

    split: str
    feature: str
    kind: str
    measure: str
    value: float
    threshold: float


def quote(text: str) -> str:
    """A row or a label in a line: short, with nothing unprintable."""
    return repr(text if len(text) <= QUOTED_CHARS else f"{text[: QUOTED_CHARS - 3]}...")


def example(texts: Sequence[str]) -> str:
    """`, e.g. '...'`, or nothing where there is none."""
    return f", e.g. {quote(texts[0])}" if texts else ""


def share(part: int, whole: int, noun: str = "rows") -> str:
    """`3 of 40 rows (7.5%)`."""
    return f"{part:,} of {whole:,} {noun} ({part / max(1, whole):.1%})"
