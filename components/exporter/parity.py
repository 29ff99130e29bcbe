"""Checks that an export answers as the network was trained.

Every row is answered by a process that has TensorFlow and nothing else.

    weights         The Model's weights, folded once more, equal the variables in the file, to
                    WEIGHTS_TOLERANCE. Nothing is computed with them, so that a thousandth shows
                    even where answers hardly depend on a weight.
    ids             `transform_features` of the SavedModel gives for raw rows the Features that
                    Beam wrote, bit for bit.
    probabilities   serving_default, serving_examples and serving_fast give the probabilities of
                    the network of Keras layers on those Features, pooled with those of the wide
                    part (`seqline.model.wide.Wide`) on their n-grams, to a tolerance that follows
                    from the model's own rounding (`seqline.model.rounding`).
    labels          Each signature gives the network's label, except where its two best
                    probabilities are closer than the tolerance.
"""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.exporter import ExporterParams
from components.exporter.comparison import SIGNATURES, UNFINISHED, ParityError, compare
from components.exporter.parity_rows import ParityRows, ngrams_of
from components.exporter.serving import load_parts
from seqline.component import Figures
from seqline.data import features
from seqline.data.ngrams import Rows
from seqline.host import plain_tensorflow
from seqline.model import network, rounding
from seqline.model.spec import Spec, read_spec
from seqline.model.wide import WIDE, Wide, log_softmax, pooled

BATCH_SIZE = 128
# Of the largest number in a row of a variable: they are products in float64, rounded once (6e-8).
WEIGHTS_TOLERANCE = 1e-6


