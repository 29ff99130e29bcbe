"""The JSON files of artifacts that a report reads, with the fields that it needs of them.

An earlier version may have written fewer fields, and a later one more. A field that exists has its
type. The size of each file follows from the number of classes, slices, spans and trials, not of
rows.
"""

from typing import Any, Required

from pydantic import ConfigDict, FiniteFloat, with_config
from typing_extensions import TypedDict

from components.tuner.trials import TRIALS_FILE, Trial
from pipeline.store.records import GateRecord
from seqline.data.evaluation import Curve
from seqline.storage.records import Count

Interval = tuple[float, float]
# split -> label -> rows
Labels = dict[str, dict[str, Count]]
MORE = ConfigDict(extra="allow")


@with_config(MORE)
class Served(TypedDict, total=False):
    """The served version in an evaluation.json."""

    accuracy: float
    loss_of_accuracy: Required[FiniteFloat]
    loss_interval: Required[Interval]
    num_gained: Required[Count]
    num_lost: Required[Count]


@with_config(MORE)
class Listed(TypedDict, total=False):
    """A row that an evaluation lists."""

    shard: Required[str]
    row: Required[Count]
    label: Required[str]
    predicted: Required[str]
    probability: Required[FiniteFloat]
    source: dict[str, str | int]


@with_config(MORE)
class Bin(TypedDict, total=False):
    """A bin of a calibration curve."""

    num_rows: Required[Count]
    confidence: Required[FiniteFloat]
    accuracy: Required[FiniteFloat]
    accuracy_interval: Interval


@with_config(MORE)
class Slice(TypedDict, total=False):
    """A value of a sliced feature."""

    feature: Required[str]
    value: Required[str | int]
    num_rows: Required[Count]
    accuracy: float | None
    served: dict[str, Any] | None


@with_config(MORE)
class EvaluationFile(TypedDict, total=False):
    """evaluation.json."""

    num_rows: Required[Count]
    accuracy: Required[FiniteFloat]
    accuracy_interval: Required[Interval]
    cross_entropy: float
    macro_f1: float
    roc_auc: float | None
    pr_auc: float | None
    ece: float | None
    top_k_accuracy: dict[str, float]
    served: Served | None
    not_compared: dict[str, Any] | None
    classes: dict[str, dict[str, Any]]
    confusion_matrix: list[list[Count]] | None
    confusion_cells: list[tuple[Count, Count, Count]]
    calibration: list[Bin]
    curves: dict[str, Curve]
    slices: list[Slice]
    slices_left_out: dict[str, Count]
    hardest: list[Listed]
    confidently_wrong: list[Listed]
    baselines: dict[str, FiniteFloat]
    linear_sample: dict[str, Count]
    gates: list[GateRecord]


@with_config(MORE)
class Length(TypedDict):
    """The lengths of a split's rows."""

    min: float
    max: float
    mean: float
    quantiles: dict[str, float]


@with_config(MORE)
class Oov(TypedDict, total=False):
    """The tokens or characters that train lacks."""

    rate: float | None
    expected: float | None
    num: int | None
    num_distinct: int | None
    overlap: float | None
    top: list[dict[str, Any]]


@with_config(MORE)
class TokensFile(TypedDict, total=False):
    """The tokens of a split."""

    num: Required[Count]
    num_distinct: Required[Count]
    num_once: Required[Count]
    oov: Oov | None


@with_config(MORE)
class SplitStatistics(TypedDict, total=False):
    """The statistics of a split."""

    lengths: Required[dict[str, Length]]
    tokens: TokensFile | None


@with_config(MORE)
class Newest(TypedDict, total=False):
    """The newest span against the spans before it."""

    span: Required[int]
    earlier: Required[list[int]]
    repeated: Required[dict[str, Any]]
    tokens: Oov | None
    chars: Oov | None


@with_config(MORE)
class StatisticsFile(TypedDict, total=False):
    """statistics.json."""

    content: str
    num_bad: dict[str, Count]
    splits: dict[str, SplitStatistics]
    newest: Newest | None


@with_config(MORE)
class AnomalyFile(TypedDict, total=False):
    """An entry of anomalies.json."""

    line: Required[str]
    kind: Required[str]
    split: str | None
    severity: str


@with_config(MORE)
class SpanFile(TypedDict, total=False):
    """A span in examples.json."""

    number: Required[int]
    key: Required[str]
    num_read: Required[Count]
    num_rows: Required[Labels]
    num_bad: dict[str, Count]


@with_config(MORE)
class ExamplesFile(TypedDict, total=False):
    """examples.json."""

    content: str
    spans: list[SpanFile]


# Component -> (the file of its artifact that a report reads, its type).
FILES: dict[str, tuple[str, Any]] = {
    "evaluator": ("evaluation.json", EvaluationFile),
    "tuner": (TRIALS_FILE, list[Trial]),
    "trainer": ("history.json", dict[str, list[float]]),
    "statistics_gen": ("statistics.json", StatisticsFile),
    "example_validator": ("anomalies.json", list[AnomalyFile]),
    "example_gen": ("examples.json", ExamplesFile),
}
