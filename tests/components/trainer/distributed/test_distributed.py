"""Several workers, lost ones, and signals, in real processes.

Several devices of one process: see test_replicas.py.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import TrainerParams, run
from pipeline.store.layout import artifact_digest
from seqline.data.features import EVAL, TRAIN
from seqline.errors import StoppedError
from seqline.model.network import load
from tests.support import CHECKOUT
from tests.support.training import free_ports, tf_config, write_features

STILL = {"word_dropout": 0, "dropout": 0, "skip_dropout": 0, "branch_dropout": 0}


def start(arguments: list[str], config: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": config}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


pytestmark = pytest.mark.slow

# The trainer's own entry, and a look at the weights that a worker ends with: only the chief writes
# them.
WORKER = """
import hashlib, json, sys
from pathlib import Path
from components.trainer import TrainerParams, run
from components.trainer.training import Training

def train(self, *given, train=Training.run):
    train(self, *given)
    print(hashlib.sha256(b"".join(each.tobytes() for each in self.loop.weights())).hexdigest())
Training.run = train
features, output = Path(sys.argv[1]), Path(sys.argv[3])
params = TrainerParams(**json.loads(sys.argv[2]))
print(json.dumps(run(features=features, params=params, output=output)))
"""


@pytest.mark.parametrize("are_weighted", [False, True])
def test_two_workers_train_what_one_device_trains_also_where_a_batch_has_no_row_for_one(
    features: Path, tmp_path: Path, are_weighted: bool
) -> None:
    if are_weighted:
        features = with_weights(features, tmp_path / "features")
    # 163 rows in batches of 54, the last one of a single row; the eval split is one batch of 23.
    settings = {
        "embedding_dim": 8,
        "rnn_units": 8,
        "skip_dim": 8,
        "batch_size": 54,
        "num_epochs": 3,
        **STILL,
    }

    ports = free_ports(2)
    for name in ("0", "1", "alone"):
        (tmp_path / name).mkdir()
    workers = [
        start(
            ["-c", WORKER, str(features), json.dumps(settings), str(tmp_path / str(index))],
            tf_config(ports, index),
        )
        for index in (0, 1)
    ]
    run(features=features, params=TrainerParams(**settings), output=tmp_path / "alone")

    ended = [end(worker) for worker in workers]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]

    # Weights and figures, to the last bit. Only the chief has a wide part, and judges the whole.
    (weights, chief), (others, worker) = (out.splitlines() for _, out, _ in ended)
    assert weights == others
    of_chief, of_worker = json.loads(chief), json.loads(worker)
    assert of_chief["pool"][0] > 0
    assert of_chief["eval_accuracy_recurrent"] == of_worker.pop("eval_accuracy")
    del of_worker["eval_loss"]
    assert of_worker.items() <= of_chief.items()
    assert list((tmp_path / "1").iterdir()) == []

    together, alone = (
        json.loads((tmp_path / name / "history.json").read_text()) for name in ("0", "alone")
    )
    for name, values in together.items():
        assert values == pytest.approx(alone[name], abs=1e-5), name
    for mine, theirs in zip(
        load(tmp_path / "0")[0].get_weights(),
        load(tmp_path / "alone")[0].get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


# What a worker reads while it trains, and its losses.
COUNTED = """
import json, sys
from pathlib import Path
from components.trainer import TrainerParams, fit, run
def num_read():
    return int(Path("/proc/self/io").read_text().split()[1])
