"""Checks that a copy of a SavedModel loads and answers as it was evaluated."""

from pathlib import Path

import numpy as np

from seqline.data.answers import Answer
from seqline.errors import DataError
from seqline.model.served import ServedModel

# This finds files that do not load or belong to another model. The infra_validator checks how near
# a server's answers are.
TOLERANCE = 1e-3


def load_and_ask(folder: Path, answer: Answer) -> None:
    """Loads a copy of the model and asks it one row.

    Args:
        folder: The copy.
        answer: The row, and the evaluator's answer.

    Raises:
        DataError: The copy does not load, does not answer, or answers differently.
    """
    row = {name: [value] for name, value in answer.row.items()}
    try:
        probabilities = ServedModel(folder).call(row)["probabilities"][0]
    except Exception as error:  # damaged files make TensorFlow raise all kinds of errors
        line = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise DataError(
            f"The copy of the model in {folder} does not load and answer ({line}). "
            "Nothing was pushed."
        ) from error

    expected = np.array(answer.probabilities, np.float32)
    if probabilities.shape != expected.shape or not np.allclose(
        probabilities, expected, rtol=0, atol=TOLERANCE
    ):
        raise DataError(
            f"The copy of the model in {folder} answers the first row of test with "
            f"{probabilities.tolist()}; the evaluator got {expected.tolist()}. Nothing was pushed."
        )
