"""Kills pushes at random moments while a reader polls serving_dir, as a server does.

The reader must never see a part of a version.

    python -m tests.soak.push_kills [--kills 50] [--seed 0] [--megabytes 64]

Every push is a process that is killed by SIGKILL at a moment drawn from --seed, between its first
step and the end that it would have come to; one that had ended before is not counted. The model is
large, so that most moments lie within the copy; older versions are removed (keep_versions 3), so
that some lie within that. All the while a reader compares every file of every version with its
manifest, and loads each version once with TensorFlow. After every kill an undisturbed push
must give the next version, the label, and leave nothing behind.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from components.pusher.publish import push
from components.pusher.versions import listing

KEEP = 3
NUM_FILES = 16
FINISHED = "finished"


def make_model(folder: Path, megabytes: int) -> None:
    """A SavedModel that doubles a number, with large assets."""
    import tensorflow as tf

    module = tf.Module()
    module.double = tf.function(
        lambda x: {"doubled": x * 2}, input_signature=[tf.TensorSpec([None], tf.float32, "x")]
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.double})
    for number in range(NUM_FILES):
        (folder / "assets" / f"{number}.bin").write_bytes(
            random.Random(number).randbytes((megabytes << 20) // NUM_FILES)
        )


def push_when_told(model: Path, serving_dir: Path, told: Connection) -> None:
    """Imports first, so that a kill meets the push."""
    told.send("ready")
    told.recv()
    push(model, serving_dir, keep_versions=KEEP)
    told.send("done")


def read_until_told(model: Path, megabytes: int, serving_dir: Path, told: Connection) -> None:
    """Makes the model, polls until it is told to stop, then sends {checks, versions, wrong}.

    A check covers all files of a version; `wrong` lists what must not have been seen. This is the
    only process that needs TensorFlow.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    make_model(model, megabytes)
    told.send("ready")
    seen: set[str] = set()
    wrong: list[str] = []

    checks = 0

    while not told.poll():
        for folder in [path for path in serving_dir.glob("*") if path.name.isdigit()]:
            try:
                verify(folder)
                checks += 1
                if folder.name not in seen:
                    assert (
                        tf.saved_model.load(str(folder))
                        .signatures["serving_default"](x=tf.constant([2.0]))["doubled"]
                        .numpy()
                        == 4
                    )
                    seen.add(folder.name)
            except Exception as error:
                if folder.exists():  # otherwise it was removed as a whole while it was read
                    wrong.append(f"{folder.name}: {type(error).__name__}: {error}")

    told.send({"checks": checks, "versions": len(seen), "wrong": wrong})


def verify(folder: Path) -> None:
    """Raises if a version is not exactly what its manifest says."""
    manifest = json.loads((folder / "assets.extra/manifest.json").read_text())
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    assert set(files) == {*manifest["files"], "assets.extra/manifest.json"}, sorted(files)
    for name, expected in manifest["files"].items():
        with files[name].open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == expected, name


def killed_push(model: Path, serving_dir: Path, delay: float | None) -> float:
    """Runs a push in a process of its own, killed this number of seconds after it began.

    Pass None to let it finish. Returns its seconds.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=push_when_told, args=(model, serving_dir, theirs))
    process.start()
    ours.recv()
    started = time.monotonic()
    ours.send("go")

    if delay is None:
        ours.recv()
    else:
        time.sleep(delay)
        process.kill()

    seconds = time.monotonic() - started
    process.join()
    return seconds


def state(serving_dir: Path, before: int) -> str:
    """How far the killed push had come."""
    if list(serving_dir.glob(".pushing-*")):
        return "copying"
    if list(serving_dir.glob(".removing-*")):
        return "removing an old version"
    newest = max(version["version"] for version in listing(serving_dir))
    if newest == before:
        return "not yet copying"
    labelled = {version["version"] for version in listing(serving_dir) if version["labels"]}

    return (
        FINISHED
        if newest in labelled and len(listing(serving_dir)) <= KEEP
        else "published, not yet labelled or cleaned"
    )


def measure(folder: Path, kills: int, seed: int, megabytes: int) -> dict[str, Any]:
    model, serving_dir, draw = folder / "model", folder / "served", random.Random(seed)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    reader = context.Process(target=read_until_told, args=(model, megabytes, serving_dir, theirs))
    reader.start()
    ours.recv()
    change(model, 0)
    seconds = [killed_push(model, serving_dir, None)]
    states: Counter[str] = Counter()
    wrong: list[str] = []

    number = 0
    while states.total() - states[FINISHED] < kills:
        number += 1
        before = max(version["version"] for version in listing(serving_dir))
        change(model, number)
        killed_push(model, serving_dir, draw.uniform(0, statistics.median(seconds)))
        states[state(serving_dir, before)] += 1
        change(model, -number)
        expected = max(version["version"] for version in listing(serving_dir)) + 1
        seconds = [*seconds, killed_push(model, serving_dir, None)][-5:]
        wrong += after_a_push(serving_dir, expected)

    ours.send("stop")
    read = ours.recv()
    reader.join()

    return {
        "kills": kills,
        "too_late": states.pop(FINISHED, 0),
        "seed": seed,
        "megabytes": megabytes,
        "push_seconds": round(statistics.median(seconds), 3),
        "killed_while": dict(states.most_common()),
        "reader_checks": read["checks"],
        "reader_versions": read["versions"],
        "partial_versions_seen": len(read["wrong"]),
        "wrong": [*read["wrong"], *wrong],
    }


def change(model: Path, number: int) -> None:
    (model / "assets" / "number.txt").write_text(f"{number}\n")


def after_a_push(serving_dir: Path, expected: int) -> list[str]:
    """The mistakes after an undisturbed push: in its number, its label, or leftover files."""
    versions = listing(serving_dir)
    numbers = [version["version"] for version in versions]
    wrong = (
        []
        if numbers == list(range(expected - len(numbers) + 1, expected + 1))
        else [f"versions {numbers}, expected up to {expected}"]
    )
    if versions[-1]["labels"] != ["stable"]:
        wrong.append(f"version {numbers[-1]} has the labels {versions[-1]['labels']}")
    names = {path.name for path in serving_dir.iterdir()} - {str(number) for number in numbers}
    return wrong if names == {".lock", "models.config"} else [*wrong, f"left over: {sorted(names)}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), arguments.kills, arguments.seed, arguments.megabytes)
    for name, count in measured["killed_while"].items():
        print(f"{count:>4}  killed while {name}")
    print(f"{measured['too_late']:>4}  too late, not counted")
    print(
        f"{measured['reader_checks']:>4}  checks of a whole version by the reader, which loaded"
        f" {measured['reader_versions']} versions"
    )
    print(f"{measured['partial_versions_seen']:>4}  partial versions seen")
    for complaint in measured["wrong"]:
        print(f"WRONG: {complaint}")
    print(json.dumps(measured))
    sys.exit(1 if measured["wrong"] else 0)


if __name__ == "__main__":
    main()
