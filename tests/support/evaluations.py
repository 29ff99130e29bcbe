"""Evaluations for the tests of what reads them."""

from collections.abc import Sequence
from pathlib import Path

from seqline.data.evaluation import Evaluation


def evaluation(refusals: Sequence[str] = ()) -> Evaluation:
    """The evaluation of four rows, three of them right; blessed unless there are refusals."""
    return Evaluation(
        num_rows=4,
        accuracy=0.75,
        accuracy_interval=(0.3006, 0.9544),
        cross_entropy=0.5,
        macro_f1=0.7,
        cross_entropy_interval=(0.25, 0.75),
        macro_f1_interval=(0.25, 1.0),
        roc_auc=0.75,
        pr_auc=None,
        top_k_accuracy={},
        ece=0.125,
        num_not_finite=0,
        served=None,
        classes={"a": {"f1": 0.8}, "b": {"f1": 0.6}},
        confusion_matrix=[[2, 1], [0, 1]],
        calibration=[],
        slices=[],
        hardest=[],
        confidently_wrong=[],
        baselines={"majority class": 0.75},
        gates=[],
        blessed=not refusals,
        refusals=list(refusals),
    )


def write_evaluation(folder: Path, refusals: Sequence[str] = ()) -> None:
    """Writes evaluation.json into a folder."""
    evaluation(refusals).write(folder / "evaluation.json")
