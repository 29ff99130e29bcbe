"""The command line in this process or as one of its own, and what is left of such a process."""

import contextlib
import io
import os
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import app
from tests.support import CHECKOUT


def in_this_process(*arguments: str) -> tuple[int, str, str]:
    """Calls `seqline ARGUMENTS` without a new Python: (exit code, output, errors)."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", ["seqline", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
    return int(ended.value.code or 0), out.getvalue(), errors.getvalue()


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
