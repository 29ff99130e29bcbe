"""benchmarks/gpu.py, on a machine without a GPU."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import CHECKOUT

pytestmark = pytest.mark.slow


def measure(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )


def test_without_a_gpu_it_says_so_in_one_line() -> None:
    done = measure()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("TensorFlow sees no GPU on this machine")


def test_the_script_works() -> None:
    done = measure("--cpu", "--rows", "400", "--steps", "2", "--rounds", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["devices"] == ["CPU:0", "CPU:1"]
    assert [each["devices"] for each in result["losses"]] == [
        ["CPU:0"],
        ["CPU:0"],
        ["CPU:0", "CPU:1"],
    ]
    assert all(each["difference"] < 1e-5 for each in result["losses"])
    assert len(result["speed"]) == 3
