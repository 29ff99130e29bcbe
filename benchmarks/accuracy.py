"""Test accuracy of the default configuration beside tf-idf + logistic regression, trained on the same split.

    python benchmarks/accuracy.py --data ../shared/data [--seeds 3] [--sets bbc_news mr ...]

BBC News comes with the extra `sample`; the other sets are JSONL files `<data>/<set>/{train,test}.jsonl`. Every model is
made by `seqline run`. The last line is one JSON object with the figures.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BLOG_POST = {"trainer.pooling": "last"}
SETS = ["bbc_news", "mr", "sms_spam", "trec6", "agnews_small", "surnames"]
TFIDF = "tf-idf + logistic regression"


def settings_of(name: str, data: Path) -> dict[str, object]:
    """What a set needs besides the defaults: its files, and characters as tokens for names."""
    if name == "bbc_news":
        return {"evaluator.min_accuracy": 0.0}
    files = {f"example_gen.source.{split}": str((data / name / f"{split}.jsonl").resolve()) for split in ("train", "test")}
    chars = {"transform.tokens": "char", "evaluator.baseline": "char"} if name == "surnames" else {}
    return {**files, **chars}


def evaluate(name: str, settings: dict[str, object], work: Path) -> dict[str, float]:
    """Runs the pipeline up to the evaluator; returns its figures and the seconds of training."""
    config = work / "empty.toml"
    config.write_text("")
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    root = ["--root", str(work / "artifacts"), "--data-dir", str(work / "data"), "--to", "evaluator"]
    chosen = ["--config", "bbc_news" if name == "bbc_news" else str(config)]
    subprocess.run([sys.executable, "-m", "pipeline.cli", "run", *chosen, *flags, *root], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "show", "--json", "--root", str(work / "artifacts")], check=True, capture_output=True
    )
    executions = json.loads(shown.stdout)["executions"]
    figures = executions["evaluator"]["figures"]
    return {
        "accuracy": figures["accuracy"],
        "eval_accuracy": executions["trainer"]["figures"]["eval_accuracy"],
        "tfidf": figures["baselines"][TFIDF],
        "majority": figures["baselines"]["majority class"],
        "train_seconds": executions["trainer"]["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    arguments = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    print(f"{'set':<14} {'seqline':>16} {'tf-idf + LR':>12} {'last state':>16} {'majority':>9} {'train s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets:
            base = settings_of(name, arguments.data)
            ours = [evaluate(name, {**base, "trainer.seed": seed}, Path(folder)) for seed in range(arguments.seeds)]
            blog = [evaluate(name, {**base, **BLOG_POST, "trainer.seed": seed}, Path(folder)) for seed in range(arguments.seeds)]
            row = {"seqline": [each["accuracy"] for each in ours], "last_state": [each["accuracy"] for each in blog]}
            results[name] = {**row, "eval": [each["eval_accuracy"] for each in ours], "tfidf": ours[0]["tfidf"]}
            cells = {key: f"{statistics.mean(values):.3f} +- {statistics.pstdev(values):.3f}" for key, values in row.items()}
            seconds = statistics.mean(each["train_seconds"] for each in ours)
            print(
                f"{name:<14} {cells['seqline']:>16} {ours[0]['tfidf']:>12.3f} {cells['last_state']:>16} "
                f"{ours[0]['majority']:>9.3f} {seconds:>8.1f}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
