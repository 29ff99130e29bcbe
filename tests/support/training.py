"""Features by hand, and trainings on several devices."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

from components.trainer import TrainerParams
from components.trainer.input import dataset
from seqline.component import Figures
from seqline.data.features import TRAIN
from tests.support import CHECKOUT

SMALL = {
    "embedding_dim": 4,
    "rnn_units": 4,
    "wide": False,
    "skip_dim": 4,
    "batch_size": 64,
    "num_epochs": 2,
}
# Twenty texts of up to four tokens; each has another first token, and the class is the length
# modulo three.
TEXTS = [[], *([number] * (number % 4 + 1) for number in range(1, 20))]
# Forty sequences of one to five time steps of two numbers; the second one is noise, and the class
# is whether the first one rises.
SEQUENCES = [
    [[(step + 1) * (-1) ** number, number % 7 - 3] for step in range(number % 5 + 1)]
    for number in range(40)
]


def write_features(root: Path, split: str, shards: list[list[dict[str, list]]]) -> None:
    """Writes a split of Features: by shard, rows of feature name -> numbers."""
    (root / f"Split-{split}").mkdir(parents=True)
    for number, rows in enumerate(shards):
        path = root / f"Split-{split}" / f"data_tfrecord-{number:05d}-of-{len(shards):05d}.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for row in rows:
                example = tf.train.Example()
                for name, numbers in row.items():
                    feature = example.features.feature[name]
                    is_float = name in ("values", "weight")
                    numbers_of = feature.float_list if is_float else feature.int64_list
                    numbers_of.value.extend(numbers)
                writer.write(example.SerializeToString())


class KilledError(Exception):
    """Stands for SIGKILL: what follows is not done."""


REPLICAS = """
import json, sys
from pathlib import Path
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
from components.trainer import TrainerParams, run
features, root, found = Path(sys.argv[1]), Path(sys.argv[2]), {}
for name, params in json.loads(sys.argv[3]).items():
    (root / name).mkdir()
    found[name] = run(features=features, params=TrainerParams(**params), output=root / name)
print(json.dumps(found))
"""


def train_on_replicas(
    trainings: dict[str, tuple[int, TrainerParams]], features: Path, root: Path
) -> dict[str, Figures]:
    """Trains in another process, one training after the other.

    Args:
        trainings: name -> (number of replicas, params).
        root: where the Models are written, by name.
    """
    settings = {
        name: {**params.model_dump(), "devices": [f"CPU:{number}" for number in range(count)]}
        for name, (count, params) in trainings.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(features), str(root), json.dumps(settings)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )

    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def batches(rows: Path, **settings: object) -> list[tuple]:
    """The batches of the train split of Features, of the TEXTS unless `settings` say otherwise."""
    of_texts = {"num_rows": 20, "num_classes": 3, "batch_size": 8, "pad_to": None}
    return list(dataset(rows, TRAIN, **{**of_texts, **settings}).as_numpy_iterator())


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def tf_config(ports: list[int], index: int, job: str = "worker") -> str:
    """TF_CONFIG of a task among workers of this machine."""
    return json.dumps(
        {
            "cluster": {"worker": [f"localhost:{port}" for port in ports]},
            "task": {"type": job, "index": index},
        }
    )
