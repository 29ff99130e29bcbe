"""What TensorBoard shows of an Evaluation, in its tensorboard/.

The figures as scalars, a precision-recall curve of each class that has one, and tables of the
hardest rows and of those that are confidently wrong.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqline.data.evaluation import Curve, Evaluation
from seqline.host import event_files
from seqline.storage.staging import local_folder

# The figures that are scalars, and columns of the HParams table, by their tags. The accuracy is
# beside the curves of train and eval.
FIGURES = {
    "accuracy/final_test": "accuracy",
    "test/cross_entropy": "cross_entropy",
    "test/ece": "ece",
    "test/macro_f1": "macro_f1",
    "test/pr_auc": "pr_auc",
    "test/roc_auc": "roc_auc",
}
# The thresholds of TensorBoard's curves: it shows the point i of n as that at i / (n - 1).
NUM_THRESHOLDS = 51
# The columns of a table of rows.
COLUMNS = ("label", "predicted", "probability", "of the label", "place", "text")


def write(evaluation: Evaluation, folder: Path) -> None:
    """Writes the event file.

    Args:
        evaluation: the evaluation.
        folder: of the Evaluation, which may be in a bucket.
    """
    summaries = event_files.scalars(
        {tag: getattr(evaluation, name) for tag, name in FIGURES.items()}
    )
    summaries += [curve(label, points) for label, points in drawn(evaluation.curves or {}).items()]
    summaries += tables(evaluation)
    with local_folder(folder / event_files.FOLDER) as local:
        event_files.write(local, [(0, summaries)])


def drawn(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves to show: those of all classes, of two classes that of the rarer one."""
    if len(curves) != 2:
        return dict(curves)
    first, second = curves
    rarer = min((second, first), key=lambda label: curves[label]["num_positive"])
    return {rarer: curves[rarer]}


def curve(label: str, points: Curve) -> Any:
    """The summary of a precision-recall curve, at even thresholds.

    Args:
        label: of the class that is called positive.
        points: at these thresholds, and perhaps at others.
    """
    from tensorboard.plugins.pr_curve.summary import raw_data_pb

    even = np.linspace(0, 1, NUM_THRESHOLDS, dtype=np.float32)
    is_even = np.isin(np.array(points["thresholds"], np.float32), even)
    true = np.array(points["true_positives"])[is_even]
    false = np.array(points["false_positives"])[is_even]
    num_positive, num_negative = points["num_positive"], points["num_negative"]

    called = true + false  # rows that are called positive, [thresholds]
    precision = np.divide(true, called, out=np.ones(len(called)), where=called > 0)
    return raw_data_pb(
        label,
        true,
        false,
        num_negative - false,
        num_positive - true,
        precision,
        true / num_positive,
        num_thresholds=NUM_THRESHOLDS,
        display_name=label,
        description=f"{num_positive:,} rows of this class, {num_negative:,} others",
    )


def tables(evaluation: Evaluation) -> list[Any]:
    """The summaries of the two lists of rows; none of a list that is empty."""
    from tensorboard.plugins.text.summary_v2 import text_pb

    summaries = []
    for name in ("hardest", "confidently_wrong"):
        if rows := getattr(evaluation, name):
            head = [f"**{column}**" for column in COLUMNS]
            cells = np.array([head, *map(_cells, rows)])
            summaries.append(text_pb(name, cells))
    return summaries


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    """The cells of a row of an evaluation's lists."""
    return (
        escaped(row["label"]),
        escaped(row["predicted"] or "none"),
        f"{row['probability']:.3f}",
        f"{row['probability_of_label']:.3f}",
        escaped(_place(row)),
        escaped(row.get("text", "")),
    )


def _place(row: Mapping[str, Any]) -> str:
    """Where the row is: in the user's own file if that is known, or else in the Examples."""
    source = row.get("source")
    if source is None:
        return f"{row['shard']}, row {row['row'] + 1}"
    number = source.get("line", source.get("row"))
    return f"{source['file']}:{number}" if number is not None else str(source["file"])


def escaped(text: str) -> str:
    """A text in one line that neither Markdown nor HTML reads as anything but itself."""
    line = " ".join(text.split())
    return "".join(char if char.isalnum() or char == " " else f"&#{ord(char)};" for char in line)
