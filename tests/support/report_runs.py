"""The records and small files of runs for the tests of reports."""

import copy
import random
from typing import Any

from components.evaluator import EvaluatorParams
from components.evaluator.gates import judge
from components.evaluator.metrics import classification, of_slice
from components.evaluator.paired import compare_with_served
from components.evaluator.tally import Tally
from components.infra_validator import InfraValidatorParams
from components.infra_validator import gates as server_gates
from seqline.gates import Gate, refusals
from seqline.intervals import wilson_interval
from tests.support.report_curves import curves_of

STAGES = (
    *("example_gen", "statistics_gen", "schema_gen", "example_validator", "transform"),
    *("trainer", "exporter", "evaluator", "infra_validator", "pusher"),
)
LABELS = ["animals", "fruit", "metals"]
# Accuracy of a linear model that is better than the SimpleRNN, whose accuracy is a little over 0.9.
BETTER = 0.985


def evaluation_of(
    labels: list[str],
    texts: list[str],
    num_rows: int = 2000,
    with_served: bool = True,
    linear: float = 0.85,
    **thresholds: Any,
) -> dict[str, Any]:
    """An evaluation as the evaluator makes it, of random rows.

    Args:
        labels: of the rows.
        texts: of the rows that are listed as examples.
        num_rows: how many rows.
        with_served: whether a served version is compared with.
        linear: the linear model's accuracy.
        **thresholds: of the evaluator's params.
    """
    tally, slices = _tallies(labels, num_rows)
    sure, unsure = (
        [_example(labels, number, text, is_sure) for number, text in enumerate(texts)]
        for is_sure in (True, False)
    )

    metric = classification(labels, tally.cells, 0.5)
    curves, areas = curves_of(labels)
    metric |= {
        "roc_auc": 0.98,
        "ece": 0.06,
        "served": _compared_with_served(tally, labels) if with_served else None,
        "slices": [
            {
                "feature": "label",
                "value": label,
                **of_slice(counts, 5),
                "served": compare_with_served(counts, 0.0) if with_served else None,
            }
            for label, counts in slices.items()
        ],
        "calibration": _calibration(),
        "curves": curves,
    }
    for label, of_class in areas.items():
        metric["classes"][label] |= of_class

    compared = {"majority class": 1 / len(labels), "tf-idf + logistic regression": linear}
    params = EvaluatorParams(**{"min_accuracy": 0.5, "max_ece": 0.05, **thresholds})
    gates = judge(metric, compared, params)
    return {
        **metric,
        "hardest": unsure,
        "confidently_wrong": sure,
        "baselines": compared,
        "gates": [gate.to_json() for gate in gates],
        "blessed": not refusals(gates),
        "refusals": refusals(gates),
    }


def _tallies(labels: list[str], num_rows: int) -> tuple[Tally, dict[str, Tally]]:
    """Counts of random rows, in all and by label."""
    chance = random.Random(0)
    tally, slices = Tally(), {label: Tally() for label in labels}
    for number in range(num_rows):
        truth = number % len(labels)
        predicted, served_before = (
            truth if chance.random() < share else chance.randrange(len(labels))
            for share in (0.9, 0.85)
        )

        for counts in (tally, slices[labels[truth]]):
            counts.cells[truth, predicted] += 1
            counts.served_cells[truth, served_before] += 1
            counts.lost += served_before == truth != predicted
            counts.gained += predicted == truth != served_before
    return tally, slices


def _compared_with_served(tally: Tally, labels: list[str]) -> dict[str, Any]:
    return {
        "digest": "d" * 64,
        **compare_with_served(tally, 0.0),
        "level": 0.04,
        "slice_level": 0.001,
        "new_labels": labels[:1],
        "lost_labels": [],
    }


def _calibration() -> list[dict[str, Any]]:
    return [
        {
            "low": 0.4,
            "high": 0.5,
            "num_rows": 500,
            "confidence": 0.45,
            "accuracy": 0.5,
            "accuracy_interval": wilson_interval(0.5, 500),
        },
        {
            "low": 0.9,
            "high": 1.0,
            "num_rows": 1500,
            "confidence": 0.97,
            "accuracy": 0.9,
            "accuracy_interval": wilson_interval(0.9, 1500),
        },
    ]


def _example(labels: list[str], number: int, text: str, is_sure: bool) -> dict[str, Any]:
    """A listed row, from a line of a file, a row of one, a whole file, or unknown: by turns."""
    places: list[dict[str, Any]] = [
        {"source": {"file": "data/reviews.csv", "line": 12 + number}},
        {"source": {"file": "data/reviews.parquet", "row": 1012 + number}},
        {"source": {"file": f"texts/{labels[0]}/{number}.txt"}},
        {},
    ]

    row = {
        "shard": "data_tfrecord-00000-00000-00000.gz",
        "row": 2 * number + is_sure,
        "label": labels[0],
        **places[number % 4],
    }

    answer = labels[-1] if is_sure or number % 2 else labels[0]
    given, other = (0.99, 0.001) if is_sure else (0.45, 0.44)
    row |= {
        "predicted": answer,
        "probability": given,
        "probability_of_label": given if answer == labels[0] else other,
    }

    return {
        **row,
        "runner_up": labels[0] if answer == labels[-1] else labels[-1],
        "probability_of_runner_up": other,
        "text": text,
    }


