"""What is added up over the rows of a split.

Small enough for memory, whatever the size of the data.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.statistics_gen.histogram import Histogram, exact_sums, float_keys

# (order, digest, text): the row with the smallest order, of these the one with the smallest digest;
# the same in any order of shards.
Example = tuple[int, int, str]


@dataclass(frozen=True)
class Numbers:
    """The float32s of sequences, dimension by dimension.

    sums, squares: [dim], multiples of 2^-UNIT_BITS. bins: counts of dimension << 16 |
    float_keys(number).
    """

    num: int
    num_zeros: list[int]
    sums: list[int]
    squares: list[int]
    minimum: list[float]
    maximum: list[float]
    bins: Histogram

    def of_dimension(self, place: int) -> Histogram:
        """The float_keys of one dimension."""
        start, end = np.searchsorted(self.bins.values, [place << 16, (place + 1) << 16])
        return Histogram(self.bins.values[start:end] - (place << 16), self.bins.counts[start:end])


@dataclass(frozen=True)
class Totals:
    """Sums over rows; the sum of two Totals is the Totals of all their rows.

    num_missing: rows without content (`content`) or label (`label`); no length counts them.
    num_bytes: of the contents. lengths: `num_chars` (code points), `num_tokens`, `num_steps`: what
    the content has. chars: counts of code points. labels: label -> rows. examples: `label <label>`,
    `shortest <length>`, `longest <length>` -> a row that shows it.
    """

    num_rows: int = 0
    num_missing: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Histogram] = field(default_factory=dict)
    chars: Histogram | None = None
    numbers: Numbers | None = None
    examples: dict[str, Example] = field(default_factory=dict)


def total(parts: Sequence[Totals]) -> Totals:
    """The sum, the same in any order."""
    lengths = sorted({name for part in parts for name in part.lengths})
    chars = [part.chars for part in parts if part.chars is not None]
    numbers = [part.numbers for part in parts if part.numbers is not None]
    examples: dict[str, Example] = {}
    for part in parts:
        for name, example in part.examples.items():
            examples[name] = min(example, examples.get(name, example))
    return Totals(
        sum(part.num_rows for part in parts),
        _sum_by_name([part.num_missing for part in parts]),
        sum(part.num_bytes for part in parts),
        _sum_by_name([part.labels for part in parts]),
        {
            name: Histogram.sum([part.lengths[name] for part in parts if name in part.lengths])
            for name in lengths
        },
        Histogram.sum(chars) if chars else None,
        _sum_numbers(numbers) if numbers else None,
        dict(sorted(examples.items())),
    )


def _sum_by_name(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for part in parts for name in part})
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _sum_numbers(parts: Sequence[Numbers]) -> Numbers:
    return Numbers(
        sum(part.num for part in parts),
        [sum(column) for column in zip(*(part.num_zeros for part in parts), strict=True)],
        [sum(column) for column in zip(*(part.sums for part in parts), strict=True)],
        [sum(column) for column in zip(*(part.squares for part in parts), strict=True)],
        [min(column) for column in zip(*(part.minimum for part in parts), strict=True)],
        [max(column) for column in zip(*(part.maximum for part in parts), strict=True)],
        Histogram.sum([part.bins for part in parts]),
    )


def of_numbers(numbers: np.ndarray) -> Numbers:
    """numbers: float32 [n, dim], n >= 1."""
    numbers = numbers + np.float32(
        0
    )  # -0.0 becomes 0.0: of equal numbers, min and max would take the first
    wide = numbers.astype(np.float64)
    keys = float_keys(numbers) + (np.arange(numbers.shape[1]) << 16)
    return Numbers(
        len(numbers),
        (numbers == 0).sum(axis=0).tolist(),
        exact_sums(wide),
        exact_sums(wide * wide),
        numbers.min(axis=0).tolist(),
        numbers.max(axis=0).tolist(),
        Histogram.of(keys.ravel()),
    )


def write(totals: Totals, path: Path) -> None:
    """Writes them as JSON."""
    content = asdict(totals)
    content["lengths"] = {name: histogram.to_json() for name, histogram in totals.lengths.items()}
    content["chars"] = totals.chars.to_json() if totals.chars else None
    if totals.numbers:
        content["numbers"]["bins"] = totals.numbers.bins.to_json()
    path.write_text(json.dumps(content), encoding="utf-8")


def read(path: Path) -> Totals:
    """Reads what `write` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content["lengths"] = {
        name: Histogram.from_json(lists) for name, lists in content["lengths"].items()
    }
    content["chars"] = Histogram.from_json(content["chars"]) if content["chars"] else None
    content["examples"] = {
        name: (order, digest, text) for name, (order, digest, text) in content["examples"].items()
    }
    if content["numbers"]:
        content["numbers"] = Numbers(
            **{**content["numbers"], "bins": Histogram.from_json(content["numbers"]["bins"])}
        )
    return Totals(**content)
