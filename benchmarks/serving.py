"""The exported SavedModel against Keras's own `model.export()` of the same weights, in one process.

Two networks: `simple` is the tutorial model, Embedding -> SimpleRNN -> Dense on the last state with
a mask, and as the peer exactly these stock layers; `default` is the trainer's without a wide part,
max over the states beside a skip branch of tokens and bigrams (`benchmarks.wide_serving` has one).
Both get ids, so that only the networks are compared: what the text costs is the same for both. The
ways answer the same requests in turns; medians. Over HTTP one embedded server (`python -m serving`)
has both models, and one connection asks it for rows of JSON numbers; batches are not waited for.

    python -m benchmarks.serving [--rounds 7] [--seconds 3] [--no-http]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import requests
import tensorflow as tf
from keras import layers

from benchmarks import common
from components.exporter.folded import FoldedNetwork
from components.trainer import TrainerParams
from seqline.model import network

VOCABULARY, CLASSES = 10_000, 5
# How much faster than the stock export, at least, by way and batch (and time, where it is given).
WANTED = {("default", 1): 2.2, ("default", 256): 1.5, ("fast", 1, 200): 10.0}
NUM_REQUESTS = 16


def spec_of(kind: str, max_length: int) -> network.Spec:
    plain = {"pooling": "last", "masking": True} if kind == "simple" else {}
    params = TrainerParams(**plain)
    fields = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    fields["skip_dim"] = params.skip_dim_beside(has_wide=False)
    sizes = {"num_tokens": VOCABULARY, "num_classes": CLASSES, "max_length": max_length}
    return network.Spec(
        **{**fields, **sizes, "num_bigrams": 20_000 if params.bigram_buckets else 0}
    )


def stock(kind: str, spec: network.Spec) -> keras.Model:
    """The peer; of `simple` it is what a tutorial writes."""
    keras.utils.set_random_seed(1)
    if kind != "simple":
        model = network.build(spec, training=False)
        random = np.random.default_rng(0)
        skip = model.get_layer("skip_embedding")
        skip.set_weights(
            [random.normal(scale=0.1, size=weight.shape) for weight in skip.get_weights()]
        )
        buckets = np.zeros(spec.bigram_buckets, np.int32)
        buckets[random.permutation(spec.bigram_buckets)[: spec.num_bigrams]] = np.arange(
            1, spec.num_bigrams + 1
        )
        model.get_layer("bigrams").set_weights([buckets])
        return model

    ids = keras.Input((None,), dtype="int64", name="ids")
    embedded = layers.Embedding(
        VOCABULARY + 2, spec.embedding_dim, mask_zero=True, name="embedding"
    )(ids)
    state = layers.SimpleRNN(
        spec.rnn_units, recurrent_initializer=keras.initializers.Orthogonal(0.5), name="rnn"
    )(embedded)

    return keras.Model(ids, layers.Dense(CLASSES, activation="softmax", name="output")(state))


def export(served: FoldedNetwork, path: Path) -> None:
    """The network alone as it is in an export: serving_default and serving_fast over ids."""
    ids = [tf.TensorSpec([None, None], tf.int64, name="ids")]

    def signature(fast: bool) -> Any:
        def answer(ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return {
                "probabilities": served.probabilities(
                    ids, tf.math.count_nonzero(ids, axis=1), fast=fast
                )
            }

        return tf.function(answer, input_signature=ids, autograph=False)

    module = tf.Module()
    module.served, module.default, module.fast = served, signature(False), signature(True)
    tf.saved_model.save(
        module,
        str(path),
        signatures={"serving_default": module.default, "serving_fast": module.fast},
    )


def in_turns(
    ways: dict[str, Callable[[int], Any]], num_rounds: int, seconds: float
) -> dict[str, float]:
    """Seconds of one request, by way: the median of all of its requests."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            until = time.perf_counter() + seconds / num_rounds
            number = 0
            while not number or time.perf_counter() < until:
                started = time.perf_counter()
                way(number % NUM_REQUESTS)
                times[name].append(time.perf_counter() - started)
                number += 1
    return {name: statistics.median(durations) for name, durations in times.items()}


