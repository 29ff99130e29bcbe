"""Six spans arrive one by one, most of them broken; each `seqline retrain` must end as it should.

    python -m tests.soak.retrain_story [--data ../shared/data] [--dataset agnews_small]
        [--rows 1666] [--test-rows 7600] [--peers] [--set trainer.num_epochs=12]

Spans 1 and 2 hold rows of train.jsonl. Span 3 has exchanged labels, then comes corrected; span 4
has rows of a new class, which is then allowed; span 5 is empty; span 6 repeats span 2. A line for
each call gives its exit code, verdict and reason, the served version's accuracy on test.jsonl,
which no span holds, and CPU seconds. With --peers the same arrivals are also paid for in the way
without a store: a full run over all good rows so far, in an empty root, for each of the six.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.soak import DATA, read_rows
from tests.support import CHECKOUT

SETTINGS = {
    "evaluator.min_accuracy": 0.5,
    "evaluator.min_macro_f1": 0.5,
    "evaluator.max_cross_entropy": 1.5,
    "evaluator.max_ece": 0.3,
    "evaluator.min_gain_over_linear": -0.2,
    "evaluator.min_slice_accuracy": 0.2,
    "infra_validator.max_p99_seconds": 5.0,
    "infra_validator.max_model_mb": 100.0,
}
NEW_CLASS = "Weather"
# Exit codes of `seqline retrain`.
PUSHED, NOTHING_NEW, REJECTED, REFUSED = 0, 10, 20, 30
Rows = list[dict[str, str]]


def read(path: Path, most: int) -> Rows:
    rows = read_rows(path)
    return rows[:: max(1, len(rows) // most)][:most]


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def exchanged(rows: Rows) -> Rows:
    """The rows, each with the next label."""
    labels = sorted({row["label"] for row in rows})
    after = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    return [{**row, "label": after[row["label"]]} for row in rows]


def with_class(rows: Rows) -> Rows:
    """A twentieth of the rows, at least 30, in other words and of another class."""
    size = max(30, len(rows) // 20)
    return rows[size:] + [
        {"text": f"Rain and wind, then sun, {row['text'][:40]}", "label": NEW_CLASS}
        for row in rows[:size]
    ]


def call(
    folder: Path, name: str, root: str, source: str, more: list[str]
) -> tuple[int, list[str], float]:
    """Runs a command; returns (exit code, lines, CPU seconds of all its processes)."""
    settings = [f"{key}={value}" for key, value in SETTINGS.items()] + [
        f"example_gen.source='{source}'",
        *more,
    ]
    flags = [part for setting in settings for part in ("--set", setting)]
    bootstrap = (
        ["--bootstrap"] if name == "retrain" and not (folder / "served" / root).exists() else []
    )
    command = [
        sys.executable,
        "-m",
        "pipeline",
        name,
        "bbc_news",
        "--root",
        root,
        "--serving-dir",
        f"served/{root}",
        *bootstrap,
        *flags,
    ]

    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return done.returncode, (done.stdout + done.stderr).splitlines(), seconds


def accuracy(folder: Path, rows: Rows) -> float:
    """The accuracy of the served version on rows that it never saw; 0 if none is served."""
    if not (folder / "served" / "story").is_dir():
        return 0.0
    command = [sys.executable, "-m", "pipeline", "predict", "--model", "served/story"]
    texts = "".join(" ".join(row["text"].split("\n")) + "\n" for row in rows)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=folder, input=texts.encode(), capture_output=True, env=environment, check=True
    )
    labels = [json.loads(line)["label"] for line in done.stdout.decode().split("\n")[:-1]]
    return sum(label == row["label"] for label, row in zip(labels, rows, strict=True)) / len(rows)


# What arrives, the span, its rows, settings, and the exit codes that are right.
Chapter = tuple[str, int, Rows, list[str], tuple[int, ...]]


def story_of(spans: list[Rows]) -> list[Chapter]:
    allowed = [f"span_validator.classes=['{NEW_CLASS}']"]
    # A good span may be refused by chance: its rows are few.
    good, rejected, nothing = (PUSHED, REFUSED), (REJECTED,), (NOTHING_NEW,)
    return [
        ("as it is", 1, spans[0], [], (PUSHED,)),
        ("as it is", 2, spans[1], [], good),
        ("exchanged labels", 3, exchanged(spans[2]), [], rejected),
        ("corrected", 3, spans[2], [], good),
        ("a new class", 4, with_class(spans[3]), [], rejected),
        ("it is allowed", 4, with_class(spans[3]), allowed, good),
        ("empty", 5, [], allowed, rejected),
        ("repeats span 2", 6, spans[1], allowed, rejected),
        ("nothing arrived", 6, spans[1], allowed, nothing),
    ]


def tell(chapter: Chapter, folder: Path, test: Rows, settings: list[str]) -> dict[str, Any]:
    """Lets a span arrive, retrains, and prints a line; returns the step of the result."""
    description, number, rows, more, right = chapter
    write(folder / "data" / str(number) / "rows.jsonl", rows)
    code, lines, seconds = call(
        folder, "retrain", "story", "data/{SPAN}/rows.jsonl", [*settings, *more]
    )
    served = accuracy(folder, test)
    span = f"{number} {description}"
    print(f"{span:<24} {code:>4} {seconds:>7.1f} {served:>6.4f}  {lines[-1]}", flush=True)
    return {
        "span": number,
        "what": description,
        "code": code,
        "right": code in right,
        "cpu_seconds": seconds,
        "accuracy": served,
        "verdict": lines[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--dataset", default="agnews_small")
    parser.add_argument("--rows", type=int, default=1666, help="rows of a span")
    parser.add_argument("--test-rows", type=int, default=7600)
    parser.add_argument("--peers", action="store_true", help="also six full runs")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()

    folder = given.data / given.dataset
    train = read(folder / "train.jsonl", 6 * given.rows)
    test = read(folder / "test.jsonl", given.test_rows)
    spans = [train[given.rows * number : given.rows * (number + 1)] for number in range(6)]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'span':<24} {'code':>4} {'CPU s':>7} {'test':>6}  verdict")
        steps = [tell(chapter, folder, test, given.settings) for chapter in story_of(spans)]
        result = {
            "rows": given.rows,
            "steps": steps,
            "cpu_seconds": sum(step["cpu_seconds"] for step in steps),
        }

        if given.peers:
            result["full_runs_cpu_seconds"] = full_runs(folder, spans, given.settings)
            result["share_of_full_runs"] = result["cpu_seconds"] / result["full_runs_cpu_seconds"]
            print(
                f"nine calls {result['cpu_seconds']:.0f} s of CPU, six full runs"
                f" {result['full_runs_cpu_seconds']:.0f} s"
            )

    print(json.dumps(result))
    sys.exit(0 if all(step["right"] for step in steps) else 1)


def full_runs(folder: Path, spans: list[Rows], settings: list[str]) -> float:
    """CPU seconds of six runs over everything so far, one after each good span, in empty roots."""
    total = 0.0
    for number in range(1, 7):
        write(folder / "peer" / str(number) / "rows.jsonl", spans[number - 1])
        code, lines, seconds = call(
            folder, "run", f"peer{number}", "peer/{SPAN}/rows.jsonl", settings
        )
        assert code == 0, lines
        total += seconds
        print(f"{f'full run over {number}':<24} {code:>4} {seconds:>7.1f}", flush=True)
    return total


if __name__ == "__main__":
    main()
