"""Several workers and an evaluator with a root in a store, killed on the way, in real processes."""

import subprocess
import sys
import time
from pathlib import Path

from seqline.errors import LostWorkerError
from seqline.storage import objects
from tests.support.command_line import environment
from tests.support.training import free_ports, tf_config

TIMEOUT = 300
SETTINGS = [
    "trainer.embedding_dim=8",
    "trainer.rnn_units=8",
    "trainer.skip_dim=8",
    "trainer.batch_size=16",
    "trainer.num_epochs=12",
    "trainer.checkpoint_steps=10",
    "transform.max_length=8",
]


def start(root: str, source: Path, cache: Path, config: str) -> subprocess.Popen[str]:
    """A task with a cache of its own, as another machine has."""
    settings = [f"--set={setting}" for setting in SETTINGS]
    command = ["run", str(source), f"--root={root}", "--to=trainer", *settings]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command],
        env={
            **environment(),
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CONFIG": config,
            "SEQLINE_CACHE": str(cache),
        },
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out, err


def model_of(root: str) -> dict[str, bytes]:
    """The weights and the history of the Model under a root in a store or a folder."""
    if objects.is_remote(root):
        contents = {path: objects.read(path) for path, _, _ in objects.find(f"{root}/trainer/")}
    else:
        paths = [path for path in Path(root, "trainer").rglob("*") if path.is_file()]
        contents = {str(path): path.read_bytes() for path in paths}
    kept = ("history.json", "model.weights.h5")
    return {
        name: content
        for path, content in contents.items()
        for name in kept
        if content is not None and path.endswith(f"/{name}")
    }


def check_killed_and_again(root: str, source: Path, folder: Path) -> None:
    """Trains under a root, and asserts that it becomes what a folder gets."""
    ports = free_ports(2)

    def tasks(*names: tuple[str, int]) -> list[subprocess.Popen[str]]:
        return [
            start(root, source, folder / f"{job}-{index}", tf_config(ports, index, job))
            for job, index in names
        ]

    chief, worker = tasks(("worker", 0), ("worker", 1))
    deadline = time.monotonic() + TIMEOUT
    while not any("/checkpoint-" in path for path, _, _ in objects.find(f"{root}/work/")):
        assert time.monotonic() < deadline
        assert chief.poll() is None, chief.communicate()
        time.sleep(0.2)
    worker.kill()
    worker.communicate()
    code, _, err = end(chief)
    assert code == LostWorkerError.exit_code, err
    assert err.startswith(f"worker 1 (localhost:{ports[1]}) was lost while training.")

    ended = [end(task) for task in tasks(("worker", 0), ("worker", 1), ("evaluator", 0))]
    assert [code for code, _, _ in ended] == [0, 0, 0], [err[-2000:] for _, _, err in ended]
    assert "trainer: ended; its artifact is the chief's" in ended[1][1]
    assert "evaluator: the chief's run " in ended[2][1]
    assert ended[2][1].endswith(" is over: finished\n")

    local, ports = folder / "root", free_ports(2)
    both = [
        start(str(local), source, folder / "cache", tf_config(ports, index)) for index in (0, 1)
    ]
    ended = [end(task) for task in both]
    assert [code for code, _, _ in ended] == [0, 0], [err[-2000:] for _, _, err in ended]
    assert sorted(model_of(str(local))) == ["history.json", "model.weights.h5"]
    assert model_of(root) == model_of(str(local))
