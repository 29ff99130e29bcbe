"""A SavedModel that is asked about rows, with TensorFlow alone.

`seqline package` copies this module and those that it imports into the packages that it writes.
"""

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import InputError, short
from serving.rows import read_row
from serving.verify import DifferentError, verified

BATCH_SIZE = 256
NO_CLASS = "has no class: the model's probabilities for it are not finite numbers"
DEFAULT = "serving_default"
CONTENTS = ("text", "tokens", "sequence")
LABELS = Path("assets", "labels")


@dataclass(frozen=True)
class WayOut:
    """What a user can do about a model that cannot be asked.

    Attributes:
        damaged: About a version that is not what was pushed, a sentence.
        other: About any other problem, a sentence.
    """

    damaged: str
    other: str


class AskedModel:
    """A loaded SavedModel of seqline.

    Args:
        folder: Its folder.
        way_out: What its errors advise.
        unverified: Ask a pushed version even if its files are not those that were pushed.

    Attributes:
        folder: See above.
        signatures: The signatures, by name.
        content: What a row holds: text, tokens or sequence.
        dim: Numbers of a time step; 0 for other contents.
        labels: The labels, in the order of the probabilities.

    Raises:
        InputError: The version is not what was pushed, it cannot be loaded, or it is of another
            kind.
    """

    def __init__(self, folder: Path, way_out: WayOut, unverified: bool = False) -> None:
        self.folder = folder
        try:
            with verified(folder, way_out.damaged, unverified):
                self.signatures, self.content, self.labels = _load(folder, way_out.other)
        except DifferentError as error:
            raise InputError(f"{folder}: {error}") from None

        self._serve = self.signatures[DEFAULT]
        self._arguments = self._serve.structured_input_signature[1]
        self.dim = self._arguments[self.content].shape[2] if self.content == "sequence" else 0

    def batches(self, texts: Iterable[str]) -> Iterator[list[Any]]:
        """The rows that texts stand for, BATCH_SIZE at a time, see `serving.rows.read_row`.

        Raises:
            InputError: A text cannot be read as the content.
        """
        read = (
            read_row(text, f"Row {number}", self.content, self.dim)
            for number, text in enumerate(texts, start=1)
        )
        return batches(read)

    def request(self, rows: list[Any]) -> dict[str, Any]:
        """The arguments of the signature for a batch of rows, padded to the longest one."""
        import tensorflow as tf

        return {
            name: tf.constant(value, self._arguments[name].dtype)
            for name, value in _request(rows, self.content, self.dim).items()
        }

    def ask(self, request: dict[str, Any]) -> tuple[list[str], Any]:
        """The answers to a batch.

        Returns:
            (the label of each row, probabilities: float32 [batch, num_classes]).
        """
        with standard_error_kept():
            answer = self._serve(**request)
        return [label.decode() for label in answer["label"].numpy()], answer[
            "probabilities"
        ].numpy()

    def answer(self, row: Any, number: int, label: str, probabilities: list[float]) -> Any:
        """What is printed of an answer.

        Args:
            row: The row.
            number: The place of the row, from 1.
            label: Its label.
            probabilities: Its probabilities.

        Returns:
            {content: row, "label": ..., "probabilities": {label: probability}}, the likeliest label
            first; {content: row, "error": why} for a row that has no class.
        """
        if not all(map(math.isfinite, probabilities)):
            return {self.content: row, "error": f"Row {number} {NO_CLASS}."}

        ranked = sorted(zip(self.labels, probabilities, strict=True), key=lambda pair: -pair[1])
        return {
            self.content: row,
            "label": label,
            "probabilities": {name: round(probability, 6) for name, probability in ranked},
        }


def batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Rows in lists of up to BATCH_SIZE."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


def _load(folder: Path, way_out: str) -> tuple[Any, str, list[str]]:
    """The signatures of a SavedModel, the content that `serving_default` reads, and the labels.

    Raises:
        InputError: The model cannot be loaded, or is of another kind.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    problem = ""
    with standard_error_kept():
        import tensorflow as tf

        try:
            signatures = tf.saved_model.load(str(folder)).signatures
            serve = signatures[DEFAULT]
        except Exception as error:  # Damaged files make TensorFlow raise all kinds of errors.
            problem = short(getattr(error, "message", None) or str(error)) or type(error).__name__
    if problem:
        raise InputError(f"{folder} cannot be loaded ({problem}). {way_out}")

    content = next((name for name in CONTENTS if name in serve.structured_input_signature[1]), "")
    if not content or not {"label", "probabilities"} <= set(serve.structured_outputs):
        raise InputError(
            f"{folder} is not a model of seqline: its signature {DEFAULT} does not"
            " classify texts, tokens or sequences."
        )

    try:
        lines = (folder / LABELS).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / LABELS} cannot be read: {error}.") from None

    num_classes = serve.structured_outputs["probabilities"].shape[-1]
    if num_classes not in (None, len(lines)):
        raise InputError(
            f"{folder / LABELS} has {len(lines)} labels; the model has {num_classes} classes."
        )
    return signatures, content, lines


def _request(rows: list[Any], content: str, dim: int) -> dict[str, list[Any]]:
    """The arguments of `serving_default`, with rows padded to the longest one."""
    if content == "text":
        return {content: [_encode(text) for text in rows]}

    time = max(len(row) for row in rows)
    if content == "tokens":
        return {
            content: [[_encode(token) for token in row] + [b""] * (time - len(row)) for row in rows]
        }

    return {
        content: [row + [[0.0] * dim] * (time - len(row)) for row in rows],
        "length": [len(row) for row in rows],
    }


def _encode(text: str) -> bytes:
    # Undecodable bytes on standard input arrive as lone surrogates; the graph reads the bytes
    # themselves.
    return text.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def standard_error_kept() -> Iterator[None]:
    """Holds back what is written to descriptor 2, and shows it only after an error, not a stop.

    TensorFlow's C++ code writes there before any log level counts. The lines may explain an error.
    """
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)

        try:
            yield
        except Exception:
            sys.stderr.flush()
            lines.seek(0)
            os.write(before, lines.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def printable(line: str) -> str:
    """A line that can be written as UTF-8: a row may hold bytes that are not."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_line(answer: dict[str, Any]) -> str:
    """An answer as a line of JSON."""
    return printable(json.dumps(answer, ensure_ascii=False))
