"""What the model answered to the first rows of test.

For those who ask it later, in another place.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.evaluator.rows import Request, rows
from seqline.data import features
from seqline.storage.staging import local_copy, writing

# Rows of test whose answers are recorded.
NUM_ANSWERS = 64


def write_answers(examples: Path, saved_model: Path, output: Path) -> None:
    """Writes {"row", "probabilities", "label", "class_id"} of the first rows of test, one a line.

    The row as a JSON request of `serving_default` has it, its probabilities so that float32 loses
    nothing.

    On the CPU: a GPU may round its products to 10 bits (TF32), and a server elsewhere would not
    answer the same.
    """
    with tf.device("CPU:0"), writing(output) as name, open(name, "w", encoding="utf-8") as file:
        serve = tf.saved_model.load(str(local_copy(saved_model))).signatures["serving_default"]
        row, _ = next(rows(examples, features.TEST))
        row = {name: value[:NUM_ANSWERS] for name, value in row.items()}
        answers = {name: value.numpy().tolist() for name, value in serve(**row).items()}
        for number, request in enumerate(_as_json(row)):
            answer: dict[str, Any] = {
                "row": request,
                "probabilities": answers["probabilities"][number],
            }
            if "label" in answers:
                answer["label"] = answers["label"][number].decode(errors="replace")
            if "class_id" in answers:
                answer["class_id"] = answers["class_id"][number]
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")


def _as_json(row: Request) -> Iterator[dict[str, Any]]:
    """The rows of a batch of arguments, each without its padding."""
    if features.TEXT in row:
        yield from ({features.TEXT: text.decode()} for text in row[features.TEXT].numpy())
    elif features.TOKENS in row:
        yield from (
            {features.TOKENS: [token.decode() for token in tokens if token]}
            for tokens in row[features.TOKENS].numpy()
        )
    else:
        for sequence, length in zip(
            row[features.SEQUENCE].numpy(), row[features.LENGTH].numpy().tolist(), strict=True
        ):
            yield {features.SEQUENCE: sequence[:length].tolist(), features.LENGTH: length}