@contextmanager
def server(models: dict[str, Path], folder: Path) -> Iterator[str]:
    """The address of an embedded server that has these models as version 1."""
    config, port_file = folder / "models.config", folder / "port"
    entries = [
        f'config {{ name: "{name}" base_path: "{path.parent}" model_platform: "tensorflow" }}'
        for name, path in models.items()
    ]
    config.write_text("model_config_list { " + " ".join(entries) + " }")
    port_file.unlink(missing_ok=True)
    flags = [f"--model_config_file={config}", "--rest_api_port=0", f"--port_file={port_file}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", *flags], stderr=subprocess.PIPE, text=True
    )

    try:
        deadline = time.monotonic() + 300
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(
                    "The server did not start:"
                    f" {process.communicate()[1] if process.poll() is not None else 'no port'}"
                )
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port_file.read_text().strip()}/v1/models"
        while any(
            '"AVAILABLE"' not in requests.get(f"{address}/{name}", timeout=10).text
            for name in models
        ):
            if time.monotonic() > deadline:
                raise SystemExit("The server did not load the models.")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.communicate()


def over_http(
    models: dict[str, Path],
    folder: Path,
    batches: dict[int, np.ndarray],
    num_rounds: int,
    seconds: float,
) -> dict[int, Any]:
    """Seconds of one request over HTTP, by batch and way. batches.

    [NUM_REQUESTS, batch, time] ids.
    """
    latencies = {}
    with server(models, folder) as address, requests.Session() as session:
        for batch, rows in batches.items():

            def ask(number: int, model: str, signature: str, rows: np.ndarray = rows) -> Any:
                body = {"instances": rows[number].tolist(), "signature_name": signature}
                answer = session.post(f"{address}/{model}:predict", json=body, timeout=120)
                answer.raise_for_status()
                return answer

            ways: dict[str, Callable[[int], Any]] = {
                "stock": lambda number, ask=ask: ask(number, "stock", "serving_default"),
                "default": lambda number, ask=ask: ask(number, "ours", "serving_default"),
                "fast": lambda number, ask=ask: ask(number, "ours", "serving_fast"),
            }
            for way in ways.values():
                way(0)
            latencies[batch] = in_turns(ways, num_rounds, seconds)

    return latencies


def load(path: Path) -> tuple[Any, float]:
    started = time.perf_counter()
    loaded = tf.saved_model.load(str(path))
    return loaded, time.perf_counter() - started


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def random_ids(batch: int, steps: int) -> np.ndarray:
    """[NUM_REQUESTS, batch, steps], falling off as 1/rank."""
    random, weights = np.random.default_rng(batch), 1 / np.arange(1, VOCABULARY + 1)
    return random.choice(
        np.arange(1, VOCABULARY + 1), (NUM_REQUESTS, batch, steps), p=weights / weights.sum()
    )


