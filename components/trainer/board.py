"""What TensorBoard shows of a Model beside its curves: settings, scores, graph, embeddings.

    tensorboard/         a row of the HParams table: the settings, and the Model's scores
    tensorboard/train/   the graph of the network; the embeddings of the first MAX_TOKENS tokens

Each is written once, the settings before the first step and the rest after the last one.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.trainer import TrainerParams
from seqline.component import Figures
from seqline.data import features
from seqline.host import event_files
from seqline.model.spec import Spec
from seqline.storage.staging import local_copy

# The projector draws so many points smoothly. Tokens are in order of their frequency.
MAX_TOKENS = 10_000
# The token outside the vocabulary, as the projector shows it.
OOV = "[OOV]"
CONFIG = """\
embeddings {
  tensor_name: "token embeddings"
  tensor_path: "embeddings.bytes"
  tensor_shape: %d
  tensor_shape: %d
  metadata_path: "tokens.tsv"
}
"""


def write_settings(params: TrainerParams, spec: Spec, output: Path) -> None:
    """Writes the settings, and the sizes that follow from the data."""
    sizes = {name: getattr(spec, name) for name in ("num_tokens", "num_classes", "max_length")}
    settings = event_files.settings({**params.key_fields(), **sizes})
    event_files.write(output / event_files.FOLDER, [(0, [settings])])


def write_scores(figures: Figures, output: Path) -> None:
    """Writes the scores by which Models and trials are compared."""
    scores = event_files.scores(figures["eval_accuracy"], figures["eval_loss"])
    event_files.write(output / event_files.FOLDER, [(0, scores)])


def write_network(model: keras.Model, spec: Spec, source: Path, output: Path) -> None:
    """Writes the graph of a network with its final weights, and its token embeddings.

    Args:
        source: the Features, which have the vocabulary.
    """
    folder = output / event_files.FOLDER / features.TRAIN
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        tf.summary.graph(graph_of(model))
    writer.close()

    if not spec.dim:
        tokens = local_copy(source / "vocabularies") / features.TOKENS_VOCABULARY
        rows = np.asarray(model.get_layer("embedding").get_weights()[0])
        write_projector(rows, tokens.read_text(encoding="utf-8").split("\n")[:-1], folder)


def graph_of(model: keras.Model) -> tf.Graph:
    """The graph that answers a batch of rows."""
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    shapes = tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name), inputs
    )
    call = tf.function(lambda content: model(content, training=False), autograph=False)
    return call.get_concrete_function(shapes).graph


def write_projector(rows: np.ndarray, tokens: list[str], folder: Path) -> None:
    """Writes embeddings with their tokens for the projector, with paths relative to `folder`.

    Args:
        rows: float32 [tokens + 2, embedding_dim], those of padding, of the tokens, of OOV.
        tokens: in the order of their ids, from 1.
        folder: of an event file.
    """
    shown = tokens[: MAX_TOKENS - 1]
    # Without the padding, which the network does not read.
    chosen = np.concatenate([rows[1 : len(shown) + 1], rows[-1:]]).astype("<f4")
    lines = ["token\tid", f"{OOV}\t{len(rows) - 1}"]
    lines[1:1] = [f"{printable(token)}\t{number}" for number, token in enumerate(shown, start=1)]

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "embeddings.bytes").write_bytes(chosen.tobytes())
    (folder / "tokens.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "projector_config.pbtxt").write_text(CONFIG % chosen.shape, encoding="utf-8")


def printable(token: str) -> str:
    """A token without characters that would end its line or its column: they are escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in token
    )
