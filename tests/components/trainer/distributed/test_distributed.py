"""Several workers, lost ones, and signals.

Real processes on this machine. (Several devices of one process: test_trainer.py.)
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.trainer import TrainerParams, run
from components.trainer.distributed import cluster
from components.trainer.distributed.cluster import Cluster
from components.trainer.distributed.rendezvous import meet
from components.trainer.distributed.strategy import chosen, sliced
from components.trainer.interruption import noted
from pipeline.store.layout import artifact_digest
from seqline.errors import StoppedError, UserError
from seqline.model.network import load
from tests.support import CHECKOUT

STILL = {"word_dropout": 0, "dropout": 0, "skip_dropout": 0, "branch_dropout": 0}
TWO = {"worker": ["localhost:1", "localhost:2"]}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tf_config(ports: list[int], index: int) -> str:
    return json.dumps(
        {
            "cluster": {"worker": [f"localhost:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
    )


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
    out, err = process.communicate(timeout=150)
    return process.returncode, out, err


pytestmark = pytest.mark.slow

# The trainer's own entry, and a look at the weights that a worker ends with: only the chief writes
# them.
WORKER = """
import hashlib, json, sys
from pathlib import Path
from components.trainer import TrainerParams, fit, run

def train(self, *given, train=fit.Training.run):
    train(self, *given)
    print(hashlib.sha256(b"".join(each.tobytes() for each in self.loop.weights())).hexdigest())
