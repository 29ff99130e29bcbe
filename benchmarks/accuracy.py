"""Test accuracy of one default configuration beside a linear model, the tutorials' model and the
SimpleRNN without its skip branch.

    python benchmarks/accuracy.py --data ../shared/data [--seeds 3] [--sets bbc_news mr ...]

BBC News comes with the extra `sample`; the other sets are JSONL files
`<data>/<set>/{train,test}.jsonl`. Every model is made by `seqline run` on the same splits: `last
state` with trainer.pooling=last, `no skip` with trainer.skip_dim=0. The linear model is logistic
regression on tf-idf, on statistics of the numbers for sequences. The last line is one JSON object
with the figures.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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
    """What a set needs besides the defaults."""
    if name == "bbc_news":
        return {"evaluator.min_accuracy": 0.0}
    files = {
        f"example_gen.source.{split}": str((data / name / f"{split}.jsonl").resolve())
        for split in ("train", "test")
    }
    return {**files, **SETTINGS.get(name, {})}


def evaluate(name: str, settings: dict[str, object], work: Path) -> dict[str, float]:
    """Runs the pipeline up to the evaluator; returns its figures and the seconds of training."""
    config = work / "empty.toml"
    config.write_text("")
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    root = [
        "--root",
        str(work / "artifacts"),
        "--data-dir",
        str(work / "data"),
        "--to",
        "evaluator",
    ]
    chosen = ["--config", "bbc_news" if name == "bbc_news" else str(config)]
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *chosen, *flags, *root],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "show", "--json", "--root", str(work / "artifacts")],
        check=True,
        capture_output=True,
    )
    executions = json.loads(shown.stdout)["executions"]
    figures = executions["evaluator"]["figures"]
    return {
        "accuracy": figures["accuracy"],
        "eval_accuracy": executions["trainer"]["figures"]["eval_accuracy"],
        "linear": next(
            value for baseline, value in figures["baselines"].items() if "logistic" in baseline
        ),
        "majority": figures["baselines"]["majority class"],
        "train_seconds": executions["trainer"]["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    arguments = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    print(
        f"{'set':<16}"
        + "".join(f"{way:>17}" for way in arguments.ways)
        + f"{'linear':>9} {'majority':>9} {'train s':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets:
            base = settings_of(name, arguments.data)
            found = {
                way: [
                    evaluate(name, {**base, **WAYS[way], "trainer.seed": seed}, Path(folder))
                    for seed in range(arguments.seeds)
                ]
                for way in arguments.ways
            }
            first = found[arguments.ways[0]]
            results[name] = {
                way: [each["accuracy"] for each in runs] for way, runs in found.items()
            }
            results[name] |= {
                "eval": [each["eval_accuracy"] for each in first],
                "linear": first[0]["linear"],
            }
            cells = [[each["accuracy"] for each in runs] for runs in found.values()]
            texts = [
                f"{statistics.mean(values):.3f} +- {statistics.pstdev(values):.3f}"
                for values in cells
            ]
            seconds = statistics.mean(each["train_seconds"] for each in first)
            print(
                f"{name:<16}" + "".join(f"{text:>17}" for text in texts),
                f"{first[0]['linear']:>8.3f} {first[0]['majority']:>9.3f} {seconds:>8.1f}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
