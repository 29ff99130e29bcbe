"""Test accuracy, cross-entropy and calibration of the default, beside a linear model and its parts.

    python -m benchmarks.accuracy [--seeds 3] [--datasets bbc_news mr ...] [--ways seqline wide ...]

BBC News comes with the extra `sample`; the other sets are JSONL files
`<data>/<set>/{train,test}.jsonl`. Every model is made by `seqline run` on the same splits: `wide`
with trainer.recurrent=false, `recurrent` with trainer.wide=false and no skip branch, `last state`
(the tutorial's model) with trainer.pooling=last. The linear model is logistic regression on tf-idf
(C = 10, words 1-2, or characters 1-4 where these are seqline's tokens), on statistics of the
numbers for sequences, fitted to the same rows: train and eval. ECE is the expected calibration
error over 15 bins of equal width. The last line is one JSON object with the figures.
"""

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Table, parser, print_result, seqline, settings

WAYS: dict[str, dict[str, object]] = {
    "seqline": {},
    "wide": {"trainer.recurrent": False},
    "recurrent": {"trainer.wide": False, "trainer.skip_dim": 0},
    "last state": {"trainer.pooling": "last"},
}
SETS = ["bbc_news", "mr", "sms_spam", "trec6", "agnews_small", "surnames", "japanese_vowels"]
# Sets of sequences have no n-grams.
SEQUENCES = {"japanese_vowels"}
# What a set needs besides its files: characters as tokens for names, its columns and the content of
# its rows.
SETTINGS: dict[str, dict[str, object]] = {
    "surnames": {"transform.tokens": "char"},
    "japanese_vowels": {"example_gen.content": "sequence", "example_gen.text": "sequence"},
}
MEASURES = ("accuracy", "cross_entropy", "ece")
NUM_BINS = 15


def settings_of(name: str, data: Path) -> dict[str, object]:
    """The settings that a set needs besides the defaults."""
    if name == "bbc_news":
        return {"evaluator.min_accuracy": 0.0}
    files = {
        f"example_gen.source.{split}": str((data / name / f"{split}.jsonl").resolve())
        for split in ("train", "test")
    }
    # For texts it is fitted here, once for all runs.
    baseline = {} if name in SEQUENCES else {"evaluator.baseline": "none"}
    return {**files, **baseline, **SETTINGS.get(name, {})}


def evaluate(name: str, values: dict[str, object], work: Path) -> dict[str, Any]:
    """Runs the pipeline up to the evaluator; returns its figures and the seconds of training."""
    empty = work / "empty.toml"
    empty.write_text("")
    config = "bbc_news" if name == "bbc_news" else str(empty)
    root = ["--root", str(work / "artifacts")]
    places = [*root, "--data-dir", str(work / "data")]
    seqline("run", config, *places, "--to", "evaluator", *settings(values))

    run = json.loads(seqline("show", "--json", *root).stdout)
    figures, training = (run["executions"][stage]["figures"] for stage in ("evaluator", "trainer"))
    return {
        **{measure: figures[measure] for measure in MEASURES},
        "eval_accuracy": training["eval_accuracy"],
        "baselines": figures["baselines"],
        "train_seconds": run["executions"]["trainer"]["seconds"],
        "tokens": run["executions"]["transform"]["figures"].get("tokens"),
        "examples": str(work / "artifacts" / "example_gen" / run["uses"]["example_gen"][0]),
    }


def read_splits(examples: Path, *splits: str) -> tuple[list[str], np.ndarray]:
    """(texts, labels) of some splits of Examples."""
    import tensorflow as tf

    files = [str(path) for name in splits for path in (examples / f"Split-{name}").glob("*.gz")]
    files.sort()
    texts, labels = [], []
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        texts.append(feature["text"].bytes_list.value[0].decode())
        labels.append(feature["label"].bytes_list.value[0].decode())
    return texts, np.array(labels)


def linear(examples: Path, tokens: str) -> dict[str, float]:
    """The measures of tf-idf and logistic regression, fitted to the same rows.

    Args:
        tokens: The model's, `word` or `char`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        sublinear_tf=True,
        analyzer=tokens,
        ngram_range=(1, 4) if tokens == "char" else (1, 2),
    )
    classifier = LogisticRegression(C=10, max_iter=1000)
    texts, labels = read_splits(examples, "train", "eval")
    classifier.fit(vectorizer.fit_transform(texts), labels)

    texts, labels = read_splits(examples, "test")
    probabilities = classifier.predict_proba(vectorizer.transform(texts))
    right = probabilities[classifier.classes_[None] == labels[:, None]]
    best = probabilities.max(axis=1)
    is_right = classifier.classes_[probabilities.argmax(axis=1)] == labels
    bins = np.minimum((best * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [abs(float((best - is_right)[bins == number].sum())) for number in range(NUM_BINS)]
    return {
        "accuracy": float(is_right.mean()),
        "cross_entropy": float(-np.log(right).mean()),
        "ece": sum(gaps) / len(labels),
    }


def mean(runs: list[dict[str, Any]], measure: str) -> float:
    return float(np.mean([run[measure] for run in runs]))


def main() -> None:
    arguments = parser(__doc__, datasets=SETS)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    given = arguments.parse_args()

    columns = ((measure, "8.3f") for measure in MEASURES)
    table = Table(("set", "<16"), ("model", "<12"), *columns, ("+-", "6.3f"), ("train s", "8.1f"))
    results: dict[str, dict[str, Any]] = {}
    means: dict[str, list[float]] = defaultdict(list)

    with tempfile.TemporaryDirectory() as folder:
        for name in given.datasets:
            base = settings_of(name, given.data)
            results[name] = {}
            for way in given.ways:
                if name in SEQUENCES and way == "wide":
                    continue
                runs = [
                    evaluate(name, {**base, **WAYS[way], "trainer.seed": seed}, Path(folder))
                    for seed in range(given.seeds)
                ]
                figures = [mean(runs, measure) for measure in MEASURES]
                spread = float(np.std([run["accuracy"] for run in runs]))
                table.row(name, way, *figures, spread, mean(runs, "train_seconds"))
                results[name][way] = {
                    measure: [run[measure] for run in runs] for measure in MEASURES
                }
                means[way].append(figures[0])

            baselines = dict(runs[0]["baselines"])
            results[name]["baselines"] = baselines
            if name in SEQUENCES:
                [figures] = [[value] for known, value in baselines.items() if "logistic" in known]
            else:
                results[name]["linear"] = linear(Path(runs[0]["examples"]), runs[0]["tokens"])
                figures = list(results[name]["linear"].values())
            table.row(name, "linear", *figures, *[None] * (5 - len(figures)))
            means["linear"].append(figures[0])

    for way, accuracies in means.items():
        table.row("mean", way, sum(accuracies) / len(accuracies), *[None] * 4)
    print_result(results)


if __name__ == "__main__":
    main()
