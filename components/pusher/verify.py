"""Checks in plain TensorFlow that a copy of a SavedModel loads and answers."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seqline.errors import DataError

# This finds files that do not load, or belong to another model. The infra_validator measures how
# near a server's answers are.
TOLERANCE = 1e-3


def load_and_ask(folder: Path, answer: dict[str, Any]) -> None:
    """Loads a SavedModel and compares its answer to one row with the evaluator's.

    Args:
        folder: the SavedModel.
        answer: {"row": the arguments of `serving_default` without their batch, "probabilities":
            what the evaluator got, [num_classes]}.

    Raises:
        DataError: the model does not load, does not answer, or answers differently.
    """
    try:
        model = tf.saved_model.load(str(folder))
        serve = model.signatures["serving_default"]
        specs = serve.structured_input_signature[1]
        row = {
            name: tf.constant([value], specs[name].dtype) for name, value in answer["row"].items()
        }
        probabilities = serve(**row)["probabilities"].numpy()[0]  # [num_classes]
    except Exception as error:  # damaged files make TensorFlow raise all kinds of errors
        line = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise DataError(
            f"The copy of the model in {folder} does not load and answer ({line}). Nothing was"
            " pushed."
        ) from error
    expected = np.array(answer["probabilities"], np.float32)
    if probabilities.shape != expected.shape or not np.allclose(
        probabilities, expected, rtol=0, atol=TOLERANCE
    ):
        raise DataError(
            f"The copy of the model in {folder} answers the first row of test with"
            f" {probabilities.tolist()}; the evaluator got {expected.tolist()}. Nothing was pushed."
        )
