"""statistics.json: the figures of Examples that other stages read. Imports nothing heavy."""

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, FiniteFloat, with_config
from typing_extensions import TypedDict

from seqline.data.examples import Content
from seqline.storage.records import Count

MORE = ConfigDict(extra="allow")

Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]


@with_config(MORE)
class Top(TypedDict):
    """A frequent value."""

    value: str
    count: Count


@with_config(MORE)
class Outside(TypedDict):
    """The tokens or characters that the train split does not have."""

    num: Count
    num_distinct: Count
    rate: FiniteFloat | None
    expected: FiniteFloat | None
    num_frequent: Count
    overlap: FiniteFloat | None
    top: list[Top]


@with_config(MORE)
class Entries(TypedDict):
    """The tokens or characters of a split."""

    num: Count
    num_distinct: Count
    num_once: Count
    num_unspaced: NotRequired[Count]
    num_unspaced_once: NotRequired[Count]
    num_letters: NotRequired[Count]
    unspaced_scripts: NotRequired[dict[str, Count]]
    top: list[Top]
    oov: Outside | None


@with_config(MORE)
class Length(TypedDict):
    """The lengths of the rows of a split, in one unit."""

    min: Count
    max: Count
    mean: FiniteFloat
    quantiles: dict[str, Count]
    histogram: list[Pair]


@with_config(MORE)
class Shared(TypedDict):
    """The rows of a split whose content is also elsewhere."""

    num_rows: Count
    examples: list[str]


@with_config(MORE)
class Contradicted(TypedDict):
    """A content with several labels."""

    text: str
    labels: list[str]


@with_config(MORE)
class Ambiguous(TypedDict):
    """The contents with several labels."""

    num_texts: Count
    num_rows: Count
    examples: list[Contradicted]


@with_config(MORE)
class Dimension(TypedDict):
    """A dimension of sequences, or the weights."""

    mean: FiniteFloat
    std: FiniteFloat
    min: FiniteFloat
    max: FiniteFloat
    num_zeros: Count


@with_config(MORE)
class SplitStatistics(TypedDict):
    """The statistics of a split."""

    num_rows: Count
    num_missing: dict[str, Count]
    num_distinct: Count
    num_repeated: Count
    num_copies: Count
    top_values: list[Top]
    duplicates: dict[str, Shared]
    ambiguous: Ambiguous
    labels: dict[str, Count]
    label_examples: dict[str, str]
    lengths: dict[str, Length]
    dimensions: list[Dimension] | None
    tokens: Entries | None
    chars: Entries | None


@with_config(MORE)
class SpanStatistics(TypedDict):
    """The statistics of some spans, as a part of the span cache holds them."""

    content: Content
    dim: Count | None
    splits: dict[str, SplitStatistics]
    ambiguous: Ambiguous


@with_config(MORE)
class OneSpan(SpanStatistics):
    """The statistics of a span of the window."""

    num_read: Count
    num_bad: dict[str, Count]


@with_config(MORE)
class Newest(TypedDict):
    """The newest span against the spans before it."""

    span: int
    earlier: list[int]
    repeated: Shared
    tokens: NotRequired[Outside | None]
    chars: NotRequired[Outside | None]


@with_config(MORE)
class Statistics(OneSpan):
    """statistics.json of an artifact: of the window, and of each of its spans."""

    spans: dict[str, OneSpan]
    newest: Newest | None


def as_figures(statistics: Any) -> dict[str, Any]:
    """A TypedDict as the plain dict that it is."""
    figures: dict[str, Any] = statistics
    return figures
