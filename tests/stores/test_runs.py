"""Runs and retrainings with data, root and serving_dir in each store: the bytes of a local run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqline.storage import objects
from tests.support import store_runs
from tests.support.command_line import environment
from tests.support.emulators import Emulator

pytestmark = pytest.mark.stores


def story(folder: Path, data: str, place: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """A first model, then one more span and another model: (digests, what is served)."""
    store_runs.write_span(data, 1)
    code, out = store_runs.seqline(folder, "retrain", data, place, "--bootstrap")
    assert code == 0, out
    first = store_runs.digests(place)

    store_runs.write_span(data, 2)
    code, out = store_runs.seqline(folder, "retrain", data, place)
    assert code == 0, out
    second = store_runs.digests(place)
    assert {name: first[name] == second[name] for name in ("trainer", "exporter")} == {
        "trainer": False,
        "exporter": False,
    }
    digests = {f"first {name}": digest for name, digest in first.items()} | second
    return digests, store_runs.served(place)


def test_a_run_and_a_retraining_give_the_bytes_of_a_local_run(
    emulator: Emulator, tmp_path: Path
) -> None:
    data = place = emulator.place
    digests, served = story(tmp_path / "remote", data, place)
    (tmp_path / "local" / "place").mkdir(parents=True)
    objects.delete_object(f"{data}/data/2/rows.jsonl")
    expected = story(tmp_path / "local", data, str(tmp_path / "local" / "place"))
    assert digests == expected[0]
    assert served == expected[1]
    assert {name.partition("/")[0] for name in served} == {"1", "2"}

    # The server's own way to a model in a store, without the rest of seqline.
    text = "The cat and dog and horse, No. 7!"
    ask = [sys.executable, "-m", "serving.predict", f"{place}/served", text]
    asked = subprocess.run(ask, env=environment(), capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["label"] == "animals"

    # A machine that has nothing finds everything made.
    code, out = store_runs.seqline(tmp_path / "another", "retrain", data, place)
    assert (code, out.splitlines()[-1][:7]) == (10, "nothing")
