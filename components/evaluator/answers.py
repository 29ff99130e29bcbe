"""Records the model's answers to the first rows of test, for stages that ask it again elsewhere."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.evaluator.rows import rows
from seqline.data import features
from seqline.model.served import ServedModel, has_class
from seqline.storage.staging import writing

# Rows of test whose answers are recorded.
NUM_ANSWERS = 64


def write_answers(
    examples: Path, saved_model: Path, output: Path, loaded: ServedModel | None = None
) -> None:
    """Writes answers.jsonl.

    Each line is one of the first rows of test, in order, without those that have no class: {"row":
    the row as a JSON request of `serving_default` has it, "probabilities", "label", "class_id"}.
    The probabilities have all digits that float32 needs.

    The model runs on the CPU. A GPU may round its products to 10 bits (TF32), and then a server
    elsewhere would not answer the same.

    Args:
        examples: The Examples.
        saved_model: The folder of the SavedModel.
        output: The file to write.
        loaded: The SavedModel, if it is loaded on the CPU already.
    """
    with tf.device("CPU:0"):
        model = loaded or ServedModel(saved_model)
        batch, _ = next(rows(examples, features.TEST))
        first = {name: value[:NUM_ANSWERS] for name, value in batch.items()}
        outputs = model.call(first)
        answered = has_class(outputs["probabilities"])
        answers = {name: value.tolist() for name, value in outputs.items()}

    with writing(output) as name, open(name, "w", encoding="utf-8") as file:
        for number, request in enumerate(json_rows(first)):
            if not answered[number]:
                continue
            answer: dict[str, Any] = {
                "row": request,
                "probabilities": answers["probabilities"][number],
            }
            if "label" in answers:
                answer["label"] = answers["label"][number].decode(errors="replace")
            if "class_id" in answers:
                answer["class_id"] = answers["class_id"][number]
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")


def json_rows(arguments: Mapping[str, tf.Tensor]) -> Iterator[dict[str, Any]]:
    """The rows of a batch of arguments as a JSON request has them, without their padding."""
    if features.TEXT in arguments:
        for text in arguments[features.TEXT].numpy():
            yield {features.TEXT: text.decode()}
    elif features.TOKENS in arguments:
        for tokens in arguments[features.TOKENS].numpy():
            yield {features.TOKENS: [token.decode() for token in tokens if token]}
    else:
        sequences = arguments[features.SEQUENCE].numpy()
        lengths = arguments[features.LENGTH].numpy().tolist()
        for sequence, length in zip(sequences, lengths, strict=True):
            yield {features.SEQUENCE: sequence[:length].tolist(), features.LENGTH: length}
