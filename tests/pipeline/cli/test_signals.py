"""Ctrl-C and SIGTERM at any moment: one line and exit code 50. Real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqline.errors import StoppedError
from tests.support import CHECKOUT

CODE = StoppedError.exit_code
# Python's own start, before the first line of the command, takes this long at most.
START_SECONDS = 0.15


def ended(
    arguments: list[str], folder: Path, seconds: float, numbers: list[int], gap: float = 0.1
) -> tuple[int, str, str]:
    """Signals a command, all of its processes as a terminal does; (code, output, errors)."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    time.sleep(seconds)
    for position, number in enumerate(numbers):
        time.sleep(gap if position else 0)
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [START_SECONDS, 0.3, 0.6])
def test_a_command_that_is_stopped_says_so(seconds: float, number: int, tmp_path: Path) -> None:
    code, out, err = ended(["plan", "bbc_news"], tmp_path, seconds, [number, number])
    assert "Traceback" not in out + err
    if code:  # it may have been faster than the signal
        assert code == CODE
        assert err.startswith("stopped ")
        assert err.count("\n") == 1


@pytest.mark.slow  # a run that is stopped eight times, 5 s each
@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGINT] * 2, [signal.SIGTERM]])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_a_run_that_is_stopped_says_so(seconds: float, numbers: list[int], tmp_path: Path) -> None:
    code, out, err = ended(["run", "bbc_news"], tmp_path, seconds, numbers)
    assert code == CODE, err
    assert err.startswith("stopped ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in out
    assert not list(tmp_path.glob("artifacts/partial/*/*")) or len(numbers) == 2
