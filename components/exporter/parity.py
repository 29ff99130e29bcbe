"""That an export answers as it was trained: compared row by row, in a process that has TensorFlow and nothing else.

ids             raw rows -> the Features that Beam wrote  =  `transform_features` of the SavedModel read back, bit for bit
probabilities   the network of Keras layers on those Features  =  serving_default, serving_examples, serving_fast, to a tolerance
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

from components import features, network
from components.base import Figures, NotBlessedError
from components.examples import Content, raw_features
from components.exporter import ExporterParams
from components.staging import reading

BATCH_SIZE = 128
# Rows of every other split.
NUM_OTHERS = 16
# Rows of eval by which narrow tables are measured, at least: half a percent of accuracy is to be seen.
NUM_MEASURED = 2048
# How far probabilities may be off with tables of fewer bits; what they really are is in the figures.
TOLERANCES = {"bfloat16": 0.1, "int8": 0.1}
SIGNATURES = ("transform_features", "serving_default", "serving_examples", "serving_fast")


class ParityError(NotBlessedError):
    """The export does not answer as it was trained; it is not finished."""


@dataclass
class Rows:
    """The rows that are compared, in order.

    dim: numbers of a time step, 0 for what is no sequence. places: (split, file, number of the row in it, from 1). examples, features: serialized tf.Examples, raw and transformed.
    """

    content: Content
    dim: int
    places: list[tuple[str, Path, int]] = field(default_factory=list)
    examples: list[bytes] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)


def choose(examples: Path, source: Path, params: ExporterParams) -> Rows:
    """The first rows of eval with its longest one (of the first file), and a few of the other splits."""
    summary = json.loads((source / "transform.json").read_text())
    rows = Rows(summary.get("content", features.TEXT), summary.get("dim") or 0)
    wanted = params.parity_rows if params.table_dtype == "float32" else max(params.parity_rows, NUM_MEASURED)
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
    """The other process, which starts at once and waits for what to do; the end of the block ends it."""

    def __enter__(self) -> "Prover":
        self.folder = TemporaryDirectory(prefix="seqline-parity-")
        self.log = open(Path(self.folder.name) / "log", "w+b")
        script = Path(__file__).with_name("prover.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(script)], stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, cwd=self.folder.name, text=True
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
        job = {"saved_model": str(saved_model.absolute()), "examples": str(folder / "examples"), "answers": str(folder / "answers.npz")}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**job, "signatures": SIGNATURES}) + "\n")
            self.process.stdin.close()
        except BrokenPipeError:  # it has ended: why, the log says
            pass
        self.process.stdin = None
        transformed, probabilities = expected(rows, model)  # while it answers
        if self.process.wait() != 0:
            self.log.seek(0)
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ParityError(f"A plain TensorFlow process cannot serve the export {saved_model}: {''.join(last)}")
        with np.load(folder / "answers.npz") as found:
            return compare(rows, transformed, probabilities, dict(found), params)


def expected(rows: Rows, model: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(what the Features hold, padded; the probabilities of the network of Keras layers on it)."""
    trained, spec = network.load(model)
    name = features.VALUES if spec.dim else features.IDS
    kind = tf.float32 if spec.dim else tf.int64
    integer = tf.io.FixedLenFeature([], tf.int64)
    row = tf.io.parse_example(rows.features, {name: tf.io.VarLenFeature(kind), features.LENGTH: integer, features.LABEL: integer})
    dense = tf.sparse.to_dense(row[name]).numpy()
    width = max(1, dense.shape[1] // (spec.dim or 1), 0 if spec.masking else spec.max_length)
    dense = np.pad(dense, [(0, 0), (0, width * (spec.dim or 1) - dense.shape[1])])
    found = {name: dense, features.LENGTH: row[features.LENGTH].numpy(), features.LABEL: row[features.LABEL].numpy()}
    if spec.dim:
        found[name] = dense.reshape(len(dense), width, spec.dim)
    length = found[features.LENGTH]
    # Rows of about the same length together, each batch as wide as its longest row.
    order = np.argsort(length, kind="stable")
    probabilities = np.zeros((len(dense), spec.num_classes), np.float32)
    with tf.device("CPU:0"):
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            content = found[name][batch, : max(1, length[batch].max()) if spec.masking else None]
            probabilities[batch] = trained((content, length[batch]) if spec.dim else content, training=False)
    return found, probabilities


def compare(
    rows: Rows, transformed: dict[str, np.ndarray], probabilities: np.ndarray, found: dict[str, np.ndarray], params: ExporterParams
) -> Figures:
    """Figures. Raises ParityError for the first row with other ids (values), length or label, then with other probabilities."""
    for name, wanted in transformed.items():
        got = found[f"transform_features.{name}"]
        for number, (one, other) in enumerate(_pairs(wanted, got)):
            if not np.array_equal(one, other):
                raise ParityError(
                    f"{_place(rows, number)}: the export reads {name} {_short(other)}; the Features hold {_short(one)}. {WAY_OUT}"
                )
    tolerance = TOLERANCES.get(params.table_dtype, params.parity_tolerance)
    largest = 0.0
    for signature in SIGNATURES[1:]:
        got = found[f"{signature}.probabilities"]
        difference = np.abs(got - probabilities).max(axis=1)
        wrong = np.flatnonzero(~(difference <= tolerance))  # NaN, too
        if len(wrong):
            number = int(wrong[0])
            raise ParityError(
                f"{_place(rows, number)}: {signature} of the export gives probabilities {_short(got[number])}; the trained network gives "
                f"{_short(probabilities[number])}, {difference[number]:.1e} apart, more than {tolerance:g} (exporter.parity_tolerance). {WAY_OUT}"
            )
        largest = max(largest, float(difference.max()))
    figures: Figures = {"table_dtype": params.table_dtype, "num_rows": len(rows.places), "max_difference": largest}
    if params.table_dtype != "float32":
        figures |= cost(rows, transformed[features.LABEL], probabilities, found["serving_default.probabilities"])
    return figures


WAY_OUT = "Nothing was exported; run again, and report it if it stays."


def cost(rows: Rows, label: np.ndarray, probabilities: np.ndarray, found: np.ndarray) -> Figures:
    """What narrow tables change on the rows of eval: accuracy, and labels other than those of the trained network."""
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
        wanted, got = (np.pad(each, [(0, 0), (0, width - each.shape[1])] + [(0, 0)] * (each.ndim - 2)) for each in (wanted, got))
    return zip(wanted, got, strict=True)


def _place(rows: Rows, number: int) -> str:
    _, path, row = rows.places[number]
    content = tf.io.parse_single_example(rows.examples[number], raw_features(rows.content))[rows.content]
    value = content.numpy().decode(errors="replace") if rows.content == features.TEXT else content.values.numpy().tolist()
    return f"Parity fails at {path.parent.name}/{path.name}, row {row} ({_short(value)})"


def _short(value: Any, size: int = 60) -> str:
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.dtype.kind == "i" else [round(float(each), 6) for each in value.ravel()[:40]]
    text = repr(value)
    return text if len(text) <= size else f"{text[:size]}..."
