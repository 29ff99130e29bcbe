"""The readers of small files: what each reads, and what it says of a damaged one."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components import example_validator, span_validator
from components.bulk_inferrer import folder as predictions
from components.example_gen.row_counts import Nearest, RowCounts
from components.statistics_gen import totals
from components.statistics_gen.histogram import Histogram
from components.trainer import TrainerParams, best, earlier
from components.tuner import trials
from pipeline.retrain import state
from pipeline.store.folder import Store
from pipeline.store.records import Execution, RunRecord, StageRecord
from seqline.data import origins
from seqline.data.answers import read_answers
from seqline.data.blessing import InfraBlessing
from seqline.data.evaluation import Evaluation
from seqline.data.manifest import Manifest, RareClass, Span, read_manifest
from seqline.data.schema_origin import SchemaOrigin
from seqline.data.statistics import Statistics
from seqline.data.transform_summary import read_summary
from seqline.model import identity
from seqline.model.spec import Spec, read_spec
from seqline.storage import records
from tests.support.evaluations import evaluation
from tests.support.records import execution, run_record

AGAIN = "seqline run --verify makes it again."


@dataclass(frozen=True)
class Reader:
    """A kind of record.

    Attributes:
        file: its path in a folder.
        content: what it holds.
        required: see `contents`.
        count: see `contents`.
        read: reads it from the folder.
        way_out: the end of the message, with {folder} and {file}.
        encode: see `contents`.
        allowed: the damages that leave a record as it may be.
    """

    file: str
    content: Any
    required: Sequence[str | int]
    count: Sequence[str | int] | None
    read: Callable[[Path], Any]
    way_out: str = AGAIN
    encode: Callable[[str], bytes] = str.encode
    allowed: Sequence[str] = ()


def of_span(folder: Path) -> RowCounts:
    from components.example_gen import part_files  # it imports Beam

    return part_files.read_counts(folder)


def moments(folder: Path) -> Any:
    from components.transform.analysis import moments_of  # it imports TensorFlow

    return moments_of([folder])


def history(folder: Path) -> Any:
    from components.exporter import card  # it imports TensorFlow

    return card.training(folder)


def with_rows(head: str) -> bytes:
    """The origins of one row."""
    return gzip.compress(head.encode() + b"\n" + bytes(12))


TOP = [{"value": "a", "count": 2}]
ENTRIES = {
    **dict.fromkeys(("num", "num_distinct", "num_once", "num_unspaced"), 3),
    "num_unspaced_once": 0,
    "top": TOP,
    "oov": None,
}
SPLIT = {
    **dict.fromkeys(("num_rows", "num_distinct", "num_repeated", "num_copies"), 1),
    "num_missing": {"text": 0, "label": 0},
    "top_values": TOP,
    "duplicates": {},
    "ambiguous": {"num_texts": 0, "num_rows": 0, "examples": []},
    "labels": {"a": 1},
    "label_examples": {"a": "text"},
    "lengths": {},
    "dimensions": None,
    "tokens": ENTRIES,
    "chars": None,
}
OF_SPAN = {
    "content": "text",
    "dim": None,
    "splits": {"train": SPLIT},
    "ambiguous": SPLIT["ambiguous"],
    "num_read": 1,
    "num_bad": {},
}
GATE = {"name": "g", "value": 0.5, "threshold": 1, "passed": True, "reason": "r"}
BLESSING = InfraBlessing(blessed=True, refusals=[], server="none", asked=False, digest="d")
HISTOGRAM = Histogram(np.array([1]), np.array([2]))
PREDICTIONS = {
    "model": {"digest": "d", "version": None},
    "source": {"digest": "d", "unused_files": [{"reason": "hidden", "count": 1, "names": ["a"]}]},
    "num_rows": 1,
    "num_labels": {"a": 1},
    "num_bad_rows": 0,
    "bad_rows": {},
    "quoted": [],
    "files": [{"name": "p", "num_rows": 1, "first": "a:1"}],
}
NOTE = {
    "last": True,
    "name": "p",
    "num_rows": 1,
    "first": "a:1",
    "num_labels": {"a": 1},
    "bad_rows": [{"file": "a", "line": 2, "reason": "r", "problem": "type"}],
}

SPEC = Spec(
    num_tokens=3,
    num_classes=2,
    max_length=4,
    embedding_dim=2,
    rnn_units=2,
    bidirectional=False,
    pooling="max",
    masking=True,
    recurrent_gain=1.0,
    embedding_scale=0.5,
    word_dropout=0.0,
    dropout=0.0,
    skip_dim=0,
    skip_gain=1.0,
    skip_dropout=0.0,
    branch_dropout=0.0,
    seed=0,
)

READERS = {
    "run.json": Reader(
        "run.json",
        run_record("r", stages=[StageRecord("trainer", "k", False, "r", 1.0)]).as_json(),
        ("stages", 0, "cached"),
        None,
        lambda folder: RunRecord.read(folder / "run.json"),
        "Remove {folder}; artifacts do not need it.",
    ),
    "execution.json": Reader(
        "execution.json",
        asdict(execution("trainer", "k", figures={"accuracy": 0.5})),
        ("seconds",),
        ("seconds",),
        lambda folder: Execution.read(folder / "execution.json"),
        "Remove {folder}; the next run makes the artifact again.",
        allowed=("no count: -1", "no count: 0.5"),
    ),
    "state.json": Reader(
        "retrain/m/state.json",
        {
            "last": None,
            "attempt": None,
            "pushes": [{"digest": "d", "version": 1, "run": "r", "spans": {}, "model": "k"}],
            "left_out": {},
        },
        ("pushes", 0, "version"),
        None,
        lambda folder: state.load(Store(folder), "m"),
        "Remove it: the next retraining then judges everything again.",
    ),
    "examples.json": Reader(
        "examples.json",
        asdict(
            Manifest(
                "text",
                None,
                (Span(0, "k", num_read=1, num_rows={"train": {"a": 1}}),),
                (RareClass("a", {"eval": 1}, "a.csv:3", "kept"),),
            )
        ),
        ("spans", 0, "number"),
        ("spans", 0, "num_read"),
        read_manifest,
    ),
    "origins": Reader(
        "origins/test-shard.gz",
        {"unit": "line", "files": [[0, "a.csv"]]},
        ("files", 0),
        ("files", 0, 0),
        lambda folder: origins.read(origins.path_in(folder, "test", "shard.gz")),
        encode=with_rows,
    ),
    "span.json": Reader(
        "span.json",
        asdict(RowCounts(num_read=1, nearest={"a": Nearest(2**64 - 1, 1)})),
        ("nearest", "a", 0),
        None,
        of_span,
        "Remove {folder}; the next run reads its span again.",
    ),
    "statistics.json": Reader(
        "statistics.json",
        {**OF_SPAN, "spans": {"0": OF_SPAN}, "newest": None},
        ("spans", "0", "splits", "train", "num_rows"),
        ("splits", "train", "tokens", "num_once"),
        lambda folder: records.of_artifact(Statistics, folder / "statistics.json"),
    ),
    "totals": Reader(
        "train.json",
        {
            **dict.fromkeys(("num_rows", "num_bytes"), 1),
            **{name: {} for name in ("num_missing", "labels")},
            "lengths": {"num_chars": HISTOGRAM.to_json()},
            "chars": None,
            "numbers": None,
            "examples": {"label a": [1, 2, "text"]},
        },
        ("lengths", "num_chars", 0, 0),
        ("num_rows",),
        lambda folder: totals.read(folder / "train.json"),
        "Remove {folder}; the next run counts its span again.",
    ),
    "anomalies.json": Reader(
        "anomalies.json",
        [
            {
                "split": "train",
                "feature": "text",
                "kind": "few_rows",
                "severity": "warning",
                "line": "few",
                "examples": [],
            }
        ],
        (0, "severity"),
        None,
        lambda folder: example_validator.gate(folder, example_validator.ExampleValidatorParams()),
    ),
    "origin.json": Reader(
        "origin.json",
        {"curated": False},
        ("curated",),
        None,
        lambda folder: records.of_artifact(SchemaOrigin, folder / "origin.json"),
    ),
    "spans.json": Reader(
        "spans.json",
        {"served": "d", "known": None, "spans": {}, "gates": [GATE], "refused": {}},
        ("gates", 0, "reason"),
        None,
        lambda folder: span_validator.gate(folder, span_validator.SpanValidatorParams()),
        allowed=('another type: "no"', 'another type: "3"'),
    ),
    "transform.json": Reader(
        "transform.json",
        {"content": "text", "dim": None, "max_length": 9, "num_rows": {"train": 1}, "x": 1},
        ("max_length",),
        ("num_rows", "train"),
        read_summary,
    ),
    "history.json": Reader(
        "history.json",
        {"val_accuracy": [0.5], "val_loss": [0.5]},
        ("val_loss",),
        None,
        history,
    ),
    "best.json": Reader(
        "best.json",
        {"dropout": 0.25, "batch_size": 32},
        ("batch_size",),
        ("batch_size",),
        lambda folder: best.read(folder, TrainerParams()),
        allowed=("a field is missing",),
    ),
    "trials.json": Reader(
        "trials.json",
        [asdict(trials.Trial(0, {"dropout": 0.5}, "finished", 0.5, 1.0, 1, 2.0, [0.5]))],
        (0, "epochs"),
        (0, "epochs"),
        trials.load,
        "Remove it; the search then begins again.",
    ),
    "answers.jsonl": Reader(
        "answers.jsonl",
        {"row": {"text": "a"}, "probabilities": [0.25, 0.75], "label": "b", "class_id": 1},
        ("row",),
        None,
        lambda folder: read_answers(folder / "answers.jsonl"),
        encode=lambda text: f"{text}\n".encode(),
    ),
    "blessing.json": Reader(
        "blessing.json",
        asdict(BLESSING),
        ("blessed",),
        None,
        lambda folder: InfraBlessing.read(folder / "blessing.json"),
    ),
    "evaluation.json": Reader(
        "evaluation.json",
        evaluation().to_json(),
        ("blessed",),
        None,
        lambda folder: Evaluation.read(folder / "evaluation.json"),
    ),
    "model.json": Reader(
        "assets.extra/model.json",
        {"labels": ["a", "b"], "content": "text", "keys": {}, "parity": {"tolerance": 1e-5}},
        ("parity", "tolerance"),
        None,
        identity.of_folder,
        "Remove {folder}, and push a model again.",
    ),
    "network.json": Reader(
        "network.json",
        asdict(SPEC),
        ("num_classes",),
        ("num_classes",),
        read_spec,
        "Copy or train the Model again.",
    ),
    "start.json": Reader(
        "start.json",
        {"in_a_row": 1},
        ("in_a_row",),
        None,
        lambda folder: earlier.started(str(folder), folder),
        "Name another Model, or copy it again with all its files.",
    ),
    "task.json": Reader(
        "task.json",
        {"model": "d", "source": "d", "settings": {}},
        ("model",),
        None,
        lambda folder: predictions._identity_of(folder, force=False),
        "Name another folder, or replace its predictions with --force.",
        allowed=('another type: "no"', 'another type: "3"'),
    ),
    "predictions.json": Reader(
        "predictions.json",
        PREDICTIONS,
        ("source", "unused_files", 0, "reason"),
        ("num_rows",),
        predictions.finished,
        "Remove it; everything is predicted again.",
    ),
    "the predictions of an artifact": Reader(
        "predictions.json",
        PREDICTIONS,
        ("num_rows",),
        ("num_rows",),
        lambda folder: predictions.totals_of(folder, AGAIN),
    ),
    "the note of a chunk": Reader(
        "chunks/00000-00000.json",
        NOTE,
        ("last",),
        ("num_rows",),
        predictions.done,
        "Remove it; its chunk is predicted again.",
    ),
    "moments": Reader(
        "moments/shard.json",
        {"count": 2, "mean": [0.5], "squares": [0.25]},
        ("mean", 0),
        ("count",),
        moments,
        "Remove {folder}; the next run counts its span again.",
    ),
}
