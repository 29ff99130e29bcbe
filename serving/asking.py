"""A SavedModel that is loaded once and asked many times, with TensorFlow alone."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from serving.errors import InputError, short
from serving.verify import DifferentError, verified

BATCH_SIZE = 256
DEFAULT = "serving_default"
LABELS = Path("assets", "labels")
CONTENTS = ("text", "tokens", "sequence")


class LoadedModel:
    """A SavedModel in memory. It may be asked by several threads at once.

    Attributes:
        folder: Where it was loaded from.
        content: What a row holds: text, tokens or sequence.
        dim: Numbers of a time step of a sequence; 0 for others.
        labels: The labels, in the order of the class ids.

    Args:
        folder: The SavedModel.
        way_out: What to do about a pushed version whose files are not those that were pushed.
        unverified: Load it even so.

    Raises:
        InputError: The version is not what was pushed, cannot be loaded, or is another kind of
            model.
    """

    def __init__(self, folder: Path, way_out: str, unverified: bool = False) -> None:
        self.folder = folder
        try:
            with verified(folder, way_out, unverified):
                self._loaded, self.content, self.labels = _load(folder)
        except DifferentError as error:
            raise InputError(f"{folder}: {error}") from None

        specs = self.signature(DEFAULT).structured_input_signature[1]
        self.dim: int = specs[self.content].shape[2] if self.content == "sequence" else 0

    def signature(self, name: str) -> Any:
        """A signature, a function of tensors; None if the model has none of this name."""
        return self._loaded.signatures.get(name)

    def request(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The arguments of the signatures for a batch of rows, as tensors, padded to the longest.

        Args:
            rows: Texts, lists of tokens or lists of time steps, one or more.
        """
        import tensorflow as tf

        specs = self.signature(DEFAULT).structured_input_signature[1]
        return {
            name: tf.constant(value, specs[name].dtype)
            for name, value in _request(rows, self.content, self.dim).items()
        }


def _load(model_dir: Path) -> tuple[Any, str, list[str]]:
    """A SavedModel, the content that `serving_default` reads, and the labels.

    Raises:
        InputError: The model cannot be loaded, or is of another kind.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    problem = ""
    with standard_error_kept():
        import tensorflow as tf

        try:
            loaded = tf.saved_model.load(str(model_dir))
            serve = loaded.signatures[DEFAULT]
        except Exception as error:  # Damaged files make TensorFlow raise all kinds of errors.
            problem = short(getattr(error, "message", None) or str(error)) or type(error).__name__
    if problem:
        raise InputError(f"{model_dir} cannot be loaded ({problem}). Name another with --model.")

    inputs = serve.structured_input_signature[1]
    content = next((name for name in CONTENTS if name in inputs), "")
    if not content or not {"label", "probabilities"} <= set(serve.structured_outputs):
        raise InputError(
            f"{model_dir} is not a model of seqline: its signature serving_default does not"
            " classify texts, tokens or sequences."
        )

    try:
        lines = (model_dir / LABELS).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        raise InputError(f"{model_dir / LABELS} cannot be read: {error}.") from None

    num_classes = serve.structured_outputs["probabilities"].shape[-1]
    if num_classes not in (None, len(lines)):
        raise InputError(
            f"{model_dir / LABELS} has {len(lines)} labels; the model has {num_classes} classes."
        )
    return loaded, content, lines


def _request(rows: Sequence[Any], content: str, dim: int) -> dict[str, list[Any]]:
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