fit.Training.run = train
print(json.dumps(run(features=Path(sys.argv[1]), params=TrainerParams(**json.loads(sys.argv[2])), output=Path(sys.argv[3]))))
"""


def test_two_workers_train_what_one_device_trains_also_where_a_batch_has_no_row_for_one(
    features: Path, tmp_path: Path
) -> None:
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
    ended = [end(each) for each in workers]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]
    assert (
        ended[0][1].splitlines() == ended[1][1].splitlines()
    )  # weights and figures, to the last bit
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
        *(f"--set=trainer.{each}" for each in settings),
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
    ended = [end(each) for each in both(whole, free_ports(2))]
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
        err
        == f"error: worker 1 (localhost:{ports[1]}) was lost while training. Run the same command"
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

    ended = [end(each) for each in both(root, ports)]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]
    assert model_digest(root) == model_digest(whole)
    # What is finished is found by both.
    ended = [end(each) for each in both(root, ports)]
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
    while not list(root.glob("runs/*/log.txt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.terminate()
    code, _, err = end(process)
    assert (code, err.splitlines()) == (
        50,
        [
            "stopped in example_gen, of which nothing half-made was kept, by SIGTERM; the same"
            " command goes on from there"
        ],
    )
    assert list((root / "partial").iterdir()) == []


def test_a_signal_is_noted_and_a_second_one_is_obeyed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with noted() as notice:
        assert notice.signal == ""
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(
            os.getpid(), signal.SIGTERM
        )  # of the service manager, and of the process that started this one
        assert notice.signal == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG is not JSON"),
        ("[]", 'has no table "cluster"'),
        ('{"task": {"type": "worker", "index": 0}}', 'has no table "cluster"'),
        (json.dumps({"cluster": TWO}), 'has no "task" with a type and an index'),
        (json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}), "says that this is worker 2, and the cluster has worker 0, worker 1"),
        (json.dumps({"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}), "has 'b' in cluster.worker, which is not host:port"),
        (json.dumps({"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}), "has no list of addresses in cluster.worker"),
        (json.dumps({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}), "names a:1 twice"),
        (json.dumps({"cluster": {**TWO, "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}), "names the job 'ps'"),
        (json.dumps({"cluster": {**TWO, "chief": ["c:1", "d:1"]}, "task": {"type": "worker", "index": 0}}), "names more than one chief"),
    ],
)  # fmt: skip
def test_a_malformed_tf_config_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^TF_CONFIG ") as raised:
        cluster.read({"TF_CONFIG": text})
    assert message in str(raised.value)


def test_tf_config() -> None:
    for text in (
        "",
        "{}",
        json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}),
    ):
        assert cluster.read({"TF_CONFIG": text}) is None
    second = cluster.read(
        {"TF_CONFIG": json.dumps({"cluster": TWO, "task": {"type": "worker", "index": "1"}})}
    )
    assert second == Cluster((("worker", 0, "localhost:1"), ("worker", 1, "localhost:2")), 1)
    assert (second.is_chief, second.name(1), second.address(0)) == (
        False,
        "worker 1 (localhost:2)",
        ("localhost", 1),
    )
    led = cluster.read(
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {**TWO, "chief": ["c:3"]}, "task": {"type": "chief", "index": 0}}
            )
        }
    )
    assert led is not None
    assert (led.is_chief, led.others, led.name(2)) == (True, (1, 2), "worker 1 (localhost:2)")


def test_a_malformed_tf_config_ends_a_run_before_it_begins(place: Path) -> None:
    code, _, err = end(seqline(place / "none", config="{"))
    assert code == 2
    assert err.startswith("error: TF_CONFIG is not JSON")
    assert not (place / "none").exists()


def members(count: int) -> list[Cluster]:
    ports = free_ports(count)
    return [
        Cluster(
            tuple(("worker", index, f"localhost:{port}") for index, port in enumerate(ports)),
            number,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, r"worker 1 \(.*did not come within 1 s"), (1, r"worker 0 \(.*did not answer within 1 s")],
)
def test_a_worker_that_waits_for_nobody_says_so(number: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        meet(members(2)[number], {}, {}, 1.0)


def test_workers_meet_and_notice_who_is_gone() -> None:
    found, three = {}, members(3)

    def come(number: int) -> None:
        found[number] = meet(three[number], {"seed": 1}, {"step": 7}, 60.0)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number][1] for number in range(3)] == [{"step": 7}] * 3
    links = [found[number][0] for number in range(3)]
    assert links[0].gone == {}
    links[1].close(is_orderly=True)
    assert links[0].who_is_gone(30.0) == {1: "ended"}
    links[2].close(is_orderly=False)
    with links[0].changed:
        assert links[0].changed.wait_for(lambda: len(links[0].gone) == 2, 30.0)
    assert links[0].gone == {1: "ended", 2: "was lost"}
    links[0].close(is_orderly=True)


def test_workers_with_other_settings_are_refused_on_both_sides() -> None:
    errors, two = {}, members(2)

    def come(number: int) -> None:
        try:
            meet(two[number], {"trainer.seed": number}, {}, 60.0)
        except UserError as error:
            errors[number] = str(error)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "does not train the same" in errors[0]
    assert "trainer.seed 1 there, 0 here" in errors[0]
    assert errors[0] == errors[1]


def test_slices_are_as_even_as_can_be() -> None:
    batches = tf.data.Dataset.range(11).batch(8).map(lambda rows: ((rows, rows + 100), rows))
    slices = [
        list(sliced(batches, range(first, first + 2), 4).as_numpy_iterator()) for first in (0, 2)
    ]
    assert [[rows.tolist() for _, rows in each] for each in slices] == [
        [[0, 1], [2, 3], [], [8]],
        [[4, 5], [6, 7], [9], [10]],
    ]
    assert slices[0][1][0][1].tolist() == [102, 103]


def test_devices() -> None:
    found = ["CPU:0", "GPU:0", "GPU:1"]
    assert chosen(None, found) == ["GPU:0", "GPU:1"]
    assert chosen(None, ["CPU:0"]) == ["CPU:0"]
    assert chosen(1, found) == ["GPU:0"]
    assert chosen(["gpu:1"], found) == ["GPU:1"]
    with pytest.raises(
        UserError, match=r"trainer\.devices names GPU:2; here are CPU:0, GPU:0, GPU:1\. "
    ):
        chosen(["GPU:0", "GPU:2"], found)
    with pytest.raises(
        UserError, match=r"trainer\.devices = 3 means as many GPUs; here are CPU:0, GPU:0, GPU:1\. "
    ):
        chosen(3, found)
    assert (
        TrainerParams(devices=2).key_fields()
        == TrainerParams(checkpoint_steps=7).key_fields()
        == TrainerParams().key_fields()
    )


@pytest.mark.parametrize(
    "devices", [0, [], ["TPU:0"], ["CPU:0", "cpu:0"], ["CPU:0", "GPU:0"], "GPU:0"]
)
def test_devices_that_can_be_none_are_refused_at_once(devices: object) -> None:
    with pytest.raises(ValidationError, match="devices"):
        TrainerParams(devices=devices)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_ends_the_trainer(features: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.devices names CPU:7; here are CPU:0"):
        run(features=features, params=TrainerParams(devices=["CPU:7"]), output=tmp_path)
