"""The trainer on the GPUs of this machine, in five minutes.

    python -m benchmarks.gpu [--rows 4000] [--steps 30] [--rounds 3]
    python -m benchmarks.gpu --cpu       # the same on two logical devices of the CPU: that it works

Speed: steps by the trainer and by Keras's own `fit`, the same network and batches, both under
MirroredStrategy on all GPUs; the shapes are those of benchmarks/trainer.py, and the median of the
rounds counts. Losses: a training on the CPU, on one GPU, and on 2, 4, ... and all GPUs, without
dropout, because every replica draws for rows of its own; seconds include tracing. The rows are made
up, no data set is needed. The exit code is 1 if a loss differs from the CPU's by more than 1e-3, or
if there is no GPU.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import common
from benchmarks.distributed import SETTINGS
from benchmarks.trainer import (
    PLAIN,
    SHAPES,
    VOCABULARY,
    make_features,
    medians,
    ours,
    row,
    spec_of,
    stock,
    synthetic,
)
from components.trainer import TrainerParams, run

# A GPU adds up in another order, and in parts of another size.
TOLERANCE = 1e-3
NUM_CLASSES = 4


def find_devices(on_cpu: bool) -> list[str]:
    """The devices to measure, such as "GPU:0". Starts nothing in TensorFlow.

    Raises:
        SystemExit: There is no GPU.
    """
    if on_cpu:
        tf.config.set_visible_devices([], "GPU")
        cpu, *_ = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return ["CPU:0", "CPU:1"]

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        raise SystemExit(
            "TensorFlow sees no GPU on this machine: nothing was measured. nvidia-smi and"
            " CUDA_VISIBLE_DEVICES say why; --cpu runs the script on the CPU."
        )
    return [f"GPU:{number}" for number in range(len(gpus))]


def make_rows(num_rows: int, path: Path) -> Path:
    """Rows of three to forty words, of which a third are words of the row's class."""
    random, rows = np.random.default_rng(0), []
    for number in range(num_rows):
        label = number % NUM_CLASSES
        words = [f"w{word}" for word in random.zipf(1.5, random.integers(3, 41)) % 5000]
        words[::3] = [f"c{label}x{word}" for word in random.integers(0, 200, len(words[::3]))]
        rows.append({"text": " ".join(words), "label": f"class {label}"})
    common.write_jsonl(path, rows)
    return path


def speed(num_steps: int, num_rounds: int) -> list[dict[str, Any]]:
    """Examples a second of the trainer and of `fit`, shape by shape."""
    table = common.Table(("shape", "<26"), ("keras /s", "12,d"), ("ours /s", "12,d"), ("x", "7.2f"))
    results = []
    for time_steps, batch_size, embedding_dim, units in SHAPES:
        sizes = {"embedding_dim": embedding_dim, "rnn_units": units, "batch_size": batch_size}
        params = TrainerParams(**sizes, **PLAIN)
        spec = spec_of(params, VOCABULARY, NUM_CLASSES, time_steps)
        data = synthetic(num_steps, time_steps, batch_size)
        ways = {"keras": stock(spec, params, data), "seqline": ours(spec, params, data, num_steps)}

        shape = f"T={time_steps} B={batch_size} E={embedding_dim} U={units}"
        result = row(shape, medians(ways, num_rounds), num_steps * batch_size)
        rates = result["examples_per_second"]
        table.row(shape, rates["keras"], rates["seqline"], result["ratio"]["keras"])
        results.append(result)
    return results


def losses(features: Path, devices: list[str], work: Path) -> list[dict[str, Any]]:
    """Trainings on the CPU, and on 1, 2, 4, ... and all devices."""
    counts = [2**power for power in range(len(devices).bit_length()) if 2**power < len(devices)]
    layouts = [["CPU:0"], *(devices[:count] for count in [*counts, len(devices)])]
    columns = ("loss", "12.8f"), ("val_loss", "12.8f"), ("difference", "10.1e"), ("s", "7.1f")
    table = common.Table(("devices", "<22"), *columns)

    results: list[dict[str, Any]] = []
    for number, names in enumerate(layouts):
        output, started = work / str(number), time.monotonic()
        output.mkdir(parents=True)
        run(features=features, params=TrainerParams(**SETTINGS, devices=names), output=output)
        seconds = time.monotonic() - started

        history = json.loads((output / "history.json").read_text())
        both = np.array([history["loss"], history["val_loss"]])
        alone = results[0]["losses"] if results else both.tolist()
        difference = float(np.abs(both - np.array(alone)).max())
        shown = f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0]
        table.row(shown, both[0, -1], both[1, -1], difference, seconds)
        results.append({"devices": names, "losses": both.tolist(), "difference": difference})
    return results


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--cpu", action="store_true", help="on two logical devices of the CPU")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    devices = find_devices(arguments.cpu)
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(arguments.rows, Path(folder, "rows.jsonl"))
        features = make_features(str(rows), Path(folder), max_length=40)
        # Before a training makes TensorFlow deterministic, which `fit` by itself is not.
        rates = speed(arguments.steps, arguments.rounds)
        print()
        trained = losses(features, devices, Path(folder, "trained"))

    common.print_result({"devices": devices, "speed": rates, "losses": trained})
    worst = max(result["difference"] for result in trained)
    if worst > TOLERANCE:
        raise SystemExit(f"a loss differs from the CPU's by {worst:.1e}")


if __name__ == "__main__":
    main()
