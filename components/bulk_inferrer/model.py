"""The SavedModel as Beam's RunInference asks it.

Loaded once a process, rows of similar length together.

A batch is padded to its longest row, so a chunk's rows are sorted by length, cut into batches and
answered; the answers go back to the rows' places. Batches follow from the chunk alone: a second try
gives the same bits.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler
from tensorflow.core.protobuf import saved_model_pb2

from components.bulk_inferrer.chunks import Chunk
from seqline.data import features
from seqline.data.examples import Content
from seqline.errors import UserError
from seqline.host import progress
from seqline.storage.staging import local_copy, path_of

# Measured: more rows a batch are no faster on a CPU, and pad more.
BATCH_ROWS = 512
# Of a batch, padded: bytes of texts, tokens, or numbers of sequences. 512 texts of 4 KiB.
BATCH_CELLS = 1 << 21
# At once: TensorFlow leaves cores idle between two steps of a recurrence.
MAX_THREADS = 4


@dataclass(frozen=True)
class Signature:
    """What a SavedModel's signature reads. dim.

    Numbers of one time step, None for text and tokens. labels: in the order of class ids.
    """

    content: Content
    dim: int | None
    labels: list[str]


def read_signature(model: Path, name: str) -> Signature:
    """Reads a signature without loading the model.

    Raises UserError for one that is not there or reads something else.
    """
    graphs = saved_model_pb2.SavedModel.FromString(
        (model / "saved_model.pb").read_bytes()
    ).meta_graphs
    signatures = {
        each: signature for graph in graphs for each, signature in graph.signature_def.items()
    }
    contents: tuple[Content, ...] = ("text", "tokens", "sequence")
    usable = sorted(
        each for each, signature in signatures.items() if set(contents) & set(signature.inputs)
    )
    if name not in usable:
        raise UserError(
            f"{model} has no signature {name!r} that reads rows (bulk_inferrer.signature); it has"
            f" {', '.join(usable)}."
        )
    inputs = signatures[name].inputs
    content = next(each for each in contents if each in inputs)
    dim = int(inputs[content].tensor_shape.dim[2].size) if content == "sequence" else None
    labels = (
        (model / "assets" / features.LABELS_VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
    )
    return Signature(content, dim, labels)


@dataclass(frozen=True)
class Answered:
    """A chunk with the model's answers. probabilities.

    Float32 [rows, classes]; class_id: int64 [rows]; labels: bytes, one a row.
    """

    chunk: Chunk
    probabilities: np.ndarray
    class_id: np.ndarray
    labels: list[bytes]


class SavedModelHandler(ModelHandler[list[Chunk], Answered, Any]):
    """RunInference over lists of one Chunk.

    A chunk is cut into batches here, where the lengths of all its rows are known.
    """

    def __init__(self, model: str, signature: str, asked: Signature) -> None:
        super().__init__()
        self.model = model
        self.signature = signature
        self.asked = asked

    def load_model(self) -> Any:
        return tf.saved_model.load(str(local_copy(path_of(self.model))))

    def should_skip_batching(self) -> bool:
        return True

    def run_inference(
        self, batch: Sequence[Chunk], model: Any, inference_args: Any = None
    ) -> Iterator[Answered]:
        for chunk in batch:
            yield answer(chunk, model.signatures[self.signature], self.asked)

    def get_num_bytes(self, batch: Sequence[Chunk]) -> int:
        return sum(chunk.num_bytes for chunk in batch)

    def get_metrics_namespace(self) -> str:
        return "seqline.bulk_inferrer"


def answer(chunk: Chunk, serve: Any, asked: Signature) -> Answered:
    """Asks a signature for every row of a chunk."""
    contents = [row.content for row in chunk.rows]
    probabilities = np.zeros((len(contents), len(asked.labels)), np.float32)
    class_id = np.zeros(len(contents), np.int64)
    labels = np.zeros(len(contents), object)

    def ask(rows: list[int]) -> None:
        answers = serve(**request([contents[row] for row in rows], asked))
        probabilities[rows] = answers["probabilities"].numpy()
        class_id[rows] = answers["class_id"].numpy()
        labels[rows] = answers["label"].numpy()
        progress.advance(len(rows))

    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(ask, batches([len(content) for content in contents], asked.dim or 1)))
    return Answered(chunk, probabilities, class_id, labels.tolist())


def batches(lengths: Sequence[int], width: int = 1) -> list[list[int]]:
    """Numbers of rows, those of similar length together.

    Each once, BATCH_ROWS a batch at most, and BATCH_CELLS where it has two rows.

    width: cells of one step of a row.
    """
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The rows come by length: this one is the longest so far.
        if (
            found
            and len(found[-1]) < BATCH_ROWS
            and (len(found[-1]) + 1) * lengths[row] * width <= BATCH_CELLS
        ):
            found[-1].append(row)
        else:
            found.append([row])
    return found


def request(contents: Sequence[Any], asked: Signature) -> dict[str, tf.Tensor]:
    """The signature's arguments for these rows, padded to the longest."""
    if asked.content == features.TEXT:
        return {features.TEXT: tf.constant(contents, tf.string)}
    time = max(map(len, contents))
    if asked.content == features.TOKENS:
        return {
            features.TOKENS: tf.constant(
                [row + [b""] * (time - len(row)) for row in contents], tf.string
            )
        }
    padded = np.zeros((len(contents), time, asked.dim or 1), np.float32)
    for number, row in enumerate(contents):
        padded[number, : len(row)] = row
    return {
        features.SEQUENCE: tf.constant(padded),
        features.LENGTH: tf.constant([len(row) for row in contents], tf.int64),
    }
