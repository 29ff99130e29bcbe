"""Loads and asks a SavedModel for MLflow's pyfunc flavour, with TensorFlow and pandas alone.

This file is copied beside each model that is logged, and must not import anything of seqline.

A request is a DataFrame with the column `text`, `tokens` (lists of texts) or `sequence` (lists of
time steps, each a list of numbers). An answer has the columns `label` and `probabilities` (label ->
probability, the likeliest first), a row for each row of the request.
"""

from pathlib import Path
from typing import Any

BATCH_SIZE = 256
CONTENTS = ("text", "tokens", "sequence")


def _load_pyfunc(path: str) -> "ServedModel":
    """What MLflow calls with the folder of the SavedModel."""
    return ServedModel(Path(path))


class ServedModel:
    """A SavedModel that is asked through its signature `serving_default`.

    Attributes:
        content: The name of the column that it reads.
        labels: The labels of its classes, in the order of its probabilities.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self.tf = tf
        # The model keeps the variables that its signatures use.
        self.model = tf.saved_model.load(str(folder))
        self.serve = self.model.signatures["serving_default"]
        self.arguments = self.serve.structured_input_signature[1]
        self.content = next(name for name in CONTENTS if name in self.arguments)
        lines = (folder / "assets" / "labels").read_text(encoding="utf-8")
        self.labels = lines.split("\n")[:-1]

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Answers rows.

        Args:
            model_input: A DataFrame with the column that the model reads.
            params: Nothing; MLflow passes it.

        Raises:
            ValueError: The column is missing.
        """
        import pandas as pd

        if self.content not in model_input:
            raise ValueError(
                f"The request needs the column {self.content!r}; it has"
                f" {', '.join(map(repr, model_input))}."
            )

        rows = model_input[self.content].tolist()
        answers: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH_SIZE):
            answers += self._answer(rows[start : start + BATCH_SIZE])
        index = model_input.index
        return pd.DataFrame(answers, index=index, columns=["label", "probabilities"])

    def _answer(self, rows: list[Any]) -> list[dict[str, Any]]:
        request = {
            name: self.tf.constant(value, self.arguments[name].dtype)
            for name, value in self._request(rows).items()
        }
        answer = self.serve(**request)
        labels = [label.decode() for label in answer["label"].numpy()]  # [batch]
        probabilities = answer["probabilities"].numpy().tolist()  # [batch, num_classes]

        answers = []
        for label, row in zip(labels, probabilities, strict=True):
            ranked = sorted(zip(self.labels, row, strict=True), key=lambda pair: -pair[1])
            answers.append({"label": label, "probabilities": dict(ranked)})
        return answers

    def _request(self, rows: list[Any]) -> dict[str, list[Any]]:
        """The arguments of `serving_default`, with rows padded to the longest one."""
        if self.content == "text":
            return {"text": [str(text).encode() for text in rows]}

        if self.content == "tokens":
            tokens = [row.split() if isinstance(row, str) else list(row) for row in rows]
            time = max(map(len, tokens))
            return {"tokens": [row + [""] * (time - len(row)) for row in tokens]}

        dim = self.arguments["sequence"].shape[2]
        steps = [[list(map(float, step)) for step in row] for row in rows]
        time = max(map(len, steps))
        return {
            "sequence": [row + [[0.0] * dim] * (time - len(row)) for row in steps],
            "length": [len(row) for row in steps],
        }
