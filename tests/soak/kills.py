"""Kills training at random moments: the weights must be those of an undisturbed run, to the bit.

    python -m tests.soak.kills [--data ../shared/data] [--dataset trec6] [--kills 20] [--seed 0]

The rows are those of <data>/<dataset>/train.jsonl and test.jsonl, {"text", "label"}. First one run
goes to its end. Then runs are killed once or twice each, by SIGKILL and SIGTERM in turn, at moments
drawn from --seed within the time that training takes, and are started again until they end. All of
them use the real command line. The artifacts before the trainer's are made once.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from tests.soak import DATA, read_rows

# Light: a training of some seconds, with a checkpoint several times an epoch.
SETTINGS = {
    "embedding_dim": 16,
    "rnn_units": 16,
    "skip_dim": 16,
    "batch_size": 64,
    "num_epochs": 8,
    "patience": 8,
    "checkpoint_steps": 20,
}
STOPPED = 50
# In place of a checkpoint's step: the run had ended when the signal came.
TOO_LATE = -1


def seqline(data: Path, root: Path, last: str) -> subprocess.Popen[str]:
    source = f'{{train = "{data / "train.jsonl"}", test = "{data / "test.jsonl"}"}}'
    config = root.parent / "kills.toml"
    config.write_text(f"[example_gen]\nsource = {source}\n[transform]\nmax_length = 40\n")
    settings = [f"--set=trainer.{name}={value}" for name, value in SETTINGS.items()]
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        f"--config={config}",
        f"--root={root}",
        f"--to={last}",
        *settings,
    ]

    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str], allowed: tuple[int, ...] = (0,)) -> str:
    out, err = process.communicate()
    if process.returncode not in allowed:
        raise SystemExit(f"exit code {process.returncode}, not one of {allowed}:\n{out}\n{err}")
    return err


def weights_digest(root: Path) -> str:
    [weights] = root.glob("trainer/*/model.weights.h5")
    return sha256(weights.read_bytes()).hexdigest()


def newest_step(root: Path) -> int:
    return max(
        (
            int(path.stem.removeprefix("checkpoint-"))
            for path in root.glob("work/*/checkpoint-*.npz")
        ),
        default=0,
    )


def killed_run(
    data: Path, root: Path, kills: list[tuple[signal.Signals, float]]
) -> tuple[list[int], list[float]]:
    """Runs to the end, with signals on the way.

    Args:
        kills: (signal, seconds after the start).

    Returns:
        (checkpointed steps, seconds from SIGTERM to the end).
    """
    steps, graces = [], []
    for number, delay in kills:
        process = seqline(data, root, "trainer")
        time.sleep(delay)
        sent = time.monotonic()
        process.send_signal(number)

        # It may have ended just before; and no process can see SIGKILL.
        finish(process, (0, STOPPED) if number == signal.SIGTERM else (0, -signal.SIGKILL))
        if number == signal.SIGTERM:
            graces.append(time.monotonic() - sent)
        steps.append(newest_step(root) if process.returncode else TOO_LATE)

    finish(seqline(data, root, "trainer"))
    return steps, graces


def measure(data: Path, folder: Path, num_kills: int, seed: int) -> dict[str, object]:
    base, whole = folder / "base", folder / "whole"
    finish(seqline(data, base, "transform"))
    shutil.copytree(base, whole)
    started = time.monotonic()
    finish(seqline(data, whole, "trainer"))
    seconds = time.monotonic() - started
    expected, draw = weights_digest(whole), random.Random(seed)
    print(f"undisturbed: {seconds:.1f} s, weights {expected[:16]}")
    print(f"{'run':>4}  {'killed by, after':<40} {'checkpoint at step':<20} weights")
    signals = [(signal.SIGKILL, signal.SIGTERM)[number % 2] for number in range(num_kills)]

    same, graces, number_of_runs, late = 0, [], 0, 0

    while signals:
        number_of_runs += 1
        count = min(len(signals), draw.choice((1, 1, 2)))

        # From the middle of the imports to just before the end.
        kills = [(signals.pop(0), draw.uniform(0.3, 1.0) * seconds) for _ in range(count)]
        root = folder / f"run-{number_of_runs}"
        shutil.copytree(base, root)
        steps, run_graces = killed_run(data, root, kills)
        graces += run_graces
        late += steps.count(TOO_LATE)
        digest = weights_digest(root)
        same += digest == expected
        description = ", ".join(f"{signal_.name} {delay:.1f} s" for signal_, delay in kills)
        at = ", ".join("had ended" if step == TOO_LATE else str(step) for step in steps)
        print(
            f"{number_of_runs:>4}  {description:<40} {at:<20} {digest[:16]}"
            f" {'same' if digest == expected else 'DIFFERENT'}",
            flush=True,
        )
        shutil.rmtree(root)

    return {
        "kills": num_kills,
        "too_late": late,
        "seed": seed,
        "runs": number_of_runs,
        "same_weights": same,
        "undisturbed_seconds": round(seconds, 1),
        "longest_seconds_from_sigterm_to_end": round(max(graces, default=0.0), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--dataset", default="trec6")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = (arguments.data / arguments.dataset).absolute()
    read_rows(data / "train.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(data, Path(folder), arguments.kills, arguments.seed)
    print(json.dumps(figures))
    sys.exit(0 if figures["same_weights"] == figures["runs"] else 1)


if __name__ == "__main__":
    main()
