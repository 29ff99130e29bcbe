"""Trains the same on 1, 2 and 4 devices of one process and on 2 and 4 workers.

    python -m benchmarks.distributed [--dataset trec6] [--rows 1500] [--megabytes 32]

Compares the losses of trainings on the first rows of <data>/<dataset>/train.jsonl, {"text",
"label"}, and the bytes that each worker reads of sequences of random numbers, which do not
compress. The devices are logical ones of the CPU, and the workers are processes on this machine:
this compares results, not speed. There is no dropout, because every replica draws for rows of its
own, and no wide part, which the chief alone fits.
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
from typing import Any

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
    "wide": False,
}
# Numbers of a row of the random sequences: time steps and their width.
TIME, DIM = 32, 32
TRAIN = """
import json, sys
from pathlib import Path
import tensorflow as tf
features, output, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4])
cpu = tf.config.list_physical_devices("CPU")[0]
if count > 1:
    part = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [part] * count)
from components.trainer import TrainerParams, fit, run
def num_read():
    lines = Path("/proc/self/io").read_text().split("\\n")
    return int(lines[0].removeprefix("rchar: "))
devices = [f"CPU:{number}" for number in range(count)]
params = TrainerParams(**json.loads(sys.argv[3]), devices=devices)
before = num_read()
run(features=features, params=params, output=output)
print(num_read() - before)
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


def make_sequences(megabytes: int, folder: Path, num_files: int = 8) -> Path:
    """Features of sequences of random numbers, a fifth of them in eval."""
    import numpy as np
    import tensorflow as tf

    rng, num_rows = np.random.default_rng(0), megabytes * 2**20 // (TIME * DIM * 4)
    sizes = {"train": num_rows * 4 // 5, "eval": num_rows // 5}
    for split, size in sizes.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        for number in range(num_files):
            name = f"data_tfrecord-{number:05d}-of-{num_files:05d}.gz"
            with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / name), "GZIP") as writer:
                for label in rng.integers(0, 2, size // num_files):
                    row = tf.train.Example()
                    values = rng.normal(size=TIME * DIM) + label
                    row.features.feature["values"].float_list.value.extend(values)
                    row.features.feature["length"].int64_list.value.append(TIME)
                    row.features.feature["label"].int64_list.value.append(label)
                    writer.write(row.SerializeToString())

    (folder / "vocabularies").mkdir()
    (folder / "vocabularies" / "labels").write_text("low\nhigh\n")
    counts = {split: size // num_files * num_files for split, size in sizes.items()}
    summary = {"content": "sequence", "dim": DIM, "max_length": TIME, "num_rows": counts}
    (folder / "transform.json").write_text(json.dumps(summary))
    return folder


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
) -> tuple[dict[str, list[float]], float, list[int]]:
    """(history.json, seconds, bytes that each worker reads)."""
    folder.mkdir(exist_ok=True)
    started, processes, num_read = time.monotonic(), [], []
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
            subprocess.Popen(
                arguments,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    for process in processes:
        out, err = process.communicate()
        if process.returncode:
            raise SystemExit(err)
        num_read.append(int(out.splitlines()[-1]))

    history = json.loads((folder / f"{num_workers}-{num_devices}-0" / "history.json").read_text())
    return history, time.monotonic() - started, num_read


def main() -> None:
    parser = common.parser(__doc__, dataset="trec6")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--megabytes", type=int, default=32, help="of random numbers")
    arguments = parser.parse_args()
    layouts = {
        "1 device": (1, 1),
        "2 devices": (2, 1),
        "4 devices": (4, 1),
        "2 workers": (1, 2),
        "4 workers": (1, 4),
    }

    with tempfile.TemporaryDirectory() as folder:
        features = make_features(arguments.data / arguments.dataset, arguments.rows, Path(folder))
        trainings = {
            name: train(features, Path(folder), *layout) for name, layout in layouts.items()
        }
        sequences = make_sequences(arguments.megabytes, Path(folder, "sequences"))
        size = sum(path.stat().st_size for path in sequences.glob("Split-*/*"))
        read = {
            number: train(sequences, Path(folder, "read"), 1, number)[2] for number in (1, 2, 4)
        }
    alone = trainings["1 device"][0]
    print(
        f"{'':<10} "
        + " ".join(f"{f'epoch {number + 1}':>12}" for number in range(len(alone["loss"])))
        + "   largest difference  seconds"
    )

    results: dict[str, Any] = {}
    for name, (history, seconds, _) in trainings.items():
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

    print(f"\nbytes that each worker reads of Features of {size:,}")
    for number, of_workers in read.items():
        print(f"{number} worker(s)  " + "  ".join(f"{num_bytes:>12,}" for num_bytes in of_workers))

    common.print_result({**results, "bytes": size, "read": read})


if __name__ == "__main__":
    main()
