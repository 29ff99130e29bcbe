"""The command line as a process of its own, and what is left of such a process."""

import contextlib
import os
import time
from pathlib import Path

from tests.support import CHECKOUT


def environment() -> dict[str, str]:
    """The environment of a command that imports this checkout, and does not know of CI."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "GITHUB_RUN_ID")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}


def assert_no_process_in(folder: Path) -> None:
    """Waits for the processes that work in a folder, and that must end by themselves."""
    deadline = time.monotonic() + 120
    while (orphans := processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert orphans == []


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that work in a folder (Linux only)."""
    commands = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.resolve() == folder.resolve():
                commands.append((link.parent / "cmdline").read_text())
    return commands