features, output = Path(sys.argv[1]), Path(sys.argv[3])
params, before = TrainerParams(**json.loads(sys.argv[2])), num_read()
run(features=features, params=params, output=output)
print(num_read() - before)
"""


def test_two_and_four_workers_read_their_rows_alone_and_have_the_losses_of_one(
    tmp_path: Path,
) -> None:
    # 18 MB of numbers that hardly compress, in four files of each split; the last is a little one.
    rng, features = np.random.default_rng(0), tmp_path / "features"
    sizes = {TRAIN: (501, 500, 500, 499), EVAL: (101, 100, 100, 99)}
    for split, counts in sizes.items():
        shards = [
            [{"values": rng.normal(size=2048), "label": [row % 2]} for row in range(count)]
            for count in counts
        ]
        write_features(features, split, shards)
    (features / "vocabularies").mkdir()
    (features / "vocabularies" / "labels").write_text("even\nodd\n")
    summary = {
        "content": "sequence",
        "dim": 128,
        "max_length": 16,
        "num_rows": {split: sum(counts) for split, counts in sizes.items()},
    }
    (features / "transform.json").write_text(json.dumps(summary))
    size = sum(path.stat().st_size for path in features.glob("Split-*/*"))
    settings = {"rnn_units": 4, "skip_dim": 4, "batch_size": 100, "num_epochs": 2, **STILL}

    read, histories = {}, {}
    for num_workers in (1, 2, 4):
        ports = free_ports(num_workers)
        outputs = [tmp_path / f"{num_workers}-{index}" for index in range(num_workers)]
        workers = []
        for index, output in enumerate(outputs):
            output.mkdir()
            config = tf_config(ports, index) if num_workers > 1 else ""
            given = [str(features), json.dumps(settings), str(output)]
            workers.append(start(["-c", COUNTED, *given], config))
        ended = [end(worker) for worker in workers]
        assert [code for code, _, _ in ended] == [0] * num_workers, ended[0][2][-2000:]
        read[num_workers] = [int(out.splitlines()[-1]) for _, out, _ in ended]
        histories[num_workers] = json.loads((outputs[0] / "history.json").read_text())

    # Train is read twice, to count and to keep it, and eval once, or twice with several workers;
    # TensorFlow reads a few megabytes for itself.
    own = 5e6
    assert size > 15e6
    assert 1.8 * size < read[1][0] < 1.9 * size + own
    for num_workers in (2, 4):
        for num_read in read[num_workers]:
            assert 1.9 * size / num_workers < num_read < 2.1 * size / num_workers + own
        for name, values in histories[num_workers].items():
            assert values == pytest.approx(histories[1][name], abs=1e-6), name


def with_weights(features: Path, target: Path) -> Path:
    """A copy of Features in which the rows of train weigh 0, 0.5, 1 and 1.5, in turn."""
    shutil.copytree(features, target)
    for path in (target / f"Split-{TRAIN}").iterdir():
        records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for number, record in enumerate(records):
                row = tf.train.Example.FromString(record)
                row.features.feature["weight"].float_list.value.append(number % 4 / 2)
                writer.write(row.SerializeToString())

    summary = json.loads((target / "transform.json").read_text())
    (target / "transform.json").write_text(json.dumps({**summary, "weighted": True}))
    return target


def seqline(root: Path, *arguments: str, config: str = "") -> subprocess.Popen[str]:
    settings = [
        "embedding_dim=8",
        "rnn_units=8",
        "skip_dim=8",
        "batch_size=16",
        "num_epochs=60",
        "patience=60",
        "checkpoint_steps=25",
    ]

    places = [
        f"--config={root.parent / 'config.toml'}",
        f"--root={root}",
        *(f"--set=trainer.{setting}" for setting in settings),
    ]
    return start(["-m", "pipeline", "run", *places, *arguments], config)


def wait_for_checkpoint(root: Path, process: subprocess.Popen[str], after: int = 0) -> None:
    while not [
        path
        for path in root.glob("work/*/checkpoint-*.npz")
        if int(path.stem.removeprefix("checkpoint-")) > after
    ]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A folder with a configuration and `base`, a root with the Features."""
    place = tmp_path_factory.mktemp("runs")
    (place / "config.toml").write_text(
        f"[example_gen]\nsource = {json.dumps(str(corpus))}\n[transform]\nmin_frequency ="
        " 1\nmax_length = 8\n"
    )
    code, _, err = end(seqline(place / "base", "--to=transform"))
    assert code == 0, err
    return place


def a_root(place: Path, name: str) -> Path:
    return shutil.copytree(place / "base", place / name)


