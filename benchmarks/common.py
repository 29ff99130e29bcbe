"""Arguments, data, processes, measurements, tables: the parts that benchmarks share.

Run a benchmark as a module from the checkout, `python -m benchmarks.ingest`. Each one takes
`--data`, the folder of the data sets (`<data>/<set>/train.jsonl` and `test.jsonl`), and `--dataset`
or `--datasets` where it reads one or several of them. It prints a table and, as its last line, one
JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

CHECKOUT = Path(__file__).parents[1]
Result = TypeVar("Result")


def parser(
    doc: str | None, dataset: str | None = None, datasets: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser whose --help is the module's docstring.

    Args:
        doc: The module's `__doc__`.
        dataset: The default of `--dataset`, for a benchmark that reads one set.
        datasets: The defaults of `--datasets`, for one that reads several.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if dataset or datasets:
        made.add_argument(
            "--data", type=Path, default=Path("../shared/data"), help="folder of the data sets"
        )
    if dataset:
        made.add_argument("--dataset", default=dataset, help="name of the set under --data")
    if datasets:
        made.add_argument(
            "--datasets", nargs="+", default=list(datasets), help="names of sets under --data"
        )

    return made


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    with path.open(newline="\n", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows, one a line; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def in_own_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls a function of a module in a new interpreter: its imports and its memory are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measured(function: Callable[..., Result], *arguments: Any) -> tuple[Result, dict[str, float]]:
    """Calls a function and measures it.

    Returns:
        Its result, and `cpu_seconds` (of this process and of the children that have ended),
        `wall_seconds` and `peak_mb` (the largest resident size of this process so far, in MiB).
    """
    started, cpu = time.monotonic(), sum(os.times()[:4])
    result = function(*arguments)

    figures = {
        "cpu_seconds": sum(os.times()[:4]) - cpu,
        "wall_seconds": time.monotonic() - started,
        "peak_mb": peak_mb(),
    }
    return result, figures


def peak_mb() -> int:
    """The largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def children_peak_mb() -> int:
    """The largest resident size of any child process that has ended, in MiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def resident_mb(pid: int | str = "self") -> int:
    """The resident size of a process now, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def seqline(
    *arguments: str, folder: Path | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a command of the checkout's seqline, in `folder`, as a user would.

    Args:
        arguments: The command and its flags.
        folder: The working directory.
        more: Passed on to `subprocess.run`; by default the output is captured and a failure raises.

    Raises:
        SystemExit: The command failed; its standard error is the message.
    """
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        **{"cwd": folder, "env": environment, "capture_output": True, "text": True, **more},
    )
    if done.returncode and more.get("check") is not False:
        raise SystemExit(
            f"seqline {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}"
        )
    return done


def children_cpu_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def settings(values: Mapping[str, object]) -> list[str]:
    """`--set` flags of the command line for settings by name."""
    flags = []
    for name, value in values.items():
        flags += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return flags


class Table:
    """Prints rows under a header, each column as wide as its format says.

    Args:
        columns: A title and the format of its values, such as `("CPU s", "8.1f")`; a text is
            aligned to the left.
    """

    def __init__(self, *columns: tuple[str, str]) -> None:
        self.formats = [spec for _, spec in columns]
        self.widths = [max(len(title), _width(spec)) for title, spec in columns]
        titles = [
            _aligned(title, spec, width)
            for (title, spec), width in zip(columns, self.widths, strict=True)
        ]
        print("  ".join(titles).rstrip(), flush=True)

    def row(self, *values: object) -> None:
        """Prints a row. None is printed as `-`."""
        cells = []
        for value, spec, width in zip(values, self.formats, self.widths, strict=True):
            text = "-" if value is None else format(value, spec)
            cells.append(_aligned(text, spec, width))
        print("  ".join(cells).rstrip(), flush=True)


def print_result(result: Mapping[str, Any]) -> None:
    """Prints the last line: one JSON object."""
    print(json.dumps(result))


def _width(spec: str) -> int:
    digits = spec.lstrip("<>").split(".")[0].strip(",+fdegs%")
    return int(digits) if digits else 0


def _aligned(text: str, spec: str, width: int) -> str:
    return text.ljust(width) if spec.startswith("<") or spec == "" else text.rjust(width)
