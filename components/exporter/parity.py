"""That an export answers as it was trained.

Compared row by row, in a process that has TensorFlow and nothing else.

weights         the Model's, folded once more  =  the variables in the file, to WEIGHTS_TOLERANCE; nothing is computed with them, so that a
                thousandth shows even where answers hardly hang on a weight
ids             raw rows -> the Features that Beam wrote  =  `transform_features` of the SavedModel
                read back, bit for bit
probabilities   the network of Keras layers on those Features  =  serving_default, serving_examples, serving_fast, to a tolerance
                that follows from the network's own rounding (`seqline.model.rounding`)
labels          of each signature = the network's, but where its two best probabilities are closer
                than the tolerance
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf

from components.exporter import ExporterParams
from components.exporter.folded import Served
from seqline.component import Figures
from seqline.data import features
from seqline.data.examples import Content, raw_features
from seqline.errors import NotBlessedError
from seqline.model import network, rounding
from seqline.storage.staging import reading

BATCH_SIZE = 128
# Rows of every other split.
NUM_OTHERS = 16
# Rows of eval by which narrow tables are measured, at least: half a percent of accuracy is to be
# seen.
NUM_MEASURED = 2048
# Of the largest number in a row of a variable: they are products in float64, rounded once (6e-8).
WEIGHTS_TOLERANCE = 1e-6
# How far probabilities may be off with tables of fewer bits; what they really are is in the
# figures.
TOLERANCES = {"bfloat16": 0.1, "int8": 0.1}
SIGNATURES = ("transform_features", "serving_default", "serving_examples", "serving_fast")


class ParityError(NotBlessedError):
    """The export does not answer as it was trained; it is not finished."""


@dataclass
class Rows:
    """The rows that are compared, in order.

    dim: numbers of a time step, 0 for what is no sequence. labels: of each class id. places:
    (split, file, number of the row in it, from 1). examples, features: serialized tf.Examples, raw
    and transformed.
    """

    content: Content
    dim: int
    labels: list[bytes] = field(default_factory=list)
    places: list[tuple[str, Path, int]] = field(default_factory=list)
    examples: list[bytes] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)


def choose(examples: Path, source: Path, params: ExporterParams) -> Rows:
    """The first rows of eval with its longest one (of the first file), and a few of the other
    splits.
    """
    summary = json.loads((source / "transform.json").read_text())
    labels = (source / "vocabularies" / features.LABELS_VOCABULARY).read_bytes().split(b"\n")[:-1]
    rows = Rows(summary.get("content", features.TEXT), summary.get("dim") or 0, labels)
    wanted = (
        params.parity_rows
        if params.table_dtype == "float32"
        else max(params.parity_rows, NUM_MEASURED)
    )
    for split in (features.EVAL, features.TRAIN, features.TEST):
        if not (examples / f"Split-{split}").is_dir():
            continue
        left = wanted if split == features.EVAL or not rows.places else NUM_OTHERS
        for number, path in enumerate(features.shards(examples, split)):
            raw = _records(path, None if number == 0 and split == features.EVAL else left)
            chosen = list(range(min(left, len(raw))))
            longest = max(range(len(raw)), key=lambda row: len(raw[row]))
            chosen += [longest] if longest >= len(chosen) else []
            transformed = _records(source / f"Split-{split}" / path.name, chosen[-1] + 1)
            rows.places += [(split, path, row + 1) for row in chosen]
            rows.examples += [raw[row] for row in chosen]
            rows.features += [transformed[row] for row in chosen]
            left -= len(chosen)
            if left <= 0:
                break
    return rows


def _records(path: Path, number: int | None) -> list[bytes]:
    """The first records of a file; all of them for None."""
    with reading(path) as file:
        records = tf.data.TFRecordDataset(file, compression_type="GZIP")
        batches = (records if number is None else records.take(number)).batch(1024)
        return [record for batch in batches for record in batch.numpy().tolist()]


class Prover:
    """The other process, which starts at once and waits for what to do.

    The end of the block ends it.
    """

    def __enter__(self) -> "Prover":
        self.folder = TemporaryDirectory(prefix="seqline-parity-")
        self.log = open(Path(self.folder.name) / "log", "w+b")
        script = Path(__file__).with_name("plain_tensorflow.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            cwd=self.folder.name,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()
        self.folder.cleanup()

    def prove(self, saved_model: Path, rows: Rows, model: Path, params: ExporterParams) -> Figures:
        """Figures of the comparison. Raises ParityError for the first row that differs."""
        folder = Path(self.folder.name)
        with tf.io.TFRecordWriter(str(folder / "examples")) as writer:
            for example in rows.examples:
                writer.write(example)
        job = {
            "saved_model": str(saved_model.absolute()),
            "examples": str(folder / "examples"),
            "answers": str(folder / "answers.npz"),
        }
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**job, "signatures": SIGNATURES}) + "\n")
            self.process.stdin.close()
        except BrokenPipeError:  # it has ended: why, the log says
            pass
        self.process.stdin = None
        # While it answers.
        compare_weights(saved_model, model, params)
        transformed, probabilities = expected(rows, model)
        noise = noise_of(rows, model, probabilities)
        if self.process.wait() != 0:
            self.log.seek(0)
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ParityError(
                f"A plain TensorFlow process cannot serve the export {saved_model}: {''.join(last)}"
            )
        with np.load(folder / "answers.npz") as found:
            return compare(rows, transformed, probabilities, dict(found), params, noise)


def expected(
    rows: Rows, model: Path, dtype: str = "float32"
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(what the Features hold, padded.

    The probabilities of the network of Keras layers on it, computed in `dtype`).
    """
    trained, spec = network.load(model, dtype=dtype)
    name = features.VALUES if spec.dim else features.IDS
    kind = tf.float32 if spec.dim else tf.int64
    integer = tf.io.FixedLenFeature([], tf.int64)
    row = tf.io.parse_example(
        rows.features,
        {name: tf.io.VarLenFeature(kind), features.LENGTH: integer, features.LABEL: integer},
    )
    dense = tf.sparse.to_dense(row[name]).numpy()
    width = max(1, dense.shape[1] // (spec.dim or 1), 0 if spec.masking else spec.max_length)
    dense = np.pad(dense, [(0, 0), (0, width * (spec.dim or 1) - dense.shape[1])])
    found = {
        name: dense,
        features.LENGTH: row[features.LENGTH].numpy(),
        features.LABEL: row[features.LABEL].numpy(),
    }
    if spec.dim:
        found[name] = dense.reshape(len(dense), width, spec.dim)
    length = found[features.LENGTH]
    # Rows of about the same length together, each batch as wide as its longest row.
    order = np.argsort(length, kind="stable")
    probabilities = np.zeros((len(dense), spec.num_classes), dtype)
    with tf.device("CPU:0"):
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            content = found[name][batch, : max(1, length[batch].max()) if spec.masking else None]
            probabilities[batch] = trained(
                (content, length[batch]) if spec.dim else content, training=False
            )
    return found, probabilities


def compare_weights(saved_model: Path, model: Path, params: ExporterParams) -> None:
    """Raises ParityError for a variable in the file that is not what the Model's weights give."""
    trained, spec = network.load(model)
    served = Served(
        spec,
        {layer.name: layer.get_weights() for layer in trained.layers if layer.weights},
        params.table_dtype,
    )
    with TemporaryDirectory(prefix="seqline-parity-") as folder:
        # Both name a variable by its place in the module.
        folded = tf.train.load_checkpoint(
            tf.train.Checkpoint(served=served).write(f"{folder}/weights")
        )
        written = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
        for key in sorted(written.get_variable_to_shape_map()):
            if not key.startswith("served/"):
                continue
            name = key.removeprefix("served/").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
            wanted = _numbers(folded.get_tensor(key)) if folded.has_tensor(key) else np.empty(0)
            got = _numbers(written.get_tensor(key))
            if wanted.shape != got.shape:
                raise ParityError(
                    f"Parity fails at {name} of the export, {list(got.shape)}: the Model gives"
                    f" {list(wanted.shape)}. {UNFINISHED}"
                )
            # What is no number in the Model shows in the answers.
            difference = np.where(np.isnan(got) & np.isnan(wanted), 0, np.abs(got - wanted))
            # By rows: the row behind a text may hold -1e9.
            allowed = np.broadcast_to(
                WEIGHTS_TOLERANCE
                * np.nan_to_num(np.abs(wanted)).max(axis=-1, initial=0, keepdims=True),
                wanted.shape,
            )
            wrong = ~(difference <= allowed)
            if wrong.any():
                place = np.unravel_index(
                    np.argmax(np.where(wrong, np.nan_to_num(difference, nan=np.inf), -1)), got.shape
                )
                raise ParityError(
                    f"Parity fails at {name}{[int(index) for index in place]} of the export: it"
                    f" holds {got[place]:.8g}; the Model's weights give {wanted[place]:.8g},"
                    f" {difference[place]:.1e} apart, more than {allowed[place]:.1e}"
                    f" ({WEIGHTS_TOLERANCE:g} of the row's largest number). So are"
                    f" {int(wrong.sum())} of {got.size} numbers. No rounding does that, and no"
                    " setting accepts it: the file holds other weights than were trained. Check"
                    f" the disk and export again. {UNFINISHED}"
                )


def _numbers(tensor: np.ndarray) -> np.ndarray:
    return np.asarray(tensor).astype(np.float64)


def noise_of(rows: Rows, model: Path, probabilities: np.ndarray) -> float:
    """How far the trained network's probabilities are from those of the same weights in float64, in
    log-odds; 0 where one is NaN.
    """
    differences = rounding.log_odds_differences(probabilities, expected(rows, model, "float64")[1])
    return float(np.nan_to_num(differences.max(), nan=0.0))


def compare(
    rows: Rows,
    transformed: dict[str, np.ndarray],
    probabilities: np.ndarray,
    found: dict[str, np.ndarray],
    params: ExporterParams,
    noise: float,
) -> Figures:
    """Figures.

    Raises ParityError for the first row with other ids (values), length or label, then with other
    probabilities.

    noise: the trained network's own, float32 against float64 (`seqline.model.rounding`).
    """
    for name, wanted in transformed.items():
        got = found[f"transform_features.{name}"]
        for number, (one, other) in enumerate(_pairs(wanted, got)):
            if not np.array_equal(one, other):
                raise ParityError(
                    f"{_place(rows, number)}: the export reads {name} {_short(other)}; the Features"
                    f" hold {_short(one)}. This is no rounding, and no setting accepts it: the"
                    f" export reads text otherwise than the transform did. {UNFINISHED}"
                )
    bound = bound_of(params, noise)
    figures: Figures = {
        "table_dtype": params.table_dtype,
        "num_rows": len(rows.places),
        "max_difference": 0.0,
        "difference": 0.0,
    }
    for signature in SIGNATURES[1:]:
        got = found[f"{signature}.probabilities"]
        moved = np.abs(got - probabilities).max(axis=1)
        difference = (
            rounding.log_odds_differences(got, probabilities) if bound.of_log_odds else moved
        )
        wrong = np.flatnonzero(~(difference <= bound.tolerance))  # NaN, too
        if len(wrong):
            number = int(wrong[0])
            raise ParityError(
                f"{_place(rows, number)}: {signature} of the export gives probabilities"
                f" {_digits(got[number], probabilities[number])}; the trained network gives"
                f" {_digits(probabilities[number], got[number])};"
                f" {'their log-odds' if bound.of_log_odds else 'they'} are {difference[number]:.1e}"
                f" apart, more than {bound.tolerance:g} ({bound.origin})."
                f" {bound.way_out(float(difference.max()))} {UNFINISHED}"
            )
        _compare_labels(rows, signature, found, probabilities, bound)
        figures["max_difference"] = max(figures["max_difference"], float(moved.max()))
        figures["difference"] = max(figures["difference"], float(difference.max()))
    figures |= {"tolerance": bound.tolerance, "noise": noise}
    if params.table_dtype != "float32":
        figures |= cost(
            rows, transformed[features.LABEL], probabilities, found["serving_default.probabilities"]
        )
    return figures


UNFINISHED = "Nothing was exported."


@dataclass(frozen=True)
class Bound:
    """What answers may differ by. of_log_odds.

    In log-odds, otherwise in probabilities. origin: where the tolerance comes from.
    """

    tolerance: float
    of_log_odds: bool
    origin: str
    noise: float

    def way_out(self, difference: float) -> str:
        """What a person can do about a difference that is larger."""
        accept = f"--set exporter.parity_tolerance={2 * difference:.0e}"
        if not self.of_log_odds:
            return "Export with --set exporter.table_dtype=float32."
        if not np.isfinite(difference):
            return (
                "A weight of the Model is no finite number: train with a lower"
                " trainer.learning_rate or with trainer.clip_norm."
            )
        if rounding.FACTOR * self.noise > rounding.MOST:
            return (
                f"This network amplifies rounding: by itself it answers {self.noise:.1e} apart in"
                " float32 and float64, so that a server's answers would change with the batch."
                " Train with a smaller trainer.recurrent_gain, a lower trainer.learning_rate,"
                f" trainer.pooling max or mean, or a shorter transform.max_length; {accept} exports"
                " it all the same."
            )
        return (
            f"Rounding does not explain it: the network's own is {self.noise:.1e}. Please report it"
            f" with the Model; if you accept such answers, {accept} exports it."
        )


def bound_of(params: ExporterParams, noise: float) -> Bound:
    """The bound of an export.

    Narrow tables by a constant, others by the setting or by the trained network's own noise.
    """
    if params.table_dtype in TOLERANCES:
        return Bound(
            TOLERANCES[params.table_dtype],
            False,
            f"what {params.table_dtype} tables may change",
            noise,
        )
    if params.parity_tolerance is not None:
        return Bound(params.parity_tolerance, True, "exporter.parity_tolerance", noise)
    return Bound(rounding.tolerance(noise), True, rounding.origin(noise), noise)


def of_answers(params: ExporterParams, noise: float) -> float:
    """What two servers' answers of one export may differ by, in log-odds.

    Narrow tables are the same for both.
    """
    return params.parity_tolerance or rounding.tolerance(noise)


def _compare_labels(
    rows: Rows,
    signature: str,
    found: dict[str, np.ndarray],
    probabilities: np.ndarray,
    bound: Bound,
) -> None:
    """Raises ParityError for a label that is not its class's name, or not the trained network's
    where that one is sure.
    """
    if f"{signature}.class_id" not in found:
        return
    class_ids, labels = found[f"{signature}.class_id"], found[f"{signature}.label"]
    wanted = probabilities.argmax(axis=1)
    # Narrow tables may move both of the best by the tolerance.
    ahead = (
        rounding.margins(probabilities, class_ids) if bound.of_log_odds else np.zeros(len(wanted))
    )
    for number, (class_id, label) in enumerate(
        zip(class_ids.tolist(), labels.tolist(), strict=True)
    ):
        if label != rows.labels[class_id]:
            raise ParityError(
                f"{_place(rows, number)}: {signature} of the export gives class_id {class_id} the"
                f" label {_text(label)!r}; the Features call it {_text(rows.labels[class_id])!r}."
                " This is no rounding, and no setting accepts it: the export's labels are in"
                f" another order. {UNFINISHED}"
            )
        if not ahead[number] <= bound.tolerance:
            best = int(wanted[number])
            raise ParityError(
                f"{_place(rows, number)}: {signature} of the export answers {_text(label)!r}; the"
                f" trained network answers {_text(rows.labels[best])!r},"
                f" {probabilities[number, best]:.6g} against {probabilities[number, class_id]:.6g}:"
                f" log-odds {ahead[number]:.1e} apart, more than {bound.tolerance:g}"
                f" ({bound.origin}). {bound.way_out(float(ahead.max()))} {UNFINISHED}"
            )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def cost(rows: Rows, label: np.ndarray, probabilities: np.ndarray, found: np.ndarray) -> Figures:
    """What narrow tables change on the rows of eval.

    Accuracy, and labels other than those of the trained network.
    """
    chosen = np.array([split == rows.places[0][0] for split, _, _ in rows.places])
    before, after = (each[chosen].argmax(axis=1) for each in (probabilities, found))
    label = label[chosen]
    return {
        "accuracy_float32": float((before == label).mean()),
        "accuracy_change": float((after == label).mean() - (before == label).mean()),
        "num_other_labels": int((before != after).sum()),
        "num_measured": int(chosen.sum()),
    }


def _pairs(wanted: np.ndarray, got: np.ndarray) -> Iterator[tuple[Any, Any]]:
    """Row by row, without the padding that only one of them has."""
    if wanted.ndim > 1:
        width = max(wanted.shape[1], got.shape[1])
        wanted, got = (
            np.pad(each, [(0, 0), (0, width - each.shape[1])] + [(0, 0)] * (each.ndim - 2))
            for each in (wanted, got)
        )
    return zip(wanted, got, strict=True)


def _place(rows: Rows, number: int) -> str:
    _, path, row = rows.places[number]
    content = tf.io.parse_single_example(rows.examples[number], raw_features(rows.content))[
        rows.content
    ]
    value = (
        content.numpy().decode(errors="replace")
        if rows.content == features.TEXT
        else content.values.numpy().tolist()
    )
    return f"Parity fails at {path.parent.name}/{path.name}, row {row} ({_short(value)})"


def _digits(row: np.ndarray, other: np.ndarray) -> str:
    """The probabilities of a row, around the class that differs most from another row's.

    Eight digits, as rounding shows in the last.
    """
    worst = int(np.argmax(np.nan_to_num(np.abs(row - other), nan=np.inf)))
    first = max(0, worst - 1)
    shown = ", ".join(f"{value:.8g}" for value in row[first : worst + 2].tolist())
    return f"[{'... ' if first else ''}{shown}{' ...' if worst + 2 < len(row) else ''}]"


def _short(value: Any, size: int = 60) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = (
            value.tolist()
            if value.dtype.kind == "i"
            else [round(float(each), 6) for each in value.ravel()[:40]]
        )
    text = repr(value)
    return text if len(text) <= size else f"{text[:size]}..."
