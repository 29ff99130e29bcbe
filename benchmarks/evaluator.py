"""Time and memory of the evaluator, against the same figures by scikit-learn in memory.

    python -m benchmarks.evaluator [--dataset agnews_small] [--rows 100000 300000]

A small model is trained on the train rows; the test rows are repeated, each time with a token of
its own, and written as Examples. Both ways ask the same SavedModel through `serving_default` in
batches of 256; the peer keeps texts, labels and probabilities, and then calls scikit-learn:
accuracy, macro F1, cross-entropy, ROC AUC, average precision, top-2 accuracy, the calibration
curve, and the same by label and by length. Seconds are of the whole way, without imports. Each way
runs in a process of its own; the figures of both are compared.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    Table,
    in_own_process,
    measured,
    parser,
    peak_mb,
    print_result,
    read_jsonl,
)

Pairs = list[tuple[bytes, bytes]]


def read_pairs(path: Path) -> Pairs:
    return [(row["text"].encode(), row["label"].encode()) for row in read_jsonl(path)]


def write_split(root: Path, split: str, rows: Pairs, num_rows: int) -> dict[str, int]:
    """The rows, repeated, in shards as example_gen bounds them; returns label -> rows."""
    from seqline.data import examples

    per_shard = examples.SHARD_BYTES * len(rows) // sum(len(text) + 64 for text, _ in rows)
    (root / f"Split-{split}").mkdir(parents=True)

    counts: dict[str, int] = {}
    for part, start in enumerate(range(0, num_rows, per_shard)):
        numbers = range(start, min(start + per_shard, num_rows))
        texts = [
            rows[number % len(rows)][0] + (b" u%x" % number if number >= len(rows) else b"")
            for number in numbers
        ]
        labels = [rows[number % len(rows)][1] for number in numbers]
        name = examples.shard_name(0, 0, part)
        examples.write(
            examples.ExampleShard(0, split, name, texts, labels),
            root / f"Split-{split}" / name,
            "text",
        )
        for label in labels:
            counts[label.decode()] = counts.get(label.decode(), 0) + 1

    return counts


def write_examples(data: Path, num_test: int, root: Path) -> None:
    from seqline.data import manifest

    train, test = read_pairs(data / "train.jsonl"), read_pairs(data / "test.jsonl")
    splits = {
        "train": (train[1000:], len(train) - 1000),
        "eval": (train[:1000], 1000),
        "test": (test, num_test),
    }
    counts = {split: write_split(root, split, rows, num) for split, (rows, num) in splits.items()}
    manifest.write_manifest(
        manifest.Manifest("text", None, (manifest.Span(0, f"{num_test}", num_rows=counts),)), root
    )


def train(examples: Path, work: Path) -> None:
    """A SavedModel in <work>/exporter: small, for it is not what is measured."""
    from components import exporter, trainer, transform

    inputs: dict[str, Any] = {"examples": examples}
    small = trainer.TrainerParams(
        embedding_dim=16, rnn_units=16, skip_dim=16, bigram_buckets=0, num_epochs=2
    )
    stages: list[tuple[str, Any, Any, list[str], str]] = [
        (
            "transform",
            transform.run,
            transform.TransformParams(max_length=64),
            ["examples"],
            "features",
        ),
        ("trainer", trainer.run, small, ["features"], "model"),
        (
            "exporter",
            exporter.run,
            exporter.ExporterParams(),
            ["examples", "features", "model"],
            "saved_model",
        ),
    ]

    for name, run, params, needed, made in stages:
        output = work / name
        output.mkdir(parents=True)
        run(**{argument: inputs[argument] for argument in needed}, params=params, output=output)
        inputs[made] = output


def ours(examples: Path, saved_model: Path) -> dict[str, Any]:
    from components.evaluator import EvaluatorParams
    from components.evaluator.evaluation import measure

    evaluation = measure(examples, saved_model / "saved_model", EvaluatorParams(baseline="none"))
    named = {
        name: evaluation[name]
        for name in ("accuracy", "macro_f1", "cross_entropy", "roc_auc", "pr_auc", "ece")
    }
    named["top_2"] = evaluation["top_k_accuracy"]["2"]
    for of_slice in evaluation["slices"]:
        for name in ("accuracy", "macro_f1", "cross_entropy"):
            named[f"{of_slice['feature']}={of_slice['value']} {name}"] = of_slice[name]
    return named


def scikit_learn(examples: Path, saved_model: Path) -> dict[str, Any]:
    import tensorflow as tf
    from sklearn import metrics
    from sklearn.calibration import calibration_curve

    from components.evaluator.rows import rows
    from components.evaluator.slices import bucket

    loaded = tf.saved_model.load(str(saved_model / "saved_model"))
    classes = (saved_model / "saved_model" / "assets" / "labels").read_text().splitlines()
    texts, labels, answers = [], [], []

    for row, label in rows(examples, "test"):
        texts += row["text"].numpy().tolist()
        labels += label.numpy().tolist()
        answers.append(loaded.signatures["serving_default"](**row)["probabilities"].numpy())

    probabilities = np.concatenate(answers)
    truth = np.array([classes.index(label.decode()) for label in labels])
    predicted = probabilities.argmax(axis=1)
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1)
    numbers = list(range(len(classes)))
    one_hot = np.eye(len(classes))[truth]
    right, mean = calibration_curve(
        predicted == truth, probabilities.max(axis=1).astype(np.float64), n_bins=15
    )
    counts = np.histogram(probabilities.max(axis=1).astype(np.float64), np.linspace(0, 1, 16))[0]

    def basic(rows: Any) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that float32 sums to one only nearly
            loss = float(metrics.log_loss(truth[rows], clipped[rows], labels=numbers))
        accuracy = float(metrics.accuracy_score(truth[rows], predicted[rows]))
        f1 = float(metrics.f1_score(truth[rows], predicted[rows], average="macro", zero_division=0))
        return {"accuracy": accuracy, "macro_f1": f1, "cross_entropy": loss}

    named: dict[str, Any] = {
        **basic(slice(None)),
        "roc_auc": float(metrics.roc_auc_score(one_hot, probabilities, average="macro")),
        "pr_auc": float(metrics.average_precision_score(one_hot, probabilities, average="macro")),
        "top_2": float(metrics.top_k_accuracy_score(truth, probabilities, k=2, labels=numbers)),
        "ece": float(np.dot(counts[counts > 0] / len(truth), np.abs(right - mean))),
    }

    for feature, column in (
        ("label", [classes[class_id] for class_id in truth]),
        ("length", [bucket(len(text.split())) for text in texts]),
    ):
        values = np.array(column)
        for value in np.unique(values):
            named |= {
                f"{feature}={value} {name}": figure
                for name, figure in basic(values == value).items()
            }

    return named


WAYS = {"scikit-learn": scikit_learn, "ours": ours}


def measure(way: str, examples: Path, saved_model: Path) -> dict[str, Any]:
    import tensorflow  # noqa: F401 - not part of what is measured

    after_imports = peak_mb()
    metrics, figures = measured(WAYS[way], examples, saved_model)
    return {**figures, "after_imports_mb": after_imports, "metrics": metrics}


def compare(examples: Path, saved_model: Path, num_rows: int, table: Table) -> dict[str, Any]:
    """Both ways on the same rows; prints a line for each."""
    result: dict[str, Any] = {"rows": num_rows}
    metrics: dict[str, dict[str, float]] = {}
    for way in WAYS:
        row = in_own_process(measure, way, examples, saved_model)
        metrics[way] = row.pop("metrics")
        result[way] = {**row, "rows_per_second": round(num_rows / row["wall_seconds"])}
        table.row(
            num_rows,
            way,
            row["wall_seconds"],
            row["cpu_seconds"],
            result[way]["rows_per_second"],
            row["peak_mb"],
            row["after_imports_mb"],
        )

    peer, own = metrics["scikit-learn"], metrics["ours"]
    assert peer.keys() == own.keys(), sorted(peer.keys() ^ own.keys())
    result["num_figures"] = len(own)
    result["largest_difference"] = max(abs(own[name] - peer[name]) for name in own)

    return result


def main() -> None:
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    given = arguments.parse_args()

    table = Table(
        ("rows", "9,"),
        ("way", "<13"),
        ("wall s", "8.1f"),
        ("CPU s", "8.1f"),
        ("rows/s", "8,"),
        ("peak MB", "8"),
        ("after imports", "14"),
    )

    results = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "model")
        for num_rows in given.rows:
            examples = Path(folder, f"examples-{num_rows}")
            in_own_process(write_examples, given.data / given.dataset, num_rows, examples)
            if not work.exists():
                in_own_process(train, examples, work)
            results.append(compare(examples, work / "exporter", num_rows, table))

    for result in results:
        ratio = result["scikit-learn"]["cpu_seconds"] / result["ours"]["cpu_seconds"]
        print(
            f"{result['rows']:,} rows: {ratio:.2f}x less CPU; {result['num_figures']} figures "
            f"differ by {result['largest_difference']:.1g} at most"
        )

    growth = {
        way: round(results[-1][way]["peak_mb"] / results[0][way]["peak_mb"], 2) for way in WAYS
    }
    times = given.rows[-1] / given.rows[0]
    print(
        f"peak memory at {times:.0f} times the rows: {growth['ours']}x, with scikit-learn "
        f"{growth['scikit-learn']}x"
    )
    print_result({"results": results, "peak_growth": growth})


if __name__ == "__main__":
    main()
