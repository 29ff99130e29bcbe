"""How a job ends on each engine when its code, its data or a machine fails."""

import re
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.engines import ALL, WITH_POOL, Engine

pytestmark = pytest.mark.engines

JOB = ["-m", "tests.support.engine_jobs"]
SQUARES = {"0.txt": "0", "1.txt": "1", "2.txt": "4"}


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


@pytest.mark.parametrize("engine", ALL, indirect=True)
def test_what_a_worker_raises_is_the_commands_own_error(engine: Engine, tmp_path: Path) -> None:
    data = engines.run(tmp_path, *JOB, "data error", tmp_path, *engine.flags)
    assert (data.returncode, data.stderr.splitlines()[-1]) == (20, "DataError: row 0 is bad")

    setting = engines.run(tmp_path, *JOB, "user error", tmp_path, *engine.flags)
    assert setting.returncode == 2
    assert setting.stderr.splitlines()[-1] == "UserError: setting 0 is wrong"

    bug = engines.run(tmp_path, *JOB, "bug", tmp_path, *engine.flags)
    assert bug.returncode == 1
    assert 'KeyError: "no 0 [while running ' in bug.stderr  # with the worker's traceback


@pytest.mark.parametrize("engine", WITH_POOL, indirect=True)
def test_a_lost_worker_has_its_exit_code_and_the_next_run_goes_on(
    engine: Engine, tmp_path: Path
) -> None:
    lost = engines.run(tmp_path, *JOB, "die once", tmp_path, *engine.flags)
    assert lost.returncode == 50
    assert re.fullmatch(
        r"LostWorkerError: A worker of the job on \w+ at \S+ (is gone|was lost: .*)\."
        r" Run the same command again: it goes on from there\.",
        lost.stderr.splitlines()[-1],
    )

    again = engines.run(tmp_path, *JOB, "die once", tmp_path, *engine.flags)
    assert (again.returncode, again.stdout) == (0, "done\n")
    assert files(tmp_path) == SQUARES


@pytest.mark.parametrize("engine", WITH_POOL, indirect=True)
def test_a_pool_that_has_ended_is_named_before_a_job_is_submitted(
    engine: Engine, tmp_path: Path
) -> None:
    assert engine.pool
    engine.pool.kill()
    engine.pool.wait()

    done = engines.run(tmp_path, *JOB, "square", tmp_path, *engine.flags)
    assert done.returncode == 50
    assert re.fullmatch(
        r"LostWorkerError: --environment_config=(localhost:\d+): no worker pool answers"
        r" \(connection refused\)\. `python -m apache_beam\S+worker_pool_main"
        r" --service_port=\d+` starts one; then run the same command again\.\n",
        done.stderr,
    )
    assert files(tmp_path) == {}
