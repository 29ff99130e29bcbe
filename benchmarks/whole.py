"""CPU and wall of a whole run, by stage and by process: cold, and with everything finished.

    python -m benchmarks.whole [--models tutorial default] [--config bbc_news]
        [--beside "python tfx_pipeline.py"]

`tutorial` is the plain model of the tutorials: the last state, T=200, 5 epochs. `default` is the
configuration's own. The gates on quality are off: the way is measured, not the model. Each run is
`seqline run` in an empty folder, `cold`, and then once more, `warm`: everything is finished.
`seqline --help` is measured, too. `--beside` runs another pipeline's command in an empty folder:
TFX 1.21 cannot be installed with these libraries, so it is measured where it is.

A total is what the system accounts to the command with all of its children. Processes and stages
are watched in /proc (Linux only): their figures can lack the last 50 ms of each process. `between`
is what no stage used: the data set is prepared, libraries are imported, records are written. On a
machine that others use, trust CPU seconds, not wall.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Table

MODELS: dict[str, dict[str, object]] = {
    "tutorial": {
        "trainer.pooling": "last",
        "trainer.num_epochs": 5,
        "transform.max_length": 200,
    },
    "default": {},
}
NO_GATES: dict[str, object] = {
    "evaluator.min_accuracy": 0,
    "evaluator.min_macro_f1": 0,
    "evaluator.max_cross_entropy": 100,
    "evaluator.max_ece": 1,
    "evaluator.min_gain_over_majority": -1,
    "evaluator.min_gain_over_linear": -1,
    "evaluator.min_slice_accuracy": 0,
}
LOOK_SECONDS = 0.03
# What a name or command line contains -> what the process is. The first that fits.
NAMES = {
    "seqline-prover": "exporter's prover",
    "seqline-server": "infra_validator's server",
    "seqline-tf": "template of TensorFlow",
    "resource_tracker": "tracker of semaphores",
    "plain_tensorflow": "exporter's prover",
    "serving.reader": "server's reader",
    "-m serving": "infra_validator's server",
    "multiprocessing": "worker",
}


@dataclass
class Process:
    """A process that was seen, with its CPU seconds and memory at each look."""

    command: str
    # (time, CPU seconds so far, resident bytes)
    looks: list[tuple[float, float, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return next((name for part, name in NAMES.items() if part in self.command), "command")

    @property
    def cpu_seconds(self) -> float:
        return self.looks[-1][1]

    def until(self, moment: float) -> float:
        """CPU seconds up to a time."""
        return max((cpu for looked, cpu, _ in self.looks if looked <= moment), default=0.0)


@dataclass
class Measured:
    """A command that has ended."""

    cpu_seconds: float
    wall_seconds: float
    processes: list[Process]


def measure(command: Sequence[str], folder: Path) -> Measured:
    """Runs a command in a folder, and watches it with all of its children.

    Raises:
        SystemExit: It failed; the end of its output is the message.
    """
    environment = {**os.environ, "PYTHONPATH": str(common.CHECKOUT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    cpu, started = common.children_cpu_seconds(), time.monotonic()
    processes: dict[tuple[int, str], Process] = {}

    with tempfile.TemporaryFile() as output:
        root = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        while root.poll() is None:
            look(root.pid, processes)
            time.sleep(LOOK_SECONDS)
        wall = time.monotonic() - started

        if root.returncode:
            output.seek(0)
            last = output.read().decode(errors="replace")[-3000:]
            raise SystemExit(f"{shlex.join(command)}: exit code {root.returncode}\n{last}")

    total = common.children_cpu_seconds() - cpu
    return Measured(total, wall, [process for process in processes.values() if process.looks])


def look(root: int, processes: dict[tuple[int, str], Process]) -> None:
    """Adds a look at every process below `root`, by (id, time of its start)."""
    parents, stats = {}, {}
    for pid, fields in _stats():
        parents[pid] = int(fields[1])
        stats[pid] = fields

    now, ticks = time.time(), os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    for pid, fields in stats.items():
        ancestor: int | None = pid
        while ancestor is not None and ancestor != root:
            ancestor = parents.get(ancestor)
        if ancestor is None:
            continue

        process = processes.setdefault((pid, fields[19]), Process(""))
        cpu = (int(fields[11]) + int(fields[12])) / ticks
        process.looks.append((now, cpu, int(fields[21]) * page))
        # Between fork and exec it has its parent's command line.
        process.command = _command_line(pid) or process.command


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Each process of the machine: (id, the fields of its `stat` from the state on)."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                stat = (path / "stat").read_text()
            except OSError:  # it has just ended
                continue
            yield int(path.name), stat.rpartition(")")[2].split()


def _command_line(pid: int) -> str:
    """The command line after the name, which a process that was only forked has for itself."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
        line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""
    return f"{name} {line}" if line else ""


