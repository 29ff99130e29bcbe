"""Asks a SavedModel by one of its signatures. Imports nothing heavy before a model is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from seqline.data import features
from seqline.data.examples import Content
from seqline.data.labels import normal
from seqline.errors import DataError, UserError
from seqline.model import model_path, pushed
from seqline.storage.staging import local_copy, path_of

SERVING_DEFAULT = "serving_default"
# The outputs of a signature that classifies rows.
ANSWERS = ("probabilities", "class_id", "label")
# The class of a row that has none.
NO_CLASS = -1


@dataclass(frozen=True)
class RowSignature:
    """The rows that a signature of a SavedModel reads.

    Attributes:
        content: The argument that holds them.
        dim: Numbers of one time step of a sequence; None for other contents.
    """

    content: Content
    dim: int | None


def has_class(probabilities: np.ndarray) -> np.ndarray:
    """Whether rows have a class: their probabilities are finite numbers, bool [rows].

    Finite numbers of a sequence may be so large that the sums of a network are not: then every
    probability is NaN, and the greatest of them means nothing.

    Args:
        probabilities: [rows, classes].
    """
    return np.isfinite(probabilities).all(axis=1)


def signatures_of(saved_model: str | Path) -> dict[str, RowSignature]:
    """The signatures that classify rows, by name in order. Does not load the model.

    Raises:
        DataError: The SavedModel is damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    content = (local_copy(path_of(saved_model)) / "saved_model.pb").read_bytes()
    try:
        saved = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError:
        raise DataError(
            f"{saved_model}/saved_model.pb is damaged. Copy or push the SavedModel again."
        ) from None

    signatures = {}
    for graph in saved.meta_graphs:
        for name, definition in graph.signature_def.items():
            shapes = {
                argument: [dim.size for dim in tensor.tensor_shape.dim]
                for argument, tensor in definition.inputs.items()
            }
            signature = _signature(shapes)
            if signature and set(ANSWERS) <= set(definition.outputs):
                signatures[name] = signature
    return dict(sorted(signatures.items()))


def _signature(shapes: Mapping[str, Sequence[int | None]]) -> RowSignature | None:
    """The rows that are read by arguments of these shapes, if they are rows."""
    contents: tuple[Content, ...] = get_args(Content)
    for content in contents:
        if content in shapes:
            dim = shapes[content][2] if content == features.SEQUENCE else None
            return RowSignature(content, dim)
    return None


def labels_of(saved_model: str | Path) -> list[str]:
    """The labels of a SavedModel in the order of its class ids."""
    path = path_of(saved_model) / "assets" / features.LABELS_VOCABULARY
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def merge_labels(labels: Sequence[str]) -> tuple[list[str], list[int]]:
    """The normal forms of a model's labels, and the place of each class among them.

    A model of an earlier seqline may have classes for several forms of one label.
    """
    places: dict[str, int] = {}
    columns = [places.setdefault(normal(label), len(places)) for label in labels]
    return list(places), columns


def arguments(content: Content, dim: int | None, rows: Any) -> dict[str, Any]:
    """The arguments of a signature for a batch of rows, padded to the longest row.

    Args:
        content: What a row holds.
        dim: Numbers of one time step of a sequence.
        rows: A string tensor [batch] for text, a ragged string tensor [batch, any] for tokens, a
            ragged float32 tensor [batch, time * dim] for sequences.
    """
    if content == features.TEXT:
        return {content: rows}

    import tensorflow as tf

    padded = rows.to_tensor()  # [batch, longest]
    if content == features.TOKENS:
        return {content: padded}

    assert dim is not None, "a time step has a number of numbers"
    return {
        content: tf.reshape(padded, [len(padded), padded.shape[1] // dim, dim]),
        features.LENGTH: rows.row_lengths() // dim,
    }


class ServedModel:
    """A loaded SavedModel.

    Attributes:
        folder: Where it is, local or under gs://.
        signature: The name of the signature that is asked.

    Args:
        folder: See above.
        signature: See above.
        unverified: Load a pushed version even if its files are not those that were pushed.

    Raises:
        DataError: The version is not what was pushed.
    """

    def __init__(
        self, folder: str | Path, signature: str = SERVING_DEFAULT, unverified: bool = False
    ) -> None:
        import tensorflow as tf

        self.folder = str(folder)
        path = str(local_copy(path_of(folder)))
        if not unverified:
            pushed.check(Path(path), folder)
        if problem := model_path.problem(path):
            raise UserError(f"The model cannot be loaded: {problem}. Move or copy it.")
        self._loaded = tf.saved_model.load(path)
        self.signature = signature

    @cached_property
    def labels(self) -> list[str]:
        """The labels in the order of the class ids."""
        return labels_of(self.folder)

    @cached_property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Argument of the signature -> its shape, with None for any size."""
        return {name: tuple(spec.shape) for name, spec in self._specs(self.signature).items()}

    @cached_property
    def reads(self) -> RowSignature:
        """The rows that the signature reads."""
        rows = _signature(self.shapes)
        assert rows is not None, f"{self.signature} of {self.folder} does not read rows"
        return rows

    @property
    def content(self) -> Content:
        """The content of a row."""
        return self.reads.content

    @property
    def dim(self) -> int | None:
        """Numbers of one time step of a sequence; None for other contents."""
        return self.reads.dim

    def has(self, signature: str) -> bool:
        """Whether the model has a signature of this name."""
        return signature in self._loaded.signatures

    def ask(self, rows: Any) -> dict[str, np.ndarray]:
        """The answers to a batch of rows.

        Args:
            rows: See `arguments`.

        Returns:
            The outputs of the signature, among them probabilities: float32 [batch, classes],
            class_id: int64 [batch] and label: bytes [batch]. A row whose probabilities are not
            finite has class_id NO_CLASS and label b"".
        """
        return self.call(arguments(self.content, self.dim, rows))

    def call(
        self, arguments: Mapping[str, Any], signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature, by default the model's own.

        Args:
            arguments: Name -> tensor, or what a tensor can be made of, such as a list from JSON.
            signature: The name of another signature.
        """
        import tensorflow as tf

        signature = signature or self.signature
        specs = self._specs(signature)
        outputs = self._loaded.signatures[signature](
            **{
                name: tf.convert_to_tensor(value, specs[name].dtype)
                for name, value in arguments.items()
            }
        )
        return _class_or_none({name: output.numpy() for name, output in outputs.items()})

    def _specs(self, signature: str) -> dict[str, Any]:
        specs: dict[str, Any] = self._loaded.signatures[signature].structured_input_signature[1]
        return specs


def _class_or_none(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes the class and the label from rows that have none. Older exports name the first one."""
    if set(ANSWERS) <= set(answers):
        lacking = ~has_class(answers["probabilities"])
        if lacking.any():
            nothing: dict[str, Any] = {"class_id": NO_CLASS, "label": b""}
            for name, value in nothing.items():
                answers[name] = np.where(lacking, value, answers[name])
    return answers