def measure(
    kind: str, steps: int, folder: Path, num_rounds: int, seconds: float, http: bool
) -> list[dict[str, Any]]:
    spec = spec_of(kind, max(steps, 256))
    model = stock(kind, spec)
    if kind == "simple":
        spec = network.Spec(
            **{**spec.__dict__, "skip_dim": 0, "bigram_buckets": 0, "num_bigrams": 0}
        )

    served = FoldedNetwork(
        spec, {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    )
    peer, ours = folder / f"stock-{kind}-{steps}" / "1", folder / f"ours-{kind}-{steps}" / "1"
    model.export(
        peer, verbose=False, input_signature=[tf.TensorSpec([None, None], tf.int64, name="ids")]
    )
    export(served, ours)
    (theirs, their_seconds), (mine, our_seconds) = load(peer), load(ours)
    batches = {batch: random_ids(batch, steps) for batch in (1, 256)}
    web = (
        over_http({"stock": peer, "ours": ours}, folder, batches, num_rounds, seconds)
        if http
        else {}
    )

    measured = []
    for batch, rows in batches.items():
        asked = [tf.constant(each, tf.int64) for each in rows]
        ask = theirs.signatures["serving_default"]
        [name] = ask.structured_input_signature[1]
        ways: dict[str, Callable[[int], Any]] = {
            "stock": lambda number, ask=ask, name=name, asked=asked: next(
                iter(ask(**{name: asked[number]}).values())
            ),
            "default": lambda number, asked=asked: mine.signatures["serving_default"](
                ids=asked[number]
            )["probabilities"],
            "fast": lambda number, asked=asked: mine.signatures["serving_fast"](ids=asked[number])[
                "probabilities"
            ],
        }
        first = time.perf_counter()
        answers = {way: [ask(number).numpy() for number in range(2)] for way, ask in ways.items()}
        compiled = time.perf_counter() - first
        difference = {
            way: max(
                float(np.abs(a - b).max())
                for a, b in zip(answers[way], answers["stock"], strict=True)
            )
            for way in ways
        }
        spent = in_turns(ways, num_rounds, seconds)
        row = {
            "network": kind,
            "steps": steps,
            "batch": batch,
            "ms": {way: round(1000 * each, 3) for way, each in spent.items()},
            "ratio": {way: round(spent["stock"] / spent[way], 2) for way in ("default", "fast")},
            "max_difference": max(difference.values()),
            "bytes": {"stock": size(peer), "ours": size(ours)},
            "load_seconds": {"stock": round(their_seconds, 3), "ours": round(our_seconds, 3)},
            "first_requests_seconds": round(compiled, 2),
        }

        if batch in web:
            row["http_ms"] = {way: round(1000 * each, 3) for way, each in web[batch].items()}
            row["http_ratio"] = {
                way: round(web[batch]["stock"] / web[batch][way], 2) for way in ("default", "fast")
            }

        print(line(row), flush=True)
        measured.append(row)

    return measured


def line(row: dict[str, Any]) -> str:
    times = ", ".join(f"{way} {figure:8.3f} ms" for way, figure in row["ms"].items())
    web = ", ".join(f"{way} {figure:.2f} ms" for way, figure in row.get("http_ms", {}).items())
    web += (
        "; " + ", ".join(f"{way} {figure:.2f}x" for way, figure in row["http_ratio"].items())
        if web
        else ""
    )
    ratios = ", ".join(f"{way} {figure:5.2f}x" for way, figure in row["ratio"].items())

    return (
        f"{row['network']:8} T={row['steps']:<4} batch {row['batch']:<4} {times}   {ratios}   off"
        f" by {row['max_difference']:.0e}   {row['bytes']['ours'] / 1e6:.1f} MB of"
        f" {row['bytes']['stock'] / 1e6:.1f} MB, loaded in {row['load_seconds']['ours']:.2f} s of"
        f" {row['load_seconds']['stock']:.2f} s" + (f"\n{'':>30}over HTTP: {web}" if web else "")
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way at each shape")
    parser.add_argument("--no-http", action="store_true", help="in process only")

    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for kind in ("simple", "default")
            for steps in (40, 200)
            for row in measure(
                kind, steps, Path(folder), options.rounds, options.seconds, not options.no_http
            )
        ]

    met = all(
        row["ratio"][key[0]] >= least
        for row in rows
        for key, least in WANTED.items()
        if key[1] == row["batch"] and key[2:] in ((), (row["steps"],))
    )
    common.print_result(
        {
            "rows": rows,
            "wanted_ratios_met": met,
            "max_difference": max(row["max_difference"] for row in rows),
        }
    )


if __name__ == "__main__":
    main()