def stages_of(
    labels: list[str],
    texts: list[str],
    content: str = "text",
    with_served: bool = True,
    **given: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(executions, files) of a whole run over rows with these labels.

    **given goes to `evaluation_of`.
    """
    rows = {split: dict.fromkeys(labels, 20) for split in ("train", "eval", "test")}
    evaluation = evaluation_of(labels, texts, with_served=with_served, **given)
    figures = _figures(rows, texts, content, evaluation)
    params: dict[str, dict[str, Any]] = {
        "example_gen": {"source": texts[0] if texts else "rows.csv", "content": content},
        "trainer": {"num_epochs": 2, "rnn_units": 64},
        "exporter": {"parity_tolerance": None},
        "infra_validator": {"max_difference": 1e-6, "max_p99_seconds": 0.5},
    }
    executions = {
        name: {"figures": figures[name], "params": params.get(name, {})} for name in STAGES
    }

    files = {
        "example_gen": ("examples.json", {"content": content, "spans": _spans(rows)}),
        "statistics_gen": ("statistics.json", _statistics(texts, content)),
        "example_validator": ("anomalies.json", _anomalies(texts)),
        "trainer": ("history.json", _history()),
        "evaluator": ("evaluation.json", evaluation),
    }
    return copy.deepcopy(executions), files


def _spans(rows: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "key": f"span {number}",
            "num_read": 60,
            "num_rows": rows,
            "num_bad": {"text": 1},
        }
        for number in (0, 1)
    ]


def _statistics(texts: list[str], content: str) -> dict[str, Any]:
    oov = {
        "rate": 0.071,
        "expected": 0.07,
        "num": 5,
        "num_distinct": 4,
        "overlap": 1.0,
        "top": [{"value": text, "count": 2} for text in texts],
    }
    length = {"min": 1, "max": 9, "mean": 4.5, "quantiles": {"0.01": 1, "0.5": 4, "0.99": 9}}
    tokens = {"num": 100, "num_distinct": 50, "num_once": 20}

    splits = {
        split: {
            "tokens": (
                None
                if content == "sequence"
                else {**tokens, "oov": None if split == "train" else oov}
            ),
            "lengths": {"num_tokens": length},
        }
        for split in ("train", "eval", "test")
    }
    newest = {
        "span": 1,
        "earlier": [0],
        "repeated": {"num_rows": 3, "examples": texts},
        "tokens": oov,
        "chars": oov,
    }
    return {"content": content, "splits": splits, "newest": newest}


def _anomalies(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "split": "test",
            "feature": "label",
            "kind": "label_skew",
            "severity": "warning",
            "line": f"test: {text}",
            "examples": texts,
        }
        for text in texts
    ]


def _history() -> dict[str, list[float]]:
    return {
        "loss": [1.0, 0.5],
        "accuracy": [0.5, 0.8],
        "val_loss": [0.9, float("nan")],
        "val_accuracy": [0.6, 0.7],
    }


def _infra() -> dict[str, Any]:
    measured = {"p50_seconds": 0.003, "p99_seconds": 0.011, "rss_mb": 800.5, "load_seconds": 7.1}
    asked = Gate("server", 1e-8, 1e-6, True, "64 rows answered as the evaluator had")
    limits = server_gates.limits(measured, InfraValidatorParams(max_p99_seconds=0.5))
    return {
        "blessed": True,
        "refusals": [],
        "server": "embedded",
        "asked": True,
        "digest": "m" * 64,
        "num_rows": 64,
        "num_warmup": 2,
        "difference": 1e-8,
        **measured,
        "gates": [gate.to_json() for gate in (asked, *limits)],
    }


def _figures(
    rows: dict[str, dict[str, int]], texts: list[str], content: str, evaluation: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The figures of each stage."""
    transform = {
        "num_tokens": 40,
        "num_distinct_tokens": 50,
        "oov_rate": 0.02,
        "max_length": 64,
        "max_length_from_data": True,
        "num_cut": 0,
        "num_rows": {},
        "vocabulary_drift": {"num_new": 3, "num_gone": 2, "new_token_rate": 0.01},
    }
    measured = {
        name: evaluation[name]
        for name in ("accuracy", "accuracy_interval", "baselines", "gates", "blessed")
    }
    if evaluation["served"]:
        measured["served"] = {**evaluation["served"], "version": 1}

    return {
        "example_gen": {"num_rows": rows, "num_read": 123, "num_bad_rows": 2},
        "statistics_gen": {"num_duplicates": {"test in train": 4}, "num_ambiguous_texts": 1},
        "schema_gen": {"num_features": 4},
        "example_validator": {
            "num_errors": 0,
            "num_warnings": len(texts),
            "kinds": ["label_skew"],
            "lines": texts,
        },
        "transform": {"content": content} if content == "sequence" else transform,
        "trainer": {
            "num_parameters": 1234,
            "num_epochs": 2,
            "best_epoch": 2,
            "train_accuracy": 0.8,
            "eval_accuracy": 0.7,
            "eval_loss": 0.5,
        },
        "exporter": {
            "num_bytes": 1000,
            "max_difference": 2e-7,
            "difference": 8e-7,
            "tolerance": 1e-5,
            "table_dtype": "float32",
            "num_rows": 10,
        },
        "evaluator": measured,
        "infra_validator": _infra(),
        "pusher": {
            "version": 2,
            "digest": "m" * 64,
            "pushed": True,
            "rolled_back": False,
            "serving_dir": "/served here",
        },
    }