def by_stage(folder: Path, measured: Measured) -> dict[str, dict[str, float]]:
    """CPU and wall seconds of each stage of the last run that made something, in order."""
    [record] = sorted((folder / "artifacts" / "runs").glob("*/run.json"))[-1:]
    stages = {}
    for stage in json.loads(record.read_text())["stages"]:
        artifact = folder / "artifacts" / stage["component"] / stage["key"]
        execution = json.loads((artifact / "execution.json").read_text())
        start = datetime.fromisoformat(execution["started"]).timestamp()
        end = start + execution["seconds"]
        used = [process.until(end) - process.until(start) for process in measured.processes]
        stages[stage["component"]] = {
            "cpu_seconds": sum(used),
            "wall_seconds": execution["seconds"],
        }

    between = {
        name: max(0.0, getattr(measured, name) - sum(stage[name] for stage in stages.values()))
        for name in ("cpu_seconds", "wall_seconds")
    }
    return {**stages, "between": between}


def by_process(measured: Measured) -> dict[str, float]:
    """CPU seconds by the name of the process."""
    seconds: dict[str, float] = {}
    for process in measured.processes:
        seconds[process.name] = seconds.get(process.name, 0.0) + process.cpu_seconds
    return seconds


def print_and_pack(run: str, measured: Measured, table: Table) -> dict[str, float]:
    table.row(run, "all", measured.cpu_seconds, measured.wall_seconds)
    return {"cpu_seconds": measured.cpu_seconds, "wall_seconds": measured.wall_seconds}


def seqline(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *arguments]


def measure_model(model: str, config: str, table: Table) -> dict[str, Any]:
    """A cold and a warm run of a model; prints their rows."""
    command = seqline("run", config, *common.settings({**NO_GATES, **MODELS[model]}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold = measure(command, folder)
        stages, processes = by_stage(folder, cold), by_process(cold)
        for stage, figures in stages.items():
            table.row(f"{model}, cold", stage, *figures.values())
        for process, seconds in processes.items():
            table.row(f"{model}, cold", f"process: {process}", seconds, None)
        total = print_and_pack(f"{model}, cold", cold, table)
        warm = print_and_pack(f"{model}, warm", measure(command, folder), table)

    return {"cold": {**total, "stages": stages, "processes": processes}, "warm": warm}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--config", default="bbc_news", help="what `seqline run` runs")
    parser.add_argument("--beside", help="the command of another pipeline")
    arguments = parser.parse_args()

    table = Table(
        ("run", "<20"), ("stage or process", "<34"), ("CPU s", "7.2f"), ("wall s", "7.2f")
    )
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        result["help"] = print_and_pack("--help", measure(seqline("--help"), Path(folder)), table)
        if arguments.beside:
            beside = measure(shlex.split(arguments.beside), Path(folder))
            result["beside"] = print_and_pack("beside", beside, table)

    for model in arguments.models:
        result[model] = measure_model(model, arguments.config, table)
    common.print_result(result)


if __name__ == "__main__":
    main()
