"""Asks a SavedModel. Needs TensorFlow and nothing else: `python -m pipeline.predict MODEL "a text"` works without seqline's
other dependencies.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

BATCH_SIZE = 256


def find_model(path: Path) -> Path:
    """The SavedModel at a path: the folder itself, or its newest version. Raises ValueError if there is none."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [folder for folder in path.glob("*") if folder.name.isdigit() and (folder / "saved_model.pb").is_file()]
    if not versions:
        raise ValueError(f"No SavedModel at {path}, nor a version of one under it. Has a model been pushed? seqline run")
    return max(versions, key=lambda folder: int(folder.name))


def predict(model_dir: Path, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """For each text, in order: {"text", "label", "probabilities": {label: probability}}, the likeliest label first."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _standard_error_silenced():
        import tensorflow as tf

        serve = tf.saved_model.load(str(model_dir)).signatures["serving_default"]
    labels = (model_dir / "assets" / "labels").read_text(encoding="utf-8").split("\n")[:-1]
    for batch in _batches(texts):
        # Undecodable bytes on standard input arrive as lone surrogates; the graph reads the bytes themselves.
        answer = serve(text=tf.constant([text.encode("utf-8", "surrogateescape") for text in batch]))
        for text, label, row in zip(batch, answer["label"].numpy(), answer["probabilities"].numpy(), strict=True):
            ranked = sorted(zip(labels, row.tolist(), strict=True), key=lambda pair: -pair[1])
            yield {
                "text": text,
                "label": label.decode(),
                "probabilities": {name: round(probability, 6) for name, probability in ranked},
            }


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


class _standard_error_silenced:  # noqa: N801  a context manager, used like a function
    """TensorFlow's C++ writes lines to descriptor 2 while it loads, before any log level counts."""

    def __enter__(self) -> None:
        self.kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        os.dup2(self.kept, 2)
        os.close(self.kept)


def main() -> None:
    """`python -m pipeline.predict MODEL [TEXT ...]`; texts from standard input, one a line, where none is given."""
    model, *texts = sys.argv[1:]
    for answer in predict(find_model(Path(model)), texts or (line.rstrip("\n") for line in sys.stdin)):
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
