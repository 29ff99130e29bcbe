"""Kills whole runs in every stage: the next run must end as if nothing had happened.

    python -m tests.soak.stage_kills [--kills 50] [--aimed 12] [--chain 6] [--seed 0]

First one run of a small pipeline with every stage goes to its end. Then --kills moments are drawn
from --seed over its stages, each by its share of the time, and runs are killed there, by SIGKILL
and SIGTERM in turn. A chain of kills hits one run after the other in the same folder, until a run
ends by itself. Further --aimed kills wait for what has to be atomic: a record next to a finished
artifact, the pusher's folder, a new version, the label.

After each chain the artifacts must be those of the undisturbed run, partial/ and the pusher's
folders empty, and one version there.
"""

import argparse
import glob
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.soak import small_run
from tests.support.command_line import processes_in

STOPPED = 50
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
TOO_LATE = "had ended"
# Seconds that a kill waits for its moment.
PATIENCE = 600.0
# What an undisturbed run leaves in serving_dir.
SERVED = {".lock", "1", "models.config"}


@dataclass
class Kill:
    """A kill: what it waits for, then how many seconds more, and by which signal."""

    stage: str
    wait: float
    number: signal.Signals
    aim: str = ""

    def describe(self) -> str:
        moment = f"at {self.aim}" if self.aim else f"{self.wait:.1f} s into {self.stage}"
        return f"{self.number.name} {moment}"


