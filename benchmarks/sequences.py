"""Accuracy on numeric sequences, next to logistic regression on summary statistics.

    python -m benchmarks.sequences [--seeds 3] [--folds 5] [--set rnn_units=128]

Two sets: Japanese Vowels (`<data>/japanese_vowels/{train,test}.jsonl`, rows {"sequence": [[number,
...], ...], "label"}), where the level of the numbers tells nearly all; and waves, made here, where
only their order in time tells: every class has the same level and spread. --folds measures on parts
of the train rows instead of on the test rows: for choices. A tenth of the train rows chooses the
epoch.
"""

import json
import statistics
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import common

Row = tuple[np.ndarray, str]


def japanese_vowels(data: Path, split: str) -> list[Row]:
    rows = common.read_jsonl(data / "japanese_vowels" / f"{split}.jsonl")
    return [(np.array(row["sequence"], np.float32), row["label"]) for row in rows]


def waves(num_rows: int, seed: int) -> list[Row]:
    """40 to 80 steps of a noisy sine beside noise; the class is its period, its phase is random."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(num_rows):
        time, period = int(random.integers(40, 81)), (3, 5, 8, 13)[number % 4]
        wave = np.sin(2 * np.pi * (np.arange(time) / period + random.random())) + random.normal(
            scale=0.3, size=time
        )
        rows.append(
            (np.stack([wave, random.normal(size=time)], axis=1).astype(np.float32), str(period))
        )
    return rows


def folds(rows: list[Row], num_folds: int) -> list[tuple[list[Row], list[Row]]]:
    """(train, test) with each part of the rows as test once."""
    parts = np.array_split(np.random.default_rng(0).permutation(len(rows)), num_folds)
    return [
        ([rows[i] for part in parts if part is not held for i in part], [rows[i] for i in held])
        for held in parts
    ]


def write_examples(train: list[Row], test: list[Row], output: Path) -> None:
    from seqline.data.examples import ExampleShard, shard_name, write
    from seqline.data.manifest import Manifest, Span, write_manifest

    order = np.random.default_rng(1).permutation(len(train))
    held_out = len(train) // 10
    splits = {
        "train": [train[i] for i in order[held_out:]],
        "eval": [train[i] for i in order[:held_out]],
        "test": test,
    }

    for split, rows in splits.items():
        (output / f"Split-{split}").mkdir()
        contents, labels = zip(*rows, strict=True)
        shard = ExampleShard(
            0, split, shard_name(0, 0, 0), contents, [label.encode() for label in labels]
        )
        write(shard, output / f"Split-{split}" / shard.name, "sequence")

    counts = {split: dict(Counter(label for _, label in rows)) for split, rows in splits.items()}
    write_manifest(
        Manifest("sequence", train[0][0].shape[1], (Span(0, "benchmark", num_rows=counts),)), output
    )


def evaluate(
    train: list[Row], test: list[Row], seeds: range, settings: dict[str, object]
) -> list[dict[str, float]]:
    """Runs the stages from the transform to the evaluator for each seed; returns their figures."""
    from components import evaluator, exporter, trainer, transform

    results = []
    with tempfile.TemporaryDirectory() as folder:
        examples, features = Path(folder) / "examples", Path(folder) / "features"
        for path in (examples, features):
            path.mkdir()
        write_examples(train, test, examples)
        transform.run(examples=examples, params=transform.TransformParams(), output=features)
        for seed in seeds:
            model, saved_model, evaluation = (
                Path(folder) / f"{name}-{seed}" for name in ("model", "saved_model", "evaluation")
            )
            for path in (model, saved_model, evaluation):
                path.mkdir()
            fitted = trainer.run(
                features=features,
                params=trainer.TrainerParams(**{**settings, "seed": seed}),
                output=model,
            )
            exporter.run(
                examples=examples,
                features=features,
                model=model,
                params=exporter.ExporterParams(),
                output=saved_model,
            )
            figures = evaluator.run(
                examples=examples,
                saved_model=saved_model,
                params=evaluator.EvaluatorParams(),
                output=evaluation,
            )
            baseline = figures["baselines"]["summary statistics + logistic regression"]
            results.append(
                {
                    "accuracy": figures["accuracy"],
                    "statistics": baseline,
                    "epoch": fitted["best_epoch"],
                }
            )

    return results


def main() -> None:
    parser = common.parser(__doc__, datasets=["japanese_vowels", "waves"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the trainer, such as rnn_units=128; any number",
    )
    arguments = parser.parse_args()
    settings = {
        name: json.loads(value)
        for name, value in (setting.split("=", 1) for setting in arguments.set)
    }
    results = {}
    table = common.Table(
        ("set", "<16"), ("rows", "6"), ("seqline", "<16"), ("statistics + LR", "16.3f")
    )

    for name in arguments.datasets:
        train = (
            japanese_vowels(arguments.data, "train")
            if name == "japanese_vowels"
            else waves(2000, seed=0)
        )

        if arguments.folds:
            pairs = folds(train, arguments.folds)
        else:
            pairs = [
                (
                    train,
                    (
                        japanese_vowels(arguments.data, "test")
                        if name == "japanese_vowels"
                        else waves(1000, seed=1)
                    ),
                )
            ]

        runs = [run for pair in pairs for run in evaluate(*pair, range(arguments.seeds), settings)]
        results[name] = runs
        accuracy = [run["accuracy"] for run in runs]
        cell = f"{statistics.mean(accuracy):.3f} +- {statistics.pstdev(accuracy):.3f}"
        baseline = statistics.mean(run["statistics"] for run in runs)
        table.row(name, len(train), cell, baseline)

    common.print_result(results)


if __name__ == "__main__":
    main()
