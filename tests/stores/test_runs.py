"""Runs and retrainings with data, root and serving_dir in each store: the bytes of a local run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import store_runs
from tests.support.command_line import environment
from tests.support.emulators import Emulator

# Ten runs on a machine of two cores, or twenty stages, take minutes.
pytestmark = [pytest.mark.stores, pytest.mark.timeout(1500)]

ASK = """\
import sys, seqline
served, root, text = sys.argv[1:]
run = seqline.open_run(root=root)
print(*seqline.load(served).predict([text]), *run.model().predict([text]), run.verdict)
"""


def digests_of_retraining(folder: Path, data: str, place: str, *more: str) -> dict[str, str]:
    code, out = store_runs.seqline(folder, "retrain", data, place, *more)
    assert code == 0, out
    return store_runs.digests(place)


def test_a_run_and_a_retraining_give_the_bytes_of_a_local_run(
    emulator: Emulator, tmp_path: Path
) -> None:
    data = place = emulator.place
    local = str(tmp_path / "place")
    (tmp_path / "place").mkdir()
    made = []
    for span, flags in ((1, ["--bootstrap"]), (2, [])):
        store_runs.write_span(data, span)
        remote = digests_of_retraining(tmp_path / "remote", data, place, *flags)
        assert remote == digests_of_retraining(tmp_path / "local", data, local, *flags)
        made.append(remote)
    assert made[0]["trainer"] != made[1]["trainer"]
    served = store_runs.served(place)
    assert served == store_runs.served(local)
    assert {name.partition("/")[0] for name in served} == {"1", "2"}

    # The server's own way to a model in a store, without the rest of seqline.
    text = "The cat and dog and horse, No. 7!"
    ask = [sys.executable, "-m", "serving.predict", f"{place}/served", text]
    asked = subprocess.run(ask, env=environment(), capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["label"] == "animals"

    # The same from Python.
    ask = [sys.executable, "-c", ASK, f"{place}/served/c", f"{place}/root", text]
    asked = subprocess.run(ask, env=environment(), capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["animals", "animals", "pushed"]

    # A machine that has nothing finds everything made.
    code, out = store_runs.seqline(tmp_path / "another", "retrain", data, place)
    assert (code, out.splitlines()[-1][:7]) == (10, "nothing")