def both(root: Path, ports: list[int]) -> list[subprocess.Popen[str]]:
    return [
        seqline(root, "--to=trainer", "--set=trainer.num_epochs=20", config=tf_config(ports, index))
        for index in (0, 1)
    ]


def model_digest(root: Path) -> str:
    [model] = (root / "trainer").iterdir()
    return artifact_digest(model)


def test_workers_that_are_killed_or_stopped_go_on_to_the_same_weights(place: Path) -> None:
    whole, root = a_root(place, "whole"), a_root(place, "interrupted")
    ended = [end(worker) for worker in both(whole, free_ports(2))]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]
    assert "trainer: ended; its artifact is the chief's" in ended[1][1]
    assert len(list((whole / "runs").iterdir())) == 2  # that of `base`, and the chief's

    ports = free_ports(2)
    chief, worker = both(root, ports)
    wait_for_checkpoint(root, chief)
    worker.kill()
    worker.communicate()
    code, _, err = end(chief)
    assert code == StoppedError.exit_code, err[-2000:]
    assert (
        err == f"worker 1 (localhost:{ports[1]}) was lost while training. Run the same command"
        " on all 2 workers again: it goes on from the last checkpoint.\n"
    )

    chief, worker = both(root, ports)
    wait_for_checkpoint(
        root, chief, after=max(int(path.stem[-9:]) for path in root.glob("work/*/checkpoint-*.npz"))
    )
    worker.terminate()
    for process in (chief, worker):
        code, _, err = end(process)
        assert code == StoppedError.exit_code, err[-2000:]
        assert err.startswith("stopped at step ")
        by = "SIGTERM" if process is worker else f"a signal to worker 1 (localhost:{ports[1]})"
        assert err.endswith(f" of 220 by {by}; the same command goes on from there\n")

    ended = [end(worker) for worker in both(root, ports)]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]
    assert model_digest(root) == model_digest(whole)

    # What is finished is found by both.
    ended = [end(worker) for worker in both(root, ports)]
    assert [code for code, _, _ in ended] == [0, 0]
    assert "trainer: finished, nothing to take part in" in ended[1][1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_training_with_a_checkpoint(place: Path, number: signal.Signals) -> None:
    root = a_root(place, number.name)
    process = seqline(root, "--to=trainer")
    wait_for_checkpoint(root, process)
    process.send_signal(number)
    code, _, err = end(process)
    assert code == StoppedError.exit_code == 50

    [line] = err.splitlines()
    step = max(int(path.stem.removeprefix("checkpoint-")) for path in root.glob("work/*/*.npz"))
    assert (
        line
        == f"stopped at step {step} of 660 by {number.name}; the same command goes on from there"
    )

    record = json.loads(max(root.glob("runs/*/run.json")).read_text())
    assert record["verdict"] == "stopped"
    assert not (root / "trainer").exists()
    assert list((root / "partial").iterdir()) == []


def test_a_run_that_was_stopped_ends_with_the_same_bits(place: Path) -> None:
    roots = [a_root(place, "alone"), place / "SIGTERM"]
    assert list(roots[1].glob("work/*/*.npz"))
    for root in roots:
        code, _, err = end(seqline(root, "--to=trainer"))
        assert code == 0, err
    assert model_digest(roots[0]) == model_digest(roots[1])


def test_a_signal_ends_another_stage_and_nothing_is_half_made(place: Path) -> None:
    root = place / "early"
    process = seqline(root, "--to=transform")
    while not list(root.glob("partial/example_gen-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(0.5)  # Until the stage's process has been started.

    process.terminate()

    code, _, err = end(process)
    assert code == 50
    assert err.splitlines() == [
        "stopped in example_gen, of which nothing half-made was kept, by SIGTERM; the same"
        " command goes on from there"
    ]
    assert list((root / "partial").iterdir()) == []


def test_a_malformed_tf_config_ends_a_run_before_it_begins(place: Path) -> None:
    code, _, err = end(seqline(place / "none", config="{"))
    assert code == 2
    assert err.startswith("error: TF_CONFIG is not JSON")
    assert not (place / "none").exists()
