"""SIGTERM while a job runs: the job is gone before the command is, and nothing goes on writing."""

import signal
import time
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.engine_jobs import TICK_SECONDS
from tests.support.engines import ALL, Engine

pytestmark = pytest.mark.engines


@pytest.mark.parametrize("engine", ALL, indirect=True)
def test_a_stopped_command_ends_its_job_first(engine: Engine, tmp_path: Path) -> None:
    process = engines.start(
        tmp_path, "-m", "tests.support.engine_jobs", "go on", tmp_path, *engine.flags
    )
    while not (ticks := list(tmp_path.glob("tick-*"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)

    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM

    last = [tick.read_text() for tick in ticks]
    time.sleep(20 * TICK_SECONDS)
    assert [tick.read_text() for tick in ticks] == last
