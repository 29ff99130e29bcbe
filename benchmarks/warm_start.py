"""A warm start beside a cold one on data that grow, with the same network and the same seeds.

    python -m benchmarks.warm_start [--datasets trec6 ...] [--steps 50 75 100]
    [--epochs 4] [--shrink 0.5]

`<data>/<set>/train.jsonl` arrives bit by bit, in an order that a seed fixes. The first part is
trained on from nothing; then at each step

    cold     trains on all that there is by then, from random numbers
    warm     trains on the same, from its own model of the step before, for --epochs
    short    is a cold start for --epochs: what fewer epochs alone would have saved
    new      trains on the rows of this step only (example_gen.window = 1), from its own model of
             the step before, for --epochs, with warm_start_shrink = 1
    new cold is a cold start on these rows only

Seconds are of this process's CPU, the training alone with its compilations. The last line is one
JSON object: means of test accuracy, and CPU seconds as ratios to the cold start on all rows.
"""

import gc
import json
import random
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import common
from components.example_gen import ExampleGenParams
from components.example_gen import run as ingest
from components.trainer import TrainerParams
from components.trainer import run as train
from components.trainer.input import dataset
from components.transform import TransformParams
from components.transform import run as transform
from seqline.data import features
from seqline.model import network

Result = dict[str, Any]


def prepare(source: Path, first: int, last: int, work: Path) -> Path:
    """The Features of some rows of a set, from one per cent to another."""
    rows = (source / "train.jsonl").read_bytes().split(b"\n")[:-1]
    random.Random(7).shuffle(rows)
    for name in ("examples", "features"):
        (work / name).mkdir(parents=True)
    (work / "train.jsonl").write_bytes(
        b"".join(row + b"\n" for row in rows[len(rows) * first // 100 : len(rows) * last // 100])
    )
    files = {"train": str(work / "train.jsonl"), "test": str((source / "test.jsonl").resolve())}
    ingest(params=ExampleGenParams(source=files), output=work / "examples")
    transform(examples=work / "examples", params=TransformParams(), output=work / "features")
    return work / "features"


def measure(source: Path, output: Path, **settings: Any) -> Result:
    """Trains and asks the test split."""
    keras.utils.clear_session()
    gc.collect()
    output.mkdir(parents=True)
    started = time.process_time()
    figures = train(features=source, params=TrainerParams(**settings), output=output)
    seconds = time.process_time() - started
    kept = {name: figures[name] for name in ("eval_accuracy", "num_epochs", "best_epoch")}
    return {
        **kept,
        "test_accuracy": test_accuracy(source, output),
        "cpu_seconds": seconds,
        "model": output,
    }


def test_accuracy(source: Path, model: Path) -> float:
    num_rows = json.loads((source / "transform.json").read_text())["num_rows"][features.TEST]
    trained, spec = network.load(model)
    answer = tf.function(
        lambda ids: tf.argmax(trained(ids, training=False), -1), reduce_retracing=True
    )
    batches = dataset(
        source, features.TEST, num_rows, num_classes=spec.num_classes, batch_size=256, pad_to=None
    )
    return float(
        sum(np.sum(answer(ids).numpy() == labels.numpy().argmax(-1)) for ids, labels in batches)
        / num_rows
    )


def compare(
    source: Path,
    steps: list[int],
    seed: int,
    epochs: int,
    shrink: float,
    work: Path,
    table: common.Table,
) -> list[dict[str, Result]]:
    """Start -> its result, for every step but the first, which all have in common."""
    given = prepare(source, 0, steps[0], work / str(steps[0]))
    warm = new = measure(given, work / "start", seed=seed)
    steps_made = []
    for before, percent in pairwise(steps):
        given = prepare(source, 0, percent, work / str(percent))
        rows = prepare(source, before, percent, work / f"new-{percent}")
        short = {"seed": seed, "num_epochs": epochs}
        made = {
            "cold": measure(given, work / f"cold-{percent}", seed=seed),
            "warm": measure(
                given,
                work / f"warm-{percent}",
                **short,
                warm_start=str(warm["model"]),
                warm_start_shrink=shrink,
            ),
            "short": measure(given, work / f"short-{percent}", **short),
            "new": measure(
                rows,
                work / f"from-{percent}",
                **short,
                warm_start=str(new["model"]),
                warm_start_shrink=1.0,
            ),
            "new cold": measure(rows, work / f"alone-{percent}", seed=seed),
        }
        warm, new = made["warm"], made["new"]
        steps_made.append(made)

        for start, result in made.items():
            table.row(
                source.name,
                percent,
                start,
                result["test_accuracy"],
                result["eval_accuracy"],
                result["best_epoch"],
                result["num_epochs"],
                result["cpu_seconds"],
            )

    return steps_made


def main() -> None:
    parser = common.parser(__doc__, datasets=["trec6", "agnews_small"])
    parser.add_argument(
        "--steps",
        nargs="+",
        type=int,
        default=[50, 75, 100],
        help="per cent of train that are there",
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--shrink", type=float, default=TrainerParams().warm_start_shrink)
    parser.add_argument("--epochs", type=int, default=4, help="of a warm start")
    arguments = parser.parse_args()
    table = common.Table(
        ("set", "<14"),
        ("data %", "6"),
        ("start", "<8"),
        ("test", "7.4f"),
        ("eval", "7.4f"),
        ("best epoch", "10"),
        ("epochs", "6"),
        ("CPU s", "7.1f"),
    )

    results: dict[str, dict[str, dict[str, float]]] = {}
    for name in arguments.datasets:
        comparisons: list[dict[str, Result]] = []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                comparisons += compare(
                    arguments.data / name,
                    arguments.steps,
                    seed,
                    arguments.epochs,
                    arguments.shrink,
                    Path(folder),
                    table,
                )

        cold = sum(comparison["cold"]["cpu_seconds"] for comparison in comparisons)
        results[name] = {
            start: {
                "test_accuracy": round(
                    statistics.mean(
                        comparison[start]["test_accuracy"] for comparison in comparisons
                    ),
                    4,
                ),
                "cpu_ratio": round(
                    sum(comparison[start]["cpu_seconds"] for comparison in comparisons) / cold, 2
                ),
            }
            for start in comparisons[0]
        }

    common.print_result({"shrink": arguments.shrink, "epochs": arguments.epochs, **results})


if __name__ == "__main__":
    main()