class Output:
    """The lines that a run prints, read as they come."""

    def __init__(self, process: "Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def stage(self) -> str:
        """The stage that is being made, as far as the output tells; "" before the first."""
        started = [line.split()[0] for line in self.lines if " started, stage " in line]
        return started[-1] if started else ""

    def started(self, stage: str) -> bool:
        return any(
            line.startswith(f"{stage} ") and " started, stage " in line for line in self.lines
        )

    def passed(self, stage: str, order: list[str]) -> bool:
        """Whether a later stage has started."""
        return any(self.started(later) for later in order[order.index(stage) + 1 :])

    def text(self) -> str:
        self.thread.join(PATIENCE)
        return "\n".join(self.lines)


def exists(folder: Path, pattern: str) -> Callable[[], bool]:
    """Whether a file of this pattern is there; made for being asked without a pause."""
    # Not Path.glob, which raises where a folder disappears while it looks.
    return lambda: bool(glob.glob(str(folder / pattern)))


def aims(folder: Path) -> list[tuple[str, str, Callable[[], bool]]]:
    """(what must be atomic, the stage, whether its moment has come)."""
    served = "serving_dir/small"
    partial = f"{small_run.ROOT}/partial"
    return [
        ("the pusher's first file", "pusher", exists(folder, f"{served}/.pushing-*/*")),
        ("the pusher's manifest", "pusher", exists(folder, f"{served}/.pushing-*/*/manifest.json")),
        ("the new version", "pusher", exists(folder, f"{served}/1")),
        ("the label's file", "pusher", exists(folder, f"{served}/models.config*")),
        ("the trainer's record", "trainer", exists(folder, f"{partial}/trainer-*/execution.json*")),
        ("the tuner's record", "tuner", exists(folder, f"{partial}/tuner-*/execution.json*")),
        ("the pusher's record", "pusher", exists(folder, f"{partial}/pusher-*/execution.json*")),
        (
            "the exporter's record",
            "exporter",
            exists(folder, f"{partial}/exporter-*/execution.json*"),
        ),
        (
            "the Examples' record",
            "example_gen",
            exists(folder, f"{partial}/example_gen-*/execution.json*"),
        ),
        ("a checkpoint", "trainer", exists(folder, f"{small_run.ROOT}/work/trainer-*/*")),
        ("a trial", "tuner", exists(folder, f"{small_run.ROOT}/work/tuner-*/*")),
        (
            "a chunk of predictions",
            "bulk_inferrer",
            exists(folder, f"{partial}/bulk_inferrer-*/predictions-*"),
        ),
    ]


def met(folder: Path, output: Output) -> str:
    """Where a kill has met the run."""
    partial = sorted(
        path.name.split("-")[0] for path in (folder / small_run.ROOT / "partial").glob("*")
    )
    pushing = glob.glob(str(folder / "serving_dir" / "*" / ".pushing-*"))
    records = glob.glob(str(folder / small_run.ROOT / "partial" / "*" / "execution.json"))
    where = output.stage() or "before the first stage"
    where += f", partial: {' '.join(partial) or 'none'}"
    where += ", with its record" if records else ""
    return where + (", pushing" if pushing else "")


def kill_once(folder: Path, kill: Kill, order: list[str]) -> tuple[str, float, list[str]]:
    """Runs, and kills the run at its moment.

    Returns:
        Where it met the run, the seconds until all of its processes were gone, and complaints.
    """
    process = small_run.begin(folder, "run", "-c", small_run.CONFIG_FILE)
    output = Output(process)
    is_time = {aim: is_there for aim, _, is_there in aims(folder)}.get(kill.aim)
    wait_for(kill, is_time, output, process, order)

    where = met(folder, output)
    sent = time.monotonic()
    # A terminal or a supervisor kills the run; its workers must see that for themselves.
    if process.poll() is None:
        os.kill(process.pid, kill.number)
    text = output.text()
    code = process.wait()
    wrong = [] if gone(folder) else [f"processes are left: {processes_in(folder)}"]
    seconds = time.monotonic() - sent

    if code == 0:
        return TOO_LATE, seconds, wrong
    expected = -signal.SIGKILL if kill.number == signal.SIGKILL else STOPPED
    if code != expected:
        wrong.append(f"exit code {code}, not {expected}: {text[-300:]}")
    if "Traceback" in text:
        wrong.append(f"a traceback: {text[text.index('Traceback') :][:600]}")
    return where, seconds, wrong


def wait_for(
    kill: Kill,
    is_time: Callable[[], bool] | None,
    output: Output,
    process: "Popen[str]",
    order: list[str],
) -> None:
    """Waits for the moment of a kill, or for the end of a run that does not come to it."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if is_time:
            if output.started(kill.stage) and is_time():
                break
            if not output.started(kill.stage):
                time.sleep(0.01)
        elif output.started(kill.stage) or output.passed(kill.stage, order):
            break
        else:
            time.sleep(0.01)

    end = time.monotonic() + kill.wait
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def gone(folder: Path) -> bool:
    """Waits until no process works in the folder."""
    deadline = time.monotonic() + 60
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_in(folder)


def chain(folder: Path, kills: list[Kill], order: list[str], expected: dict[str, str]) -> Any:
    """Kills one run after the other, then runs to the end: ([(kill, where, seconds)], wrong)."""
    small_run.make(folder)
    rows, wrong = [], []
    for kill in kills:
        where, seconds, complaints = kill_once(folder, kill, order)
        rows.append((kill, where, seconds))
        wrong += [f"{kill.describe()}: {complaint}" for complaint in complaints]
        print(f"  {kill.describe():<44} {where:<60} {seconds:6.1f} s", flush=True)
        if where == TOO_LATE:
            break

    wrong += finish(folder, expected)
    return rows, wrong


def finish(folder: Path, expected: dict[str, str]) -> list[str]:
    """Runs to the end; returns what is not as after an undisturbed run."""
    code, out = small_run.run(folder)
    if code:
        return [f"the run after the kills ended with {code}: {out[-500:]}"]

    wrong = []
    got = small_run.digests(folder)
    wrong += [
        f"{name} is {got.get(name)}, not {expected[name]}"
        for name in expected
        if got.get(name) != expected[name]
    ]
    left = sorted(path.name for path in (folder / small_run.ROOT / "partial").glob("*"))
    if left:
        wrong.append(f"left in partial/: {left}")

    work = sorted(path.name for path in (folder / small_run.ROOT / "work").glob("*"))
    if work:
        wrong.append(f"left in work/: {work}")
    served = {path.name for path in (folder / "serving_dir" / "small").iterdir()}
    if served != SERVED:
        wrong.append(f"serving_dir holds {sorted(served)}")
    code, out = small_run.seqline(folder, "versions", "--serving-dir", "serving_dir/small")
    if code or "stable" not in out:
        wrong.append(f"seqline versions: {out}")
    return wrong


def undisturbed(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """(stage -> seconds, in order; stage -> digest) of a run that nobody disturbs."""
    small_run.make(folder)
    code, out = small_run.run(folder)
    assert code == 0, out
    seconds = {stage.component: stage.seconds for stage in small_run.last_record(folder).stages}
    # Not a Push: it names the serving_dir, by its absolute path.
    digests = {name: value for name, value in small_run.digests(folder).items() if name != "pusher"}
    return seconds, digests


def drawn(seconds: dict[str, float], count: int, draw: random.Random) -> list[Kill]:
    """Kills over the time of a run: each stage gets its share."""
    kills = []
    for number in range(count):
        moment = draw.uniform(0, sum(seconds.values()))
        for stage, duration in seconds.items():
            if moment <= duration:
                kills.append(Kill(stage, moment, SIGNALS[number % 2]))
                break
            moment -= duration
    return kills


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    draw = random.Random(given.seed)
    undisturbed(folder / "first")  # the first one of a day imports from a cold disk
    seconds, expected = undisturbed(folder / "whole")
    order = list(seconds)
    print("undisturbed:", ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))

    kills = drawn(seconds, given.kills, draw)
    named = [(aim, stage) for aim, stage, _ in aims(folder)]
    for number in range(given.aimed):
        aim, stage = named[number % len(named)]
        wait = draw.choice((0.0, 0.0, 0.002, 0.02))
        kills.append(Kill(stage, wait, SIGNALS[number % 2], aim))

    draw.shuffle(kills)
    places: Counter[str] = Counter()
    graces, wrong, done, chains = [], [], 0, 0

    while kills:
        chains += 1
        planned, kills = kills[: given.chain], kills[given.chain :]
        print(f"chain {chains}, {len(kills)} kills after it", flush=True)
        planned.sort(key=lambda kill: (order.index(kill.stage), kill.wait))
        rows, complaints = chain(folder / f"chain-{chains}", planned, order, expected)
        kills = planned[len(rows) :] + kills  # those that a run's early end left over
        for kill, where, grace in rows:
            places[where.split(",")[0]] += 1
            done += where != TOO_LATE
            if kill.number == signal.SIGTERM and where != TOO_LATE:
                graces.append(grace)
        for complaint in complaints:
            print(f"WRONG: {complaint}", flush=True)
        wrong += complaints

    return {
        "kills": done,
        "planned": given.kills + given.aimed,
        "seed": given.seed,
        "chains": chains,
        "stage_seconds": {name: round(value, 1) for name, value in seconds.items()},
        "met": dict(places.most_common()),
        "longest_seconds_from_sigterm_to_end": round(max(graces, default=0.0), 1),
        "wrong": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="by the stages' share of time")
    parser.add_argument("--aimed", type=int, default=12, help="at what must be atomic")
    parser.add_argument("--chain", type=int, default=6, help="kills in the same folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(given, Path(folder))
    for where, count in figures["met"].items():
        print(f"{count:>4}  {where}")
    for complaint in figures["wrong"]:
        print(f"WRONG: {complaint}")
    print(json.dumps(figures))
    sys.exit(1 if figures["wrong"] else 0)


if __name__ == "__main__":
    main()
