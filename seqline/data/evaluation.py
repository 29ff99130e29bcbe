"""evaluation.json: what the evaluator measured, the gates, and the verdict.

Imports nothing heavy.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat
from typing_extensions import TypedDict

from seqline.gates import Gate
from seqline.storage import records
from seqline.storage.records import Count

Interval = tuple[float, float]

# Up to this many classes the confusion matrix is written whole, above only its cells with rows:
# they are no more than there are rows, while the matrix grows with the square of the classes.
MAX_DENSE_CLASSES = 200
# Fields that the file leaves out where they are None.
LEFT_OUT = ("confusion_cells", "curves", "slices_left_out", "not_compared", "linear_sample")
# Fields of many numbers, whose items have a line each.
COMPACT = ("confusion_cells", "curves")


class Curve(TypedDict):
    """Points of the ROC and the precision-recall curve of one class.

    Attributes:
        num_positive: Rows of the class.
        num_negative: All other rows.
        thresholds: Probabilities of the class, float32 in ascending order; the first is 0.
        true_positives: For each threshold, the rows of the class with at least this probability.
        false_positives: For each threshold, the other rows with at least this probability.
    """

    num_positive: Count
    num_negative: Count
    thresholds: list[FiniteFloat]
    true_positives: list[Count]
    false_positives: list[Count]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A SavedModel on the test split. The file has these keys, in this order.

    All intervals are 95 % intervals.

    Attributes:
        num_rows: Rows of the test split.
        accuracy: Share of rows whose likeliest class is the true one.
        accuracy_interval: Its interval.
        cross_entropy: Mean of -log p(true class), in nats.
        macro_f1: Mean F1 of the classes that occur, true or predicted.
        cross_entropy_interval: Its interval.
        macro_f1_interval: Its interval.
        roc_auc: Mean area under the ROC curve of the classes that have one, or None.
        pr_auc: Mean average precision of the classes that have one, or None.
        top_k_accuracy: k -> share of rows whose true class is among the k likeliest.
        ece: Expected calibration error.
        num_not_finite: Rows with a probability that is not a finite number.
        served: The served version on the same rows, or None if there is none to compare with.
        classes: Label -> precision, recall, F1, rows and areas of one class.
        confusion_matrix: Rows by [true class][predicted class]; None above MAX_DENSE_CLASSES.
        confusion_cells: [true class, predicted class, rows] of each cell with rows, in order, where
            confusion_matrix is None. Else it is None, and the file leaves it out.
        calibration: The bins of the calibration curve that have rows.
        curves: Label -> its curves, for the 20 classes with the most rows; None in a file of an
            earlier version. The file leaves None out.
        slices: The figures of each value of each sliced feature.
        slices_left_out: Feature -> values that slices does not list, though the gates judge them;
            None if it lists all. The file leaves None out.
        hardest: Rows with the smallest margin.
        confidently_wrong: Wrong rows with the highest probability.
        not_compared: The version that is served and why it was not compared with, or None. The
            file leaves None out.
        baselines: Name -> accuracy of each baseline.
        linear_sample: Of how many rows the linear model's accuracy is, where it is not of all: the
            rows it learned from, num_learned of num_train, and the rows it answered, num_asked of
            num_test. None where it read all rows, as for an evaluation without it. The file leaves
            None out.
        gates: The gates, in their order.
        blessed: Whether the model may be served.
        refusals: The reasons of the gates that refuse.
    """

    num_rows: int
    accuracy: float
    accuracy_interval: Interval
    cross_entropy: float
    macro_f1: float
    cross_entropy_interval: Interval
    macro_f1_interval: Interval
    roc_auc: float | None
    pr_auc: float | None
    top_k_accuracy: dict[str, float]
    ece: float
    num_not_finite: int
    served: dict[str, Any] | None
    classes: dict[str, dict[str, Any]]
    confusion_matrix: list[list[int]] | None
    confusion_cells: list[tuple[int, int, int]] | None = None
    calibration: list[dict[str, Any]]
    curves: dict[str, Curve] | None = None
    slices: list[dict[str, Any]]
    slices_left_out: dict[str, int] | None = None
    hardest: list[dict[str, Any]]
    confidently_wrong: list[dict[str, Any]]
    not_compared: dict[str, Any] | None = None
    baselines: dict[str, float]
    linear_sample: dict[str, int] | None = None
    gates: list[Gate]
    blessed: bool
    refusals: list[str]

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Reads an evaluation.json.

        Raises:
            UserError: The file is missing or damaged, or contradicts itself.
        """
        evaluation = records.of_artifact(cls, path)
        if evaluation.blessed == bool(evaluation.refusals):
            problem = f"blessed: it is {str(evaluation.blessed).lower()}, with"
            problem += f" {len(evaluation.refusals)} refusals"
            raise records.damaged(path, problem, records.MADE_AGAIN)
        if (evaluation.confusion_matrix is None) == (evaluation.confusion_cells is None):
            problem = "confusion_matrix: it has to have either this or confusion_cells"
            raise records.damaged(path, problem, records.MADE_AGAIN)
        return evaluation

    def write(self, path: Path) -> None:
        """Writes an evaluation.json."""
        content = self.to_json()
        lines = {name: _lines(content[name]) for name in COMPACT if content.get(name)}
        empty = {name: type(content[name])() for name in lines}
        text = json.dumps(content | empty, indent=2, ensure_ascii=False)

        for name, items in lines.items():
            head, key, rest = text.partition(f'\n  "{name}": ')
            text = f"{head}{key}{rest[0]}\n{items}\n  {rest[1:]}"
        path.write_text(text + "\n", encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content["gates"] = [gate.to_json() for gate in self.gates]
        return {
            name: value
            for name, value in content.items()
            if value is not None or name not in LEFT_OUT
        }


def _lines(items: list[Any] | dict[str, Any]) -> str:
    """A line of JSON for each item, not for each of its numbers."""
    shown = [json.dumps(item, ensure_ascii=False) for item in items]
    if isinstance(items, dict):
        values = [json.dumps(value, ensure_ascii=False) for value in items.values()]
        shown = [f"{name}: {value}" for name, value in zip(shown, values, strict=True)]
    return ",\n".join(f"    {line}" for line in shown)
