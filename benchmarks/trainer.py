"""The trainer's steps against Keras's own fit under MirroredStrategy, in one run.

Both have the same network, batches and device.

    python -m benchmarks.trainer [--dataset trec6] [--steps 30] [--rounds 5] [--long 10]
    [--deterministic] [--only shapes|news|epoch|long ...]

Shapes: Embedding -> SimpleRNN -> max over the states -> Dense on ids that fall off as 1/rank over
10,000; T, B, E, U are time, batch, embedding_dim and rnn_units. `keras` is `compile` and `fit` as
they are: "auto" (no XLA under a strategy on a CPU), Keras's Adam. `news`: BBC News, T=500; `fit` on
batches padded to 500 as in the tutorials, on batches padded to their longest text, and on the
trainer's own, which hold texts of one length. The share of the peak: 6 * B * T * U * (E + U)
floating point operations a step (three products each of the recurrence and of the projection, as if
every position were projected) in parts of what a product of two 2048 x 2048 matrices reaches. Ways
take turns; the median of the rounds. Without --deterministic both have the operations that Keras
has by default; with it both have those that the trainer always has. `epoch`: an epoch of the
default configuration on trec6, and of the same network by fit. `long`: the same training, --long
times as many epochs: steps a second and memory by tenths.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import common
from components.example_gen import EXAMPLE_GEN, ExampleGenParams
from components.example_gen import run as run_example_gen
from components.trainer import TrainerParams, fit
from components.trainer.distributed import strategy
from components.trainer.distributed.strategy import Team
from components.trainer.input import dataset
from components.trainer.interruption import StopSignal
from components.trainer.loop import Loop
from components.trainer.training import Training
from components.transform import TransformParams
from components.transform import run as run_transform
from seqline.data import features
from seqline.model import network

VOCABULARY = 10_000
SHAPES = [(200, 64, 64, 64), (40, 32, 64, 64), (200, 256, 128, 128)]
PLAIN: dict[str, Any] = {
    "bidirectional": False,
    "skip_dim": 0,
    "bigram_buckets": 0,
    "word_dropout": 0.0,
    "dropout": 0.0,
    "branch_dropout": 0.0,
}
PARTS = ("shapes", "news", "epoch", "long")


def peak() -> float:
    """GF/s of a large product of matrices."""
    matrix = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    product().numpy()
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - started)
    return 2 * 2048**3 / min(seconds) / 1e9


def spec_of(
    params: TrainerParams, num_tokens: int, num_classes: int, max_length: int
) -> network.Spec:
    fields = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    return network.Spec(
        **{
            **fields,
            "num_tokens": num_tokens,
            "num_classes": num_classes,
            "max_length": max_length,
            "num_bigrams": 0,
        }
    )


def synthetic(num_steps: int, time_steps: int, batch_size: int) -> tf.data.Dataset:
    random, weights = np.random.default_rng(0), 1 / np.arange(1, VOCABULARY + 1)
    ids = random.choice(
        np.arange(1, VOCABULARY + 1),
        (num_steps * batch_size, time_steps),
        p=weights / weights.sum(),
    )
    labels = np.eye(4, dtype=np.float32)[random.integers(0, 4, len(ids))]
    return tf.data.Dataset.from_tensor_slices((ids, labels)).batch(batch_size).cache().prefetch(4)


def strategy_here() -> tf.distribute.Strategy:
    """The strategy of a training on this machine: all GPUs that it may use, or the CPU."""
    logical = tf.config.list_logical_devices()
    existing = [device.name.removeprefix("/device:") for device in logical]
    return tf.distribute.MirroredStrategy([f"/{name}" for name in strategy.chosen(None, existing)])


def ours(
    spec: network.Spec, params: TrainerParams, data: tf.data.Dataset, num_steps: int
) -> Callable[[], None]:
    """A function that trains through `data`, num_steps batches, by the trainer's loop."""
    mirrored = strategy_here()
    with mirrored.scope():
        loop = Loop(network.build(spec, implementation="fast"), params, 10**6, mirrored)
    iterator = iter(mirrored.experimental_distribute_dataset(data.repeat()))

    def epoch() -> None:
        zeros = tf.zeros([3], tf.float64)
        loop.train(iterator, tf.constant(0, tf.int64), tf.constant(num_steps, tf.int64), zeros)[
            0
        ].numpy()

    return epoch


