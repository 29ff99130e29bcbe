"""The sums over the rows of a split, small enough for memory whatever the size of the data."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat
from typing_extensions import TypedDict

from components.statistics_gen.histogram import Histogram, exact_sums, float_keys
from seqline.storage import records
from seqline.storage.records import Count

# (order, digest, text). The row with the smallest order is shown, and of equal ones that with the
# smallest digest: the same row in any order of shards.
Example = tuple[int, int, str]

# Totals that are added up together. A sum takes the time of its labels, however few are added.
NUM_AT_ONCE = 16


@dataclass(frozen=True)
class Numbers:
    """The float32s of sequences, dimension by dimension."""

    num: int  # time steps
    num_zeros: list[int]  # [dim]
    sums: list[int]  # [dim], multiples of 2^-UNIT_BITS
    squares: list[int]  # [dim], multiples of 2^-UNIT_BITS
    minimum: list[float]  # [dim]
    maximum: list[float]  # [dim]
    bins: Histogram  # counts of dimension << 16 | float_keys(number)

    def of_dimension(self, place: int) -> Histogram:
        """The float_keys of one dimension."""
        start, end = np.searchsorted(self.bins.values, [place << 16, (place + 1) << 16])
        return Histogram(self.bins.values[start:end] - (place << 16), self.bins.counts[start:end])


@dataclass(frozen=True)
class Totals:
    """Sums over rows. The sum of two Totals is the Totals of all their rows.

    Attributes:
        num_rows: all rows.
        num_missing: rows without content ("content") or without label ("label"). The lengths do
            not count rows without content.
        num_bytes: of the contents.
        labels: label -> rows.
        lengths: num_chars (code points), num_tokens or num_steps, those that the content has.
        chars: counts of code points; None for sequences.
        numbers: None for texts and tokens, and without any time step.
        weights: the rows' weights, one dimension; None where rows have none, and without any row.
        examples: "label <label>", "shortest <length>" or "longest <length>" -> a row to show it.
    """

    num_rows: int = 0
    num_missing: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Histogram] = field(default_factory=dict)
    chars: Histogram | None = None
    numbers: Numbers | None = None
    weights: Numbers | None = None
    examples: dict[str, Example] = field(default_factory=dict)


def total(parts: Sequence[Totals]) -> Totals:
    """The sum of some Totals, the same in any order."""
    lengths = {}
    for name in sorted({name for part in parts for name in part.lengths}):
        histograms = [part.lengths[name] for part in parts if name in part.lengths]
        lengths[name] = Histogram.sum(histograms)

    examples: dict[str, Example] = {}
    for part in parts:
        for name, example in part.examples.items():
            examples[name] = min(example, examples.get(name, example))

    chars = [part.chars for part in parts if part.chars is not None]
    numbers = [part.numbers for part in parts if part.numbers is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    return Totals(
        num_rows=sum(part.num_rows for part in parts),
        num_missing=_sum_by_name([part.num_missing for part in parts]),
        num_bytes=sum(part.num_bytes for part in parts),
        labels=_sum_by_name([part.labels for part in parts]),
        lengths=lengths,
        chars=Histogram.sum(chars) if chars else None,
        numbers=_sum_numbers(numbers) if numbers else None,
        weights=_sum_numbers(weights) if weights else None,
        examples=dict(sorted(examples.items())),
    )


def total_of_many(parts: Iterable[Totals]) -> Totals:
    """Like `total`, with few of the parts in memory at a time."""
    waiting: list[Totals] = []
    for part in parts:
        waiting.append(part)
        if len(waiting) == NUM_AT_ONCE:
            waiting = [total(waiting)]
    return total(waiting)


def _sum_by_name(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for part in parts for name in part})
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _sum_numbers(parts: Sequence[Numbers]) -> Numbers:
    dims = range(len(parts[0].sums))
    return Numbers(
        num=sum(part.num for part in parts),
        num_zeros=[sum(part.num_zeros[dim] for part in parts) for dim in dims],
        sums=[sum(part.sums[dim] for part in parts) for dim in dims],
        squares=[sum(part.squares[dim] for part in parts) for dim in dims],
        minimum=[min(part.minimum[dim] for part in parts) for dim in dims],
        maximum=[max(part.maximum[dim] for part in parts) for dim in dims],
        bins=Histogram.sum([part.bins for part in parts]),
    )


def of_numbers(numbers: np.ndarray) -> Numbers:
    """Sums up one or more time steps, float32 [n, dim]."""
    # -0.0 becomes 0.0: min and max would take whichever of the two comes first.
    numbers = numbers + np.float32(0)
    wide = numbers.astype(np.float64)
    keys = float_keys(numbers) + (np.arange(numbers.shape[1]) << 16)  # [n, dim]
    return Numbers(
        num=len(numbers),
        num_zeros=(numbers == 0).sum(axis=0).tolist(),
        sums=exact_sums(wide),
        squares=exact_sums(wide * wide),
        minimum=numbers.min(axis=0).tolist(),
        maximum=numbers.max(axis=0).tolist(),
        bins=Histogram.of(keys.ravel()),
    )


def write(totals: Totals, path: Path) -> None:
    """Writes Totals as JSON."""
    content = asdict(totals)
    content["lengths"] = {name: histogram.to_json() for name, histogram in totals.lengths.items()}
    content["chars"] = totals.chars.to_json() if totals.chars else None
    for name, numbers in (("numbers", totals.numbers), ("weights", totals.weights)):
        if numbers:
            content[name]["bins"] = numbers.bins.to_json()
    path.write_text(json.dumps(content), encoding="utf-8")


Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


def _of_one_length(lists: list[list[int]]) -> list[list[int]]:
    if len(lists) != 2 or len(lists[0]) != len(lists[1]):
        raise ValueError("it is no list of values with a list of as many counts")
    return lists


HistogramFile = Annotated[list[list[Int64]], AfterValidator(_of_one_length)]


class NumbersFile(TypedDict):
    """Numbers, as the file holds them."""

    num: Count
    num_zeros: list[Count]
    sums: list[int]
    squares: list[int]
    minimum: list[FiniteFloat]
    maximum: list[FiniteFloat]
    bins: HistogramFile


class TotalsFile(TypedDict):
    """Totals, as the file holds them."""

    num_rows: Count
    num_missing: dict[str, Count]
    num_bytes: Count
    labels: dict[str, Count]
    lengths: dict[str, HistogramFile]
    chars: HistogramFile | None
    numbers: NumbersFile | None
    weights: NotRequired[NumbersFile | None]
    examples: dict[str, tuple[int, int, str]]


def way_out(part: Path) -> str:
    """What helps against a damaged file of a span's part."""
    return f"Remove {part}; the next run counts its span again."


def read(path: Path) -> Totals:
    """Reads Totals that `write` wrote. Raises UserError for a damaged file."""
    checked = records.read(TotalsFile, path, way_out(path.parent))
    content: dict[str, Any] = dict(checked)
    content["lengths"] = {
        name: Histogram.from_json(lists) for name, lists in content["lengths"].items()
    }
    content["chars"] = Histogram.from_json(content["chars"]) if content["chars"] else None
    content["examples"] = {
        name: (order, digest, text) for name, (order, digest, text) in content["examples"].items()
    }
    for name in ("numbers", "weights"):
        if content.get(name):
            bins = Histogram.from_json(content[name]["bins"])
            content[name] = Numbers(**{**content[name], "bins": bins})
    return Totals(**content)