class ParityCheck:
    """The other process: it starts at once, waits for its job, and ends with the block."""

    def __enter__(self) -> "ParityCheck":
        self.folder = TemporaryDirectory(prefix="seqline-parity-")
        self.log = open(Path(self.folder.name) / "log", "w+b")
        script = Path(__file__).with_name("plain_tensorflow.py")
        self.process = plain_tensorflow.start(
            script, "seqline-prover", self.log, Path(self.folder.name)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.log.close()
        self.folder.cleanup()

    def run(
        self,
        saved_model: Path,
        rows: ParityRows,
        source: Path,
        model: Path,
        params: ExporterParams,
    ) -> Figures:
        """Compares an export with its Model.

        Args:
            source: the Features.

        Returns:
            Figures of the comparison.

        Raises:
            ParityError: for the first variable or row that differs.
        """
        folder = Path(self.folder.name)
        self._send_job(folder, saved_model, rows)

        # While the other process answers.
        compare_weights(saved_model, source, model, params)
        transformed, probabilities = expected(rows, source, model)
        noise = noise_of(rows, source, model, probabilities)

        if self.process.wait() != 0:
            self.log.seek(0)
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ParityError(
                f"A plain TensorFlow process cannot serve the export {saved_model}: {''.join(last)}"
            )

        with np.load(folder / "answers.npz", allow_pickle=False) as answers:
            return compare(rows, transformed, probabilities, dict(answers), params, noise)

    def _send_job(self, folder: Path, saved_model: Path, rows: ParityRows) -> None:
        with tf.io.TFRecordWriter(str(folder / "examples")) as writer:
            for example in rows.examples:
                writer.write(example)

        job = {
            "saved_model": str(saved_model.absolute()),
            "examples": str(folder / "examples"),
            "answers": str(folder / "answers.npz"),
            "signatures": SIGNATURES,
        }

        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # The process has ended; its log says why.

        self.process.stdin = None


def expected(
    rows: ParityRows,
    source: Path,
    model: Path,
    dtype: str = "float32",
    batch_size: int = BATCH_SIZE,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Computes what an export has to answer.

    Args:
        source: the Features.
        model: the Model, whose parts compute in `dtype`: the network of Keras layers, and the wide
            part by its features' matrix.

    Returns:
        (feature -> what the Features hold, [rows, ...], padded; the model's probabilities on it,
        [rows, num_classes]).
    """
    spec = read_spec(model)
    transformed = _parse_features(rows, spec)
    logits = None
    if spec.recurrent:
        logits = _logits(transformed, model, dtype, batch_size)
    if not spec.wide:
        return transformed, tf.nn.softmax(logits).numpy()

    wide = Wide.read(model / WIDE)
    of_wide = np.concatenate([_wide_scores(wide, part, dtype) for part in ngrams_of(rows, source)])
    of_wide = log_softmax(of_wide)
    recurrent = np.zeros_like(of_wide) if logits is None else log_softmax(logits)
    return transformed, np.exp(pooled(of_wide, recurrent, wide.pool))


def _logits(
    transformed: dict[str, np.ndarray], model: Path, dtype: str, batch_size: int
) -> np.ndarray:
    """The network's logits, [rows, num_classes]: of what its last layer reads."""
    trained, spec = network.load(model, dtype=dtype)
    last = trained.get_layer("output")
    inner = keras.Model(trained.input, last.input)
    content = transformed[features.VALUES if spec.dim else features.IDS]
    length = transformed[features.LENGTH]
    answer = _as_graph(inner, spec, content)

    # Rows of about the same length are together, and each batch is as wide as its longest row.
    order = np.argsort(length, kind="stable")
    logits = np.zeros((len(content), spec.num_classes), dtype)
    with tf.device("CPU:0"):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(1, length[batch].max()) if spec.masking else None
            inputs: Any = content[batch, :width]
            if spec.dim:
                inputs = (inputs, length[batch])
            logits[batch] = tf.matmul(answer(inputs), last.kernel) + last.bias
    return logits


def _as_graph(trained: keras.Model, spec: Spec, content: np.ndarray) -> Any:
    """The network as a graph: eagerly, Python would take each time step of Keras's loop by itself.

    It is traced once, for batches of any size.

    Args:
        content: ids [rows, time] or values [rows, time, dim].
    """
    time = None if spec.masking else content.shape[1]
    inputs: Any = tf.TensorSpec([None, time, *content.shape[2:]], content.dtype)
    if spec.dim:
        inputs = (inputs, tf.TensorSpec([None], tf.int64))
    return tf.function(
        lambda given: trained(given, training=False), input_signature=[inputs], autograph=False
    )


def _wide_scores(wide: Wide, rows: Rows, dtype: str) -> np.ndarray:
    """[n, K] in float32 or float64."""
    content = wide.content(rows).astype(dtype)
    return content @ wide.matrix.astype(dtype) + wide.prior.astype(dtype)


def _parse_features(rows: ParityRows, spec: Spec) -> dict[str, np.ndarray]:
    """The Features of the rows as dense arrays: ids [rows, time] or values [rows, time, dim]."""
    name, dtype = (features.VALUES, tf.float32) if spec.dim else (features.IDS, tf.int64)
    integer = tf.io.FixedLenFeature([], tf.int64)
    row = tf.io.parse_example(
        rows.features,
        {name: tf.io.VarLenFeature(dtype), features.LENGTH: integer, features.LABEL: integer},
    )
    dense = tf.sparse.to_dense(row[name]).numpy()
    width = spec.dim or 1
    time = max(1, dense.shape[1] // width, 0 if spec.masking else spec.max_length)
    dense = np.pad(dense, [(0, 0), (0, time * width - dense.shape[1])])
    if spec.dim:
        dense = dense.reshape(len(dense), time, spec.dim)

    return {
        name: dense,
        features.LENGTH: row[features.LENGTH].numpy(),
        features.LABEL: row[features.LABEL].numpy(),
    }


def compare_weights(saved_model: Path, source: Path, model: Path, params: ExporterParams) -> None:
    """Raises ParityError for a variable in the file that is not what the Model's weights give."""
    parts = load_parts(source, model, params.tables)
    modules = {"served": parts.network, "wide": parts.wide}
    with TemporaryDirectory(prefix="seqline-parity-") as folder:
        # Both name a variable by its place in the module.
        checkpoint = tf.train.Checkpoint(
            **{name: module for name, module in modules.items() if module is not None}
        ).write(f"{folder}/weights")
        folded = tf.train.load_checkpoint(checkpoint)
        written = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))

        for key in sorted(written.get_variable_to_shape_map()):
            if not key.startswith(("served/", "wide/")):
                continue
            name = key.removeprefix("served/").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
            wanted = folded.get_tensor(key) if folded.has_tensor(key) else np.empty(0)
            _compare_variable(name, np.asarray(wanted), np.asarray(written.get_tensor(key)))


def _compare_variable(name: str, wanted: np.ndarray, got: np.ndarray) -> None:
    if got.dtype.kind != "i":
        wanted, got = wanted.astype(np.float64), got.astype(np.float64)
    if wanted.shape != got.shape:
        raise ParityError(
            f"Parity fails at {name} of the export, {list(got.shape)}: the Model gives"
            f" {list(wanted.shape)}. {UNFINISHED}"
        )

    if got.dtype.kind == "i":
        if not np.array_equal(wanted, got):
            raise ParityError(
                f"Parity fails at {name} of the export: {int((wanted != got).sum())} of"
                f" {got.size} integers are not the Model's. No setting accepts it: the file does"
                " not hold what was trained. Check the disk and export again."
                f" {UNFINISHED}"
            )
        return

    # What is not a number in the Model shows in the answers.
    difference = np.where(np.isnan(got) & np.isnan(wanted), 0, np.abs(got - wanted))
    # By rows: the row that follows a text may hold -1e9.
    largest = np.nan_to_num(np.abs(wanted)).max(axis=-1, initial=0, keepdims=True)
    allowed = np.broadcast_to(WEIGHTS_TOLERANCE * largest, wanted.shape)
    wrong = ~(difference <= allowed)
    if not wrong.any():
        return

    worst = np.argmax(np.where(wrong, np.nan_to_num(difference, nan=np.inf), -1))
    place = np.unravel_index(worst, got.shape)
    raise ParityError(
        f"Parity fails at {name}{[int(index) for index in place]} of the export: it"
        f" holds {got[place]:.8g}; the Model's weights give {wanted[place]:.8g},"
        f" {difference[place]:.1e} apart, more than {allowed[place]:.1e}"
        f" ({WEIGHTS_TOLERANCE:g} of the row's largest number). So are"
        f" {int(wrong.sum())} of {got.size} numbers. Rounding does not do that, and no setting"
        " accepts it: the file does not hold the weights that were trained. Check the disk and"
        f" export again. {UNFINISHED}"
    )


def noise_of(rows: ParityRows, source: Path, model: Path, probabilities: np.ndarray) -> float:
    """How far a network's probabilities are from those of the same weights in float64.

    In log-odds, the largest of all rows; 0 where one is NaN.
    """
    exact = expected(rows, source, model, "float64")[1]
    differences = rounding.log_odds_differences(probabilities, exact)
    return float(np.nan_to_num(differences.max(), nan=0.0))
