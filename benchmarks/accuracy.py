"""Test accuracy of the default configuration, next to a linear model and two simpler networks.

    python -m benchmarks.accuracy [--seeds 3] [--datasets bbc_news mr ...]

BBC News comes with the extra `sample`; the other sets are JSONL files
`<data>/<set>/{train,test}.jsonl`. Every model is made by `seqline run` on the same splits: `last
state` with trainer.pooling=last, `no skip` with trainer.skip_dim=0. The linear model is logistic
regression on tf-idf, on statistics of the numbers for sequences. The last line is one JSON object
with the figures.
"""

import json
import statistics
import tempfile
from pathlib import Path

from benchmarks.common import Table, parser, print_result, seqline, settings

WAYS: dict[str, dict[str, object]] = {
    "seqline": {},
    "last state": {"trainer.pooling": "last"},
    "no skip": {"trainer.skip_dim": 0},
}
SETS = ["bbc_news", "mr", "sms_spam", "trec6", "agnews_small", "surnames", "japanese_vowels"]
# What a set needs besides its files: characters as tokens for names, its columns and the content of
# its rows.
SETTINGS: dict[str, dict[str, object]] = {
    "surnames": {"transform.tokens": "char", "evaluator.baseline": "char"},
    "japanese_vowels": {"example_gen.content": "sequence", "example_gen.text": "sequence"},
}


def settings_of(name: str, data: Path) -> dict[str, object]:
    """The settings that a set needs besides the defaults."""
    if name == "bbc_news":
        return {"evaluator.min_accuracy": 0.0}
    files = {
        f"example_gen.source.{split}": str((data / name / f"{split}.jsonl").resolve())
        for split in ("train", "test")
    }
    return {**files, **SETTINGS.get(name, {})}


def evaluate(name: str, values: dict[str, object], work: Path) -> dict[str, float]:
    """Runs the pipeline up to the evaluator; returns its figures and the seconds of training."""
    empty = work / "empty.toml"
    empty.write_text("")
    config = "bbc_news" if name == "bbc_news" else str(empty)
    root = ["--root", str(work / "artifacts")]
    places = [*root, "--data-dir", str(work / "data")]
    seqline("run", config, *places, "--to", "evaluator", *settings(values))

    executions = json.loads(seqline("show", "--json", *root).stdout)["executions"]
    figures, training = executions["evaluator"]["figures"], executions["trainer"]
    [linear] = [value for name, value in figures["baselines"].items() if "logistic" in name]

    return {
        "accuracy": figures["accuracy"],
        "eval_accuracy": training["figures"]["eval_accuracy"],
        "linear": linear,
        "majority": figures["baselines"]["majority class"],
        "train_seconds": training["seconds"],
    }


def main() -> None:
    arguments = parser(__doc__, datasets=SETS)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    given = arguments.parse_args()

    table = Table(
        ("set", "<16"),
        *((way, "<16") for way in given.ways),
        ("linear", "8.3f"),
        ("majority", "8.3f"),
        ("train s", "8.1f"),
    )

    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.datasets:
            base = settings_of(name, given.data)
            runs = {
                way: [
                    evaluate(name, {**base, **WAYS[way], "trainer.seed": seed}, Path(folder))
                    for seed in range(given.seeds)
                ]
                for way in given.ways
            }

            first = runs[given.ways[0]]
            accuracies = {way: [run["accuracy"] for run in each] for way, each in runs.items()}
            cells = [
                f"{statistics.mean(values):.3f} +- {statistics.pstdev(values):.3f}"
                for values in accuracies.values()
            ]
            seconds = statistics.mean(run["train_seconds"] for run in first)
            table.row(name, *cells, first[0]["linear"], first[0]["majority"], seconds)
            results[name] = {
                **accuracies,
                "eval": [run["eval_accuracy"] for run in first],
                "linear": first[0]["linear"],
            }

    print_result(results)


if __name__ == "__main__":
    main()
