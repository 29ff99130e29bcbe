"""The machine: Python, CPU, memory, clock, byte code, the server's port."""

import os
import platform
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipeline.doctor import FAIL, OK, WARN, Finding

PYTHONS = ((3, 11), (3, 13))
# tensorflow-transform's tfx-bsl has wheels for these only.
PLATFORMS = {("Linux", "x86_64"), ("Darwin", "arm64")}
# A run of BBC News peaks near the second; imports alone need the first.
LEAST_MEMORY, ENOUGH_MEMORY = 1.0, 3.0
PORT = 8501


def all_of_it() -> Iterator[Finding]:
    yield python()
    yield byte_code()
    yield from cpu()
    yield memory()
    yield clock()
    yield port()


def python() -> Finding:
    text = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    )
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding(
            FAIL, "python", text, "seqline needs Python 3.11 to 3.13: make PYTHON=python3.12"
        )
    if (platform.system(), platform.machine()) not in PLATFORMS:
        return Finding(
            FAIL,
            "python",
            text,
            "tensorflow-transform has wheels for Linux x86-64 and macOS arm64: use one of these, or"
            " the image",
        )
    if sys.prefix == sys.base_prefix and not Path("/.dockerenv").exists():
        return Finding(
            WARN,
            "python",
            f"{text}: no virtual environment",
            "make run makes one, so that no other project changes its libraries",
        )
    return Finding(OK, "python", text)


def byte_code() -> Finding:
    if not sys.dont_write_bytecode:
        return Finding(OK, "byte code", "is kept")
    cause = (
        "PYTHONDONTWRITEBYTECODE is set"
        if os.environ.get("PYTHONDONTWRITEBYTECODE")
        else "python -B"
    )
    return Finding(
        WARN,
        "byte code",
        f"is not kept ({cause}): every import of TensorFlow takes 20 to 40 s instead of 4",
        "unset PYTHONDONTWRITEBYTECODE" if "set" in cause else "leave -B out",
    )


def cpu() -> Iterator[Finding]:
    number = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    flags = _cpu_flags()
    if flags is not None and "avx" not in flags:
        yield Finding(
            FAIL,
            "cpu",
            f"{number} cores without AVX, which TensorFlow's wheels need",
            "another machine, or a TensorFlow built for this one",
        )
    elif flags is not None and not {"avx2", "fma"} <= flags:
        yield Finding(
            WARN,
            "cpu",
            f"{number} cores without AVX2 and FMA: training is several times slower",
            "a newer machine, if that matters",
        )
    else:
        yield Finding(OK, "cpu", f"{number} cores")


def _cpu_flags() -> set[str] | None:
    """What the processor can do; None where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next(
        (set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None
    )


def memory() -> Finding:
    """What is free now, and what the container allows."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(
            next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        )
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, StopIteration, ValueError):
        pass
    if not found:
        return Finding(OK, "memory", "the system does not say how much is free")
    free = min(found) / (1 << 30)
    text = f"{free:.1f} GB free"
    if free < LEAST_MEMORY:
        return Finding(
            FAIL,
            "memory",
            text,
            f"TensorFlow and Beam alone need {LEAST_MEMORY:.0f} GB: end other programs, or raise"
            " the container's limit",
        )
    if free < ENOUGH_MEMORY:
        return Finding(
            WARN,
            "memory",
            text,
            f"{ENOUGH_MEMORY:.0f} GB are enough for a run; a process that is killed for memory says"
            " so in its run's log",
        )
    return Finding(OK, "memory", text)


def clock(now: float | None = None) -> Finding:
    """A clock that is behind.

    Names of runs are in the order of time, certificates are refused, tokens of Google are not valid
    yet.
    """
    now = time.time() if now is None else now
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.parent.rglob("*.py"))
    text = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if now < newest - 3600:
        text += (
            ", which is before seqline's own files were written"
            f" ({datetime.fromtimestamp(newest, UTC):%Y-%m-%d})"
        )
        return Finding(
            FAIL,
            "clock",
            text,
            "set the clock (timedatectl set-ntp true): runs are named by it, and Google refuses"
            " tokens of the past",
        )
    return Finding(OK, "clock", text)


def port(number: int = PORT) -> Finding:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
        except OSError as error:
            return Finding(
                WARN,
                "port",
                f"{number} cannot be had ({error.strerror})",
                "seqline serve --rest_api_port=0 takes any free one",
            )
    return Finding(OK, "port", f"{number} is free for seqline serve")
