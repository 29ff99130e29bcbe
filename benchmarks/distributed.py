"""Trains the same on 1, 2 and 4 devices of one process and on 2 workers, and compares the losses.

    python -m benchmarks.distributed [--dataset trec6] [--rows 1500]

Trains on the first rows of <data>/<dataset>/train.jsonl, {"text", "label"}. The devices are logical
ones of the CPU, and the workers are two processes on this machine: this compares results, not
speed. There is no dropout, because every replica draws for rows of its own.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks import common

SETTINGS = {
    "embedding_dim": 16,
    "rnn_units": 16,
    "skip_dim": 16,
    "num_epochs": 2,
    "word_dropout": 0,
    "dropout": 0,
    "skip_dropout": 0,
    "branch_dropout": 0,
}
TRAIN = """
import json, sys
from pathlib import Path
import tensorflow as tf
features, output, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4])
cpu = tf.config.list_physical_devices("CPU")[0]
if count > 1:
    part = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [part] * count)
from components.trainer import TrainerParams, run
devices = [f"CPU:{number}" for number in range(count)]
params = TrainerParams(**json.loads(sys.argv[3]), devices=devices)
run(features=features, params=params, output=output)
"""


def make_features(data: Path, num_rows: int, folder: Path) -> Path:
    from components.example_gen import ExampleGenParams
    from components.example_gen import run as run_example_gen
    from components.transform import TransformParams
    from components.transform import run as run_transform

    examples, features = folder / "examples", folder / "features"
    for path in (examples, features):
        path.mkdir()
    source = folder / "rows.jsonl"
    with (data / "train.jsonl").open() as lines:
        source.write_text("".join(islice(lines, num_rows)))
    run_example_gen(params=ExampleGenParams(source=str(source)), output=examples)
    run_transform(examples=examples, params=TransformParams(max_length=40), output=features)
    return features


def tf_configs(count: int) -> list[str]:
    """TF_CONFIG of each of so many workers on this machine; one trains without."""
    if count == 1:
        return [""]
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    workers = [f"localhost:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    return [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]


def train(
    features: Path, folder: Path, num_devices: int, num_workers: int
) -> tuple[dict[str, list[float]], float]:
    """(history.json, seconds)."""
    started, processes = time.monotonic(), []
    for index, config in enumerate(tf_configs(num_workers)):
        output = folder / f"{num_workers}-{num_devices}-{index}"
        output.mkdir()
        arguments = [
            sys.executable,
            "-c",
            TRAIN,
            str(features),
            str(output),
            json.dumps(SETTINGS),
            str(num_devices),
        ]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": config}
        processes.append(
            subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
        )

    for process in processes:
        _, err = process.communicate()
        if process.returncode:
            raise SystemExit(err)

    history = json.loads((folder / f"{num_workers}-{num_devices}-0" / "history.json").read_text())
    return history, time.monotonic() - started


def main() -> None:
    parser = common.parser(__doc__, dataset="trec6")
    parser.add_argument("--rows", type=int, default=1500)
    arguments = parser.parse_args()
    layouts = {"1 device": (1, 1), "2 devices": (2, 1), "4 devices": (4, 1), "2 workers": (1, 2)}

    with tempfile.TemporaryDirectory() as folder:
        features = make_features(arguments.data / arguments.dataset, arguments.rows, Path(folder))
        trainings = {
            name: train(features, Path(folder), *layout) for name, layout in layouts.items()
        }
    alone = trainings["1 device"][0]
    print(
        f"{'':<10} "
        + " ".join(f"{f'epoch {number + 1}':>12}" for number in range(len(alone["loss"])))
        + "   largest difference  seconds"
    )

    results = {}
    for name, (history, seconds) in trainings.items():
        differences = [
            abs(a - b)
            for figure in ("loss", "val_loss")
            for a, b in zip(history[figure], alone[figure], strict=True)
        ]
        results[name] = {
            "loss": history["loss"],
            "val_loss": history["val_loss"],
            "largest_difference": max(differences),
        }
        losses = " ".join(f"{loss:>12.8f}" for loss in history["loss"])
        print(f"{name:<10} {losses}   {max(differences):>18.1e} {seconds:>8.1f}")

    common.print_result(results)


if __name__ == "__main__":
    main()
