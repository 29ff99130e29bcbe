"""A training step of Embedding -> SimpleRNN -> max over time -> Dense: fast_rnn against Keras.

    python -m benchmarks.recurrence [--steps 40] [--rounds 3] [--shapes 40,32,64,64 200,64,64,64]

Four ways with the same weights and batches: `keras` as "auto" means on a CPU under a distribution
strategy (jit_compile=False), `xla`, `ours` with DistinctEmbedding, `projected` with Keras's
Embedding before FastSimpleRNN. Token ids fall off as 1/rank over 10,000. `mixed`: batches of
several lengths up to T, and the last one smaller. The ways take turns; the figure is the median of
the rounds' means. The first epoch, in which everything is traced and compiled, is a column of its
own: seconds more than a later one.
"""

import os
import statistics
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks import common
from seqline.model.fast_rnn import DistinctEmbedding, FastSimpleRNN

VOCABULARY = 10_000
SHAPES = ["40,32,64,64", "200,64,64,64", "200,256,128,128", "256,64,64,64,mixed"]
WAYS = ("keras", "xla", "projected", "ours")
NUM_CLASSES = 4


def network(way: str, embedding_dim: int, units: int) -> keras.Model:
    ids = keras.Input((None,), dtype="int64")
    if way == "ours":
        rows, positions = DistinctEmbedding(VOCABULARY, embedding_dim)(ids)
        states = FastSimpleRNN(units, return_sequences=True)(rows, positions=positions)
    else:
        rnn = FastSimpleRNN if way == "projected" else layers.SimpleRNN
        states = rnn(units, return_sequences=True)(layers.Embedding(VOCABULARY, embedding_dim)(ids))
    return keras.Model(ids, layers.Dense(NUM_CLASSES)(layers.GlobalMaxPooling1D()(states)))


def batches(num_steps: int, length: int, batch_size: int, mixed: bool) -> tf.data.Dataset:
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, VOCABULARY)
    made = []
    for step in range(num_steps):
        time_steps = (
            int(random.choice([length // 4, length // 2, 3 * length // 4, length - 3, length]))
            if mixed
            else length
        )
        rows = batch_size * 5 // 8 if mixed and step == num_steps - 1 else batch_size
        ids = random.choice(np.arange(1, VOCABULARY), (rows, time_steps), p=weights / weights.sum())
        made.append((ids, random.integers(0, NUM_CLASSES, rows)))

    spec = (tf.TensorSpec((None, None), tf.int64), tf.TensorSpec((None,), tf.int64))
    return (
        tf.data.Dataset.from_generator(lambda: iter(made), output_signature=spec)
        .cache()
        .prefetch(2)
    )


def measure(
    shape: str, ways: list[str], num_steps: int, num_rounds: int, steps_per_execution: int
) -> dict[str, Any]:
    numbers = shape.removesuffix(",mixed").split(",")
    length, batch_size, embedding_dim, units = map(int, numbers)
    data = batches(num_steps, length, batch_size, shape.endswith("mixed")).apply(
        tf.data.experimental.assert_cardinality(num_steps)
    )
    models: dict[str, keras.Model] = {}
    weights: list[Any] = []
    first: dict[str, float] = {}
    seconds: dict[str, list[float]] = {way: [] for way in ways}

    for way in ways:
        model = models[way] = network(way, embedding_dim, units)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(
            keras.optimizers.Adam(1e-3),
            loss,
            jit_compile=way == "xla",
            steps_per_execution=steps_per_execution,
        )
        first[way] = fit_seconds(model, data)
    for _ in range(num_rounds):
        for way in ways:
            seconds[way].append(fit_seconds(models[way], data))
    median = {way: statistics.median(times) for way, times in seconds.items()}
    return {
        "shape": shape,
        "ms": {way: round(1000 * median[way] / num_steps, 2) for way in ways},
        "ratio": {way: round(median["keras"] / median[way], 2) for way in ways},
        "start_s": {way: round(first[way] - median[way], 1) for way in ways},
    }


def fit_seconds(model: keras.Model, data: tf.data.Dataset) -> float:
    started = time.perf_counter()
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    return time.perf_counter() - started


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps-per-execution", type=int, default=1)
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="as the trainer does; Keras then compiles nothing: `xla` is `keras`",
    )
    parser.add_argument(
        "--ways",
        nargs="+",
        default=WAYS,
        choices=WAYS,
        help="`keras` is what the ratios are to: it is always there",
    )
    parser.add_argument(
        "--shapes", nargs="+", default=SHAPES, help="time,batch,embedding_dim,units[,mixed]"
    )
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    if arguments.deterministic:
        tf.config.experimental.enable_op_determinism()
    ways = [way for way in WAYS if way == "keras" or way in arguments.ways]
    rows = []
    print(
        f"{'T,batch,E,U':22} "
        + " ".join(f"{way:>24}" for way in ways)
        + "   (ms a step, ratio, s to start)"
    )

    for shape in arguments.shapes:
        row = measure(shape, ways, arguments.steps, arguments.rounds, arguments.steps_per_execution)
        cells = (
            f"{row['ms'][way]:10.2f} {row['ratio'][way]:6.2f}x {row['start_s'][way]:4.1f} s"
            for way in ways
        )
        print(f"{shape:22} " + " ".join(cells), flush=True)
        rows.append(row)

    common.print_result({"steps_per_execution": arguments.steps_per_execution, "results": rows})


if __name__ == "__main__":
    main()