def stock(
    spec: network.Spec,
    params: TrainerParams,
    data: tf.data.Dataset,
) -> Callable[[], None]:
    """The same by Keras's fit."""
    mirrored = strategy_here()

    with mirrored.scope():
        model = network.build(spec)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing)
        optimizer = keras.optimizers.Adam(
            params.learning_rate, global_clipnorm=params.clip_norm or None
        )
        model.compile(optimizer, loss, metrics=["accuracy"])

    return lambda: model.fit(data, epochs=1, verbose=0, shuffle=False) and None


def medians(ways: dict[str, Callable[[], None]], num_rounds: int) -> dict[str, float]:
    """Seconds of each way; what is traced and compiled in a first round is not measured."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in seconds.items()}


def shapes(num_steps: int, num_rounds: int, gigaflops: float) -> list[dict[str, Any]]:
    rows = []
    for time_steps, batch_size, embedding_dim, units in SHAPES:
        params = TrainerParams(
            embedding_dim=embedding_dim, rnn_units=units, batch_size=batch_size, **PLAIN
        )
        spec, data = (
            spec_of(params, VOCABULARY, 4, time_steps),
            synthetic(num_steps, time_steps, batch_size),
        )
        seconds = medians(
            {"keras": stock(spec, params, data), "seqline": ours(spec, params, data, num_steps)},
            num_rounds,
        )
        operations = 6 * batch_size * time_steps * units * (embedding_dim + units) * num_steps
        shape = f"T={time_steps} B={batch_size} E={embedding_dim} U={units}"
        rows.append(
            row(shape, seconds, num_steps * batch_size)
            | {"of_peak": round(operations / seconds["seqline"] / 1e9 / gigaflops, 3)}
        )
        print(f"{line(rows[-1])}   {rows[-1]['of_peak']:.0%} of {gigaflops:.0f} GF/s", flush=True)

    return rows


def row(name: str, seconds: dict[str, float], num_rows: int) -> dict[str, Any]:
    others = [way for way in seconds if way != "seqline"]
    return {
        "name": name,
        "examples_per_second": {way: round(num_rows / each) for way, each in seconds.items()},
        "ratio": {way: round(seconds[way] / seconds["seqline"], 2) for way in others},
    }


def line(row: dict[str, Any]) -> str:
    cells = [f"{way} {rate:,}/s" for way, rate in row["examples_per_second"].items()]
    return f"{row['name']:28} {', '.join(cells)}; " + ", ".join(
        f"{ratio:.2f}x {way}" for way, ratio in row["ratio"].items()
    )


def make_features(source: str | dict[str, str], work: Path, **transform: Any) -> Path:
    examples, output = work / "examples", work / "features"
    examples.mkdir(parents=True)
    output.mkdir()
    params = ExampleGenParams(source=source, data_dir=str(work / "data"))
    EXAMPLE_GEN.prepare(params)
    run_example_gen(params=params, output=examples)
    run_transform(examples=examples, params=TransformParams(**transform), output=output)
    return output


def news(work: Path, num_rounds: int) -> list[dict[str, Any]]:
    source = make_features("tfds:seqline_bbc_news", work / "news", max_length=500)
    params = TrainerParams(**PLAIN)
    spec, _ = fit.network_spec(source, params)
    num_rows = json.loads((source / "transform.json").read_text())["num_rows"][features.TRAIN]
    settings: dict[str, Any] = {"num_classes": spec.num_classes, "batch_size": params.batch_size}
    bucketed = dataset(source, features.TRAIN, num_rows, pad_to=None, **settings).cache()
    padded = dataset(source, features.TRAIN, num_rows, pad_to=500, **settings)

    def to_longest(ids: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return ids[:, : tf.reduce_max(tf.math.count_nonzero(ids, axis=1))], label

    num_steps = -(-num_rows // params.batch_size)
    ways = {
        "keras on T=500": stock(spec, params, padded.cache()),
        "keras on shuffled": stock(spec, params, padded.map(to_longest).cache()),
        "keras on bucketed": stock(spec, params, bucketed),
        "seqline": ours(spec, params, bucketed, num_steps),
    }
    figures = row("news, bucketed", medians(ways, num_rounds), num_rows)
    print(line(figures), flush=True)

    return [figures]


def training_of(source: Path, params: TrainerParams, work: Path) -> Training:
    keras.utils.set_random_seed(params.seed + 1)
    spec, counts = fit.network_spec(source, params)
    team = Team(strategy_here(), None, None, StopSignal())
    return Training(source, params, spec, counts, team, work)


def epochs_of(source: Path, work: Path, num_epochs: int) -> tuple[list[float], list[int]]:
    """Seconds of each epoch after the first, evaluation included, and MiB of memory after it."""
    params = TrainerParams(num_epochs=num_epochs, patience=num_epochs)
    training = training_of(source, params, work / "checkpoints")
    seconds, memory, last = [], [], [0.0]

    def note(number: int, _: dict[str, float]) -> None:
        now = time.perf_counter()
        if number > 1:
            seconds.append(now - last[0])
            memory.append(common.resident_mb())
        last[0] = now

    (work / "model").mkdir(parents=True)
    training.run(work / "model", note)
    return seconds, memory


def epoch(source: Path, work: Path) -> list[dict[str, Any]]:
    params = TrainerParams()
    seconds, _ = epochs_of(source, work / "epoch", params.num_epochs)
    spec, _ = fit.network_spec(source, params)
    num_rows = json.loads((source / "transform.json").read_text())["num_rows"][features.TRAIN]
    data = dataset(
        source,
        features.TRAIN,
        num_rows,
        num_classes=spec.num_classes,
        batch_size=params.batch_size,
        pad_to=None,
    ).cache()

    by_fit = medians({"keras": stock(spec, params, data)}, 3)["keras"]
    figures = {
        "name": "trec6, an epoch",
        "seconds": {"keras": round(by_fit, 2), "seqline": round(statistics.median(seconds), 2)},
    }
    print(
        f"{figures['name']:28} default configuration: {figures['seconds']['seqline']} s with"
        f" evaluation; by fit {figures['seconds']['keras']} s",
        flush=True,
    )

    return [figures]


def long(source: Path, work: Path, factor: int) -> list[dict[str, Any]]:
    seconds, memory = epochs_of(source, work / "long", TrainerParams().num_epochs * factor)
    tenth = max(len(seconds) // 10, 1)
    parts = [
        (statistics.median(seconds[at : at + tenth]), memory[min(at + tenth, len(memory)) - 1])
        for at in range(0, len(seconds), tenth)
    ]
    print(
        f"{'trec6, ' + str(factor) + ' times as long':28} s an epoch, MiB: "
        + ", ".join(f"{s:.2f} {m}" for s, m in parts),
        flush=True,
    )

    return [
        {"name": "long", "seconds": [round(s, 3) for s, _ in parts], "mib": [m for _, m in parts]}
    ]


def main() -> None:
    parser = common.parser(__doc__, dataset="trec6")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", type=int, default=10)
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="TensorFlow's deterministic operations, as the trainer has them",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(1)
    if arguments.deterministic:
        tf.config.experimental.enable_op_determinism()
    gigaflops = peak()
    results: dict[str, Any] = {"peak_gigaflops": round(gigaflops)}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "shapes" in arguments.only:
            results["shapes"] = shapes(arguments.steps, arguments.rounds, gigaflops)
        if "news" in arguments.only:
            results["news"] = news(work, arguments.rounds)
        if {"epoch", "long"} & set(arguments.only):
            files = {
                split: str((arguments.data / arguments.dataset / f"{split}.jsonl").resolve())
                for split in ("train", "test")
            }
            source = make_features(files, work / "trec6")
            results |= {"epoch": epoch(source, work)} if "epoch" in arguments.only else {}
            results |= (
                {"long": long(source, work, arguments.long)} if "long" in arguments.only else {}
            )

    common.print_result(results)


if __name__ == "__main__":
    main()
